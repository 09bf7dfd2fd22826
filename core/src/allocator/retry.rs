//! When to try again what did not work.

use std::time::Duration;

use crate::time::Time;

/// The first pause after a call whose outcome is unknown or that met another version.
const FIRST: Duration = Duration::from_millis(100);
/// The longest such pause: after an outage everything is tried again within this time.
const LONGEST: Duration = Duration::from_secs(2);
/// The first pause after the API server refused a call for what it says.
const FIRST_REJECTED: Duration = Duration::from_secs(1);
/// The longest such pause: only a person can help.
const LONGEST_REJECTED: Duration = Duration::from_secs(300);

/// The pauses of one object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    not_before: Option<Time>,
}

// === impl Retry ===

impl Retry {
    /// When the next call may be made; `None` = now.
    pub(super) fn wait(self, now: Time) -> Option<Time> {
        self.not_before.filter(|time| *time > now)
    }

    /// A call worked.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// A call met another version of the object. The first time that is no reason to pause: the
    /// next call only reads.
    pub(super) fn meet_other_version(&mut self, now: Time) {
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => pause(FIRST, LONGEST, failures - 1),
        };
        self.fail(now + pause);
    }

    /// Nobody knows what became of a call.
    pub(super) fn lose(&mut self, now: Time) {
        self.fail(now + pause(FIRST, LONGEST, self.failures));
    }

    /// The API server refused a call for what it says; answers whether that is news.
    pub(super) fn reject(&mut self, now: Time) -> bool {
        let is_first = self.failures == 0;
        self.fail(now + pause(FIRST_REJECTED, LONGEST_REJECTED, self.failures));
        is_first
    }

    /// What was waited for has come: no more pause, though the failures count.
    pub(super) fn forgive(&mut self) {
        self.not_before = None;
    }

    fn fail(&mut self, not_before: Time) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(not_before);
    }
}

/// `first` doubled `doublings` times, at most `longest`.
pub(super) fn pause(first: Duration, longest: Duration, doublings: u32) -> Duration {
    let factor = 2_u32.saturating_pow(doublings);
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(mut step: impl FnMut(&mut Retry, Time)) -> Vec<u64> {
        let mut retry = Retry::default();
        (0..12)
            .map(|_| {
                step(&mut retry, Time::ZERO);
                let wait = retry.wait(Time::ZERO).unwrap_or(Time::ZERO).since_origin();
                u64::try_from(wait.as_millis()).expect("short")
            })
            .collect()
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let lost = waits(Retry::lose);
        assert_eq!(lost[..6], [100, 200, 400, 800, 1600, 2000]);
        let rejected = waits(|retry, now| {
            retry.reject(now);
        });
        assert_eq!(rejected[..3], [1000, 2000, 4000]);
        assert_eq!(rejected[11], 300_000);
        let met = waits(Retry::meet_other_version);
        assert_eq!(met[..4], [0, 100, 200, 400]);
    }
}
