//! Whom to greet, and when: how a member finds the others, and again after everybody was lost.
//!
//! foca never announces itself again once it knows nobody, so one lost datagram would leave a
//! member alone for good. The join loop says Hello to the seeds and to everybody ever known until
//! one member is active. After that it still greets the seeds nobody has heard of, a few at a
//! time: two groups that formed apart must find each other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::time::Time;

/// While alone: how often, and how many at a time.
const ALONE: Duration = Duration::from_millis(300);
const ALONE_FANOUT: usize = 32;
/// With others: how often, and how many at a time.
const SETTLED: Duration = Duration::from_millis(500);
const SETTLED_FANOUT: usize = 3;
/// No two rounds are closer than this, whatever happens.
const PAUSE: Duration = Duration::from_millis(50);
/// After this long alone, the others are either not there or cannot be reached.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The join loop.
#[derive(Debug)]
pub(super) struct Join {
    seeds: BTreeSet<SocketAddr>,
    /// An active member knows us.
    is_settled: bool,
    /// Was settled once.
    has_settled: bool,
    /// When greeting began.
    since: Time,
    next: Time,
    /// When the last round was.
    greeted: Option<Time>,
    /// The last address greeted; the next round goes on behind it.
    last: Option<SocketAddr>,
}

// === impl Join ===

impl Join {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            seeds: BTreeSet::new(),
            is_settled: false,
            has_settled: false,
            since: now,
            next: now,
            greeted: None,
            last: None,
        }
    }

    /// Replaces the seeds.
    pub(super) fn set_seeds(&mut self, seeds: BTreeSet<SocketAddr>, now: Time) {
        let grows = !seeds.is_subset(&self.seeds);
        self.seeds = seeds;
        if grows && !self.is_settled {
            self.next = self.next.min(now);
        }
    }

    /// foca says whether an active member knows us.
    pub(super) fn set_settled(&mut self, is_settled: bool, now: Time) {
        // At once, because a member that was held Down by mistake is alone until it is heard.
        if !is_settled {
            let earliest = self.greeted.map_or(now, |greeted| greeted + PAUSE);
            self.next = self.next.min(now.max(earliest));
        }
        self.is_settled = is_settled;
        self.has_settled |= is_settled;
    }

    /// Whether joining has succeeded once, or was tried for long enough to go on alone.
    pub(super) fn is_attempted(&self, now: Time) -> bool {
        self.has_settled || now.saturating_since(self.since) >= ATTEMPT
    }

    pub(super) const fn poll_timeout(&self) -> Time {
        self.next
    }

    /// Whom to greet now, if it is time. `known` are addresses of members, with whether they are
    /// active.
    pub(super) fn poll_greetings(
        &mut self,
        known: impl Iterator<Item = (SocketAddr, bool)>,
        now: Time,
    ) -> Vec<SocketAddr> {
        if now < self.next {
            return Vec::new();
        }
        let (interval, fanout) = if self.is_settled {
            (SETTLED, SETTLED_FANOUT)
        } else {
            (ALONE, ALONE_FANOUT)
        };
        self.next = now + interval;
        self.greeted = Some(now);

        let mut missing = self.seeds.clone();
        let mut active = BTreeSet::new();
        for (address, is_active) in known {
            if is_active {
                active.insert(address);
            } else {
                missing.insert(address);
            }
        }
        let mut missing: Vec<_> = missing.difference(&active).copied().collect();
        // Go on where the last round stopped, so that a long list is worked through.
        let behind_last = missing.partition_point(|address| Some(*address) <= self.last);
        missing.rotate_left(behind_last);
        missing.truncate(fanout);
        if let Some(last) = missing.last() {
            self.last = Some(*last);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 7979))
    }

    fn mk_join(seeds: u8) -> Join {
        let mut join = Join::new(Time::ZERO);
        join.set_seeds((1..=seeds).map(address).collect(), Time::ZERO);
        join
    }

    #[test]
    fn alone_it_greets_every_seed_every_300_ms() {
        let mut join = mk_join(3);
        let all: Vec<_> = (1..=3).map(address).collect();
        for now in [0, 300, 600] {
            let now = Time::from_millis(now);
            assert_eq!(join.poll_timeout(), now);
            let mut greeted = join.poll_greetings(std::iter::empty(), now);
            greeted.sort();
            assert_eq!(greeted, all);
            assert_eq!(join.poll_greetings(std::iter::empty(), now), [], "once per round");
        }
    }

    #[test]
    fn settled_it_greets_a_few_of_those_that_are_missing_in_turn() {
        let mut join = mk_join(7);
        join.set_settled(true, Time::ZERO);
        let known = || [(address(1), true), (address(9), false)].into_iter();
        let mut rounds = Vec::new();
        for round in 0..4 {
            rounds.push(join.poll_greetings(known(), Time::from_millis(round * 500)));
        }
        let expected = [[2, 3, 4], [5, 6, 7], [9, 2, 3], [4, 5, 6]];
        assert_eq!(rounds, expected.map(|round| round.map(address).to_vec()));
    }

    #[test]
    fn losing_everybody_starts_greeting_at_once() {
        let mut join = mk_join(1);
        join.set_settled(true, Time::ZERO);
        join.poll_greetings(std::iter::empty(), Time::ZERO);
        join.set_settled(false, Time::from_millis(70));
        assert_eq!(join.poll_timeout(), Time::from_millis(70));
        join.poll_greetings(std::iter::empty(), Time::from_millis(70));
        join.set_settled(false, Time::from_millis(80));
        assert_eq!(join.poll_timeout(), Time::from_millis(120), "but not in a storm");
    }

    #[test]
    fn the_attempt_is_over_when_settled_or_after_two_seconds() {
        let mut join = mk_join(1);
        assert!(!join.is_attempted(Time::from_millis(1999)));
        assert!(join.is_attempted(Time::from_millis(2000)));
        join.set_settled(true, Time::from_millis(5));
        join.set_settled(false, Time::from_millis(6));
        assert!(join.is_attempted(Time::from_millis(6)), "joined once is joined");
    }
}
