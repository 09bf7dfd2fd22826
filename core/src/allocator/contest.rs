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
/// A status that stood for this many times the next pause is no longer contested.
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
