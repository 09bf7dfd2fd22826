//! FerroLB's decisions, without I/O.
//!
//! Everything here is a synchronous function or state machine: time, randomness and bytes are
//! arguments, effects are return values. The crate knows neither tokio, kube, libc, sockets nor
//! clocks, and `cargo xtask lint` proves it from the dependency graph.

#![forbid(unsafe_code)]

pub mod address;
pub mod address_set;
pub mod allocator;
pub mod burst;
pub mod candidate;
pub mod claim;
pub mod condition;
pub mod facts;
pub mod interface;
pub mod membership;
pub mod node;
pub mod object;
pub mod ownership;
pub mod pattern;
pub mod plan;
pub mod pool;
pub mod range;
pub mod rank;
pub mod reason;
pub mod record;
pub mod request;
pub mod responder;
pub mod selector;
pub mod service;
pub mod sharing;
pub mod subnet;
pub mod table;
pub mod time;
pub mod wire;
