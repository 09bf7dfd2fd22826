//! What both binaries need around their decisions: flags, logs, the clocks, the API client,
//! watches, the Lease, the admin server, and an orderly end.
//!
//! Nothing here knows what FerroLB is about; nothing here decides anything about addresses.

#![forbid(unsafe_code)]

pub mod admin;
pub mod args;
pub mod backoff;
pub mod client;
pub mod clock;
pub mod index;
pub mod latest;
pub mod lease;
pub mod logging;
pub mod readiness;
pub mod reading;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;
pub mod sentence;
pub mod shutdown;
pub mod throttle;
pub mod trouble;
pub mod vital;
pub mod watch;

/// Version and commit, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FERROLB_COMMIT"), ")");
