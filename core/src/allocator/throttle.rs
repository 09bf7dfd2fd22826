//! How the whole machine slows down when the API server asks for it (429).
//!
//! Such a refusal is about the client and not about an object, and it is certain that nothing was
//! done. So nothing needs to be read again and no object is the worse for it: nobody calls before
//! the stated time is over, then one call feels the way, and each one that is not refused for
//! being one too many doubles how many may be under way.

use std::time::Duration;

use crate::time::Time;

/// The pause when none was stated; clients of Kubernetes take the same.
const UNSTATED: Duration = Duration::from_secs(1);
/// The shortest pause: "after 0 s" is not "at once and for ever".
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause: a proxy that says an hour does not stop us for one.
const LONGEST: Duration = Duration::from_secs(10);
/// Wider than any driver lets calls go, so that from here on only the driver bounds them.
const WIDE: usize = 64;

/// What the API server has asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttle {
    /// Nobody calls before.
    not_before: Option<Time>,
    /// How many calls may be under way; `None` = as many as the driver likes.
    width: Option<usize>,
}

// === impl Throttle ===

impl Throttle {
    /// A call was refused for being one too many.
    pub(super) fn slow_down(&mut self, asked: Option<Duration>, now: Time) {
        let end = now + asked.unwrap_or(UNSTATED).clamp(SHORTEST, LONGEST);
        self.not_before = self.not_before.max(Some(end));
        self.width = Some(1);
    }

    /// A call came to another end.
    pub(super) fn speed_up(&mut self) {
        self.width = self.width.map(|width| width * 2).filter(|width| *width < WIDE);
    }

    /// Whether one more call may be made beside those under way.
    pub(super) fn admits(&mut self, under_way: usize, now: Time) -> bool {
        self.not_before = self.not_before.filter(|time| *time > now);
        self.not_before.is_none() && self.width.is_none_or(|width| under_way < width)
    }

    /// When calls may be made again, as of the last question.
    pub(super) fn pause_ends(&self) -> Option<Time> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn nobody_calls_before_the_stated_time_is_over_within_bounds() {
        let seconds = Duration::from_secs;
        let table = [
            (Some(seconds(3)), 3000),
            (None, 1000),
            (Some(seconds(0)), 100),
            (Some(seconds(3600)), 10_000),
        ];
        for (asked, pause) in table {
            let mut throttle = Throttle::default();
            assert!(throttle.admits(15, at(0)), "nobody has asked for less");
            throttle.slow_down(asked, at(0));
            assert!(!throttle.admits(0, at(pause - 1)), "{asked:?}");
            assert_eq!(throttle.pause_ends(), Some(at(pause)), "{asked:?}");
            assert!(throttle.admits(0, at(pause)), "{asked:?}");
            assert_eq!(throttle.pause_ends(), None, "{asked:?}");
        }
    }

    #[test]
    fn the_longest_of_several_pauses_counts() {
        let mut throttle = Throttle::default();
        throttle.slow_down(Some(Duration::from_secs(5)), at(0));
        throttle.slow_down(Some(Duration::from_secs(1)), at(100));
        assert!(!throttle.admits(0, at(4999)));
        assert!(throttle.admits(0, at(5000)));
    }

    #[test]
    fn after_the_pause_one_call_feels_the_way_and_more_follow() {
        let mut throttle = Throttle::default();
        throttle.slow_down(None, at(0));
        assert!(throttle.admits(0, at(1000)));
        assert!(!throttle.admits(1, at(1000)));
        throttle.speed_up();
        assert!(throttle.admits(1, at(1001)) && !throttle.admits(2, at(1001)));
        for _ in 0..5 {
            throttle.speed_up();
        }
        assert!(throttle.admits(1000, at(1002)), "only the driver bounds it");
    }
}
