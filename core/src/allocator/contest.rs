//! Whether somebody else keeps writing a Service's status, and how patiently we repair it.
//!
//! A status that is wiped once is repaired at once. A writer that reverts every repair must not
//! draw us into a race: the pauses grow, and the condition names the writer.

use std::net::IpAddr;
use std::time::Duration;

use crate::allocator::retry::pause;
use crate::request::ServiceStatus;
use crate::time::Time;

/// The pause before the second repair.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two repairs.
const LONGEST: Duration = Duration::from_secs(300);
/// How many reverted writes make a contest: one is an accident, two may be.
const REVERTS: u32 = 3;
/// A status that stood for this many times the pause after the next is no longer contested.
const CALM: u32 = 2;

/// The history of one Service's status.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    reverts: u32,
    written: Option<(Vec<IpAddr>, Time)>,
    not_before: Option<Time>,
    rival: Option<String>,
}

// === impl Contest ===

impl Contest {
    /// We wrote these addresses.
    pub(super) fn write(&mut self, addresses: Option<Vec<IpAddr>>, now: Time) {
        self.written = addresses.map(|addresses| (addresses, now));
    }

    /// The watch shows a status; `wanted` is what we still want it to be.
    pub(super) fn see(&mut self, wanted: &[IpAddr], status: &ServiceStatus, now: Time) {
        let shown = || status.ingress.iter().map(|entry| entry.address);
        let stands = |wrote: &[IpAddr]| shown().eq(wrote.iter().copied().map(Some));
        let Some((wrote, _)) = self.written.take_if(|(wrote, _)| !stands(wrote)) else {
            return;
        };
        if wrote != wanted {
            return;
        }
        self.reverts = self.reverts.saturating_add(1);
        self.rival.clone_from(&status.other_manager);
        self.not_before = match self.reverts {
            0 | 1 => None,
            more => Some(now + pause(FIRST, LONGEST, more - 2)),
        };
    }

    /// Until when to leave the status alone.
    pub(super) fn wait(&self, now: Time) -> Option<Time> {
        self.not_before.filter(|time| *time > now)
    }

    /// When what we wrote will have stood long enough; `None` when nothing was reverted.
    pub(super) fn calm_at(&self) -> Option<Time> {
        let (_, since) = self.written.as_ref().filter(|_| self.reverts > 0)?;
        Some(*since + pause(FIRST, LONGEST, self.reverts) * CALM)
    }

    /// Forgets what has been calm for long enough.
    pub(super) fn calm_down(&mut self, now: Time) {
        if self.calm_at().is_some_and(|calm| calm <= now) {
            self.reverts = 0;
            self.not_before = None;
            self.rival = None;
        }
    }

    /// Who contests the status, if anybody does.
    pub(super) fn rival(&self) -> Option<&str> {
        (self.reverts >= REVERTS).then(|| self.rival.as_deref().unwrap_or("somebody"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WROTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn mk_wiped() -> ServiceStatus {
        ServiceStatus {
            other_manager: Some("rival".to_owned()),
            ..ServiceStatus::default()
        }
    }

    fn revert(contest: &mut Contest, now: Time) -> Option<Time> {
        contest.write(Some(vec![WROTE]), now);
        contest.see(&[WROTE], &mk_wiped(), now);
        contest.wait(now)
    }

    #[test]
    fn the_first_revert_is_repaired_at_once_and_the_next_ever_later() {
        let mut contest = Contest::default();
        assert_eq!(contest.calm_at(), None);
        let waits: Vec<_> = (0..12).map(|_| revert(&mut contest, Time::ZERO)).collect();
        assert_eq!(
            waits[..5],
            [None, Some(at(1)), Some(at(2)), Some(at(4)), Some(at(8))]
        );
        assert_eq!(waits[11], Some(at(300)));
    }

    #[test]
    fn the_third_revert_names_the_rival_and_a_calm_time_forgets_it() {
        let mut contest = Contest::default();
        for _ in 0..2 {
            revert(&mut contest, Time::ZERO);
        }
        assert_eq!(contest.rival(), None);
        revert(&mut contest, Time::ZERO);
        assert_eq!(contest.rival(), Some("rival"));
        contest.write(Some(vec![WROTE]), at(10));
        let calm = contest.calm_at().expect("it was reverted");
        assert_eq!(calm, at(26));
        contest.calm_down(at(25));
        assert_eq!(contest.rival(), Some("rival"));
        contest.calm_down(calm);
        assert_eq!((contest.rival(), contest.wait(at(26))), (None, None));
    }

    #[test]
    fn what_we_want_no_more_is_not_contested() {
        let mut contest = Contest::default();
        for _ in 0..5 {
            contest.write(Some(vec![WROTE]), Time::ZERO);
            contest.see(&[], &mk_wiped(), Time::ZERO);
        }
        assert_eq!((contest.rival(), contest.wait(Time::ZERO)), (None, None));
    }
}
