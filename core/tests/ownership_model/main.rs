//! The ownership machine on several nodes, in random histories.
//!
//! Real machines, a virtual network and clock, a stand-in for membership, and an oracle that checks
//! the invariants of the design after every step. Seeds replay byte by byte:
//! `FERROLB_MODEL_SEED=7 FERROLB_MODEL_LOG=1 cargo test -p ferrolb-core --test ownership_model random`
//! shows one history, `FERROLB_MODEL_HISTORIES=100000` runs more of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

mod causes;
mod oracle;
mod random;
mod sim;
mod swim;
mod world;

use std::time::Duration;

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
