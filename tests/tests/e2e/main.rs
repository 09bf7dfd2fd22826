//! Tests of the whole thing, on the upper rungs of the ladder: each needs a real control plane.
//!
//! The first module of a test's path is its rung: `api` has the control plane alone, `lab` real
//! binaries as processes of node namespaces, `cluster` real nodes that run the chart's pods. Modules
//! without tests are what several of these have in common.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "these are tests"
)]

mod api;
mod churn;
mod cluster;
mod ending;
mod lab;
mod rounds;
mod shell;
mod tenant;
mod transcript;
