//! The two clocks, as values: a monotonic one for protocols, wall time for what is stored.
//!
//! Nothing in this crate reads a clock; drivers do, and pass these in.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on a monotonic clock that also counts suspended time (`CLOCK_BOOTTIME`).
///
/// The origin has no meaning; only differences do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Duration);

/// Wall-clock time in whole seconds since the Unix epoch, as stored in Kubernetes objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// Both clocks, read at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: for waiting.
    pub time: Time,
    /// Wall time: for what is stored.
    pub wall: Timestamp,
}

// === impl Time ===

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The time that is `since_origin` after the origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Milliseconds after the origin, for tests and simulations.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// What has passed since the origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// What has passed since `earlier`, or zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

// === impl Timestamp ===

impl Timestamp {
    /// Whole seconds since `earlier`, or zero when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}
