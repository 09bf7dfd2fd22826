//! `ferrolb-lab bench`: the figures that the budgets are about, measured on this machine.
//!
//! Machines are noisy, so what is compared is measured in the same run, and a figure is only published
//! together with the command that prints it. What is promised in seconds of a clock is judged here, at
//! the end of a benchmark, and in no test.

#![allow(clippy::print_stdout, reason = "what a benchmark prints is its product")]

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;

mod allocate;
mod failover;

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// How long a client waits when the owner's speaker, link or node is lost, or is asked to leave.
    Failover(failover::Args),
    /// How fast Services get their addresses, beside bare API writes of the same kind.
    Allocate(allocate::Args),
}

// === impl Bench ===

impl Bench {
    /// Measures and prints.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Failover(args) => failover::run(args).await,
            Self::Allocate(args) => allocate::run(args).await,
        }
    }
}

/// The value that `percent` of the samples do not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Result<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .context("there is nothing to take a percentile of")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Vec<_> = (1..=10).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50).unwrap(), Duration::from_millis(5));
        assert_eq!(percentile(&samples, 99).unwrap(), Duration::from_millis(10));
        assert_eq!(percentile(&samples, 100).unwrap(), Duration::from_millis(10));
        assert!(percentile(&[], 50).is_err());
    }
}
