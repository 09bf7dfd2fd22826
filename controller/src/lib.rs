//! FerroLB's controller: lends addresses from pools to Services of type LoadBalancer.
//!
//! ```text
//!  watches --> project --> Index --> core::allocator --> Executor --> API server
//!                                      ^      |             |
//!                                      |      +--> notices  |
//!                                      +------ outcome -----+
//! ```
//!
//! Every decision is made in `core::allocator`; this crate tells it what the API server shows,
//! carries out the calls that it asks for, and reports what became of them. Start reading in
//! `app`.

#![forbid(unsafe_code)]

pub mod app;
pub mod args;
pub mod executor;
pub mod gossip_secret;
pub mod lending;
pub mod metrics;
pub mod notices;
pub mod patch;
pub mod project;
pub mod speakers;
