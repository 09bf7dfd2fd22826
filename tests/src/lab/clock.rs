//! The lab's only reader of clocks: it measures real programs, so real time is its subject.

use std::time::{Instant, SystemTime};

/// Returns the monotonic time.
#[allow(
    clippy::disallowed_methods,
    reason = "the lab drives real programs in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time, which the logs of the programs under test carry.
#[allow(
    clippy::disallowed_methods,
    reason = "the lab compares its times with those in logs"
)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
