//! How long to wait before the next attempt.
//!
//! The cap is short on purpose: when an API server comes back, everything that waits here is at
//! most one wait behind, and a few clients asking once in a second and a half cost it nothing.
//! The jitter keeps the replicas and the nodes of a cluster from asking in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait, jitter included.
const CAP: Duration = Duration::from_millis(1500);

/// Waits that double from a tenth of a second up to a cap, each shortened by up to a quarter at random.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    cap: Duration,
    random: u64,
}

// === impl Backoff ===

impl Backoff {
    /// The waits between attempts to reach the API server.
    pub fn new() -> Self {
        Self::with_cap(CAP)
    }

    /// Waits that grow up to `cap`.
    pub fn with_cap(cap: Duration) -> Self {
        Self {
            next: FIRST.min(cap),
            cap,
            // The standard library's hasher is seeded by the kernel; the low bit keeps the
            // generator below from its fixed point at zero.
            random: RandomState::new().build_hasher().finish() | 1,
        }
    }

    /// Starts again from the shortest wait: something has succeeded.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.cap);
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.cap);
        // xorshift64: enough to spread clients, and no dependency.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let quarter = whole / 4;
        let thousandths = u32::try_from(self.random % 1000).unwrap_or(0);
        whole - quarter * thousandths / 1000
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(
            waits[0] <= FIRST && waits[0] >= FIRST * 3 / 4,
            "first wait {:?}",
            waits[0]
        );
        for wait in &waits[5..] {
            assert!(*wait <= CAP && *wait >= CAP * 3 / 4, "settled wait {wait:?}");
        }
        let settled: std::collections::BTreeSet<_> = waits[5..].iter().collect();
        assert!(settled.len() > 5, "waits without jitter: {settled:?}");
    }

    #[test]
    fn success_starts_over() {
        let mut backoff = Backoff::new();
        for _ in 0..10 {
            backoff.next_wait();
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
