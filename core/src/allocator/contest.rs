//! Whether somebody else keeps changing back what we write, and how patiently we repair it.
//!
//! What is reverted once is repaired at once. A writer that reverts every repair must not draw us
//! into a race: the pauses grow, and from the third time on people are told who it is.
//!
//! A revert is a change by somebody else to a part of an object that stood as we had written it,
//! and that we still want otherwise. Each write of ours can be reverted once: what becomes of it
//! after that is no news.

mod claim;
mod parts;

use std::time::Duration;

pub(super) use parts::{Parts, say_same};

use crate::allocator::retry::pause;
use crate::time::Time;

/// The pause before the second repair.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two repairs of a status.
const LONGEST: Duration = Duration::from_secs(300);
/// The same of a claim: nodes go by it, so that who gives up must not be waited for as long.
const LONGEST_CLAIM: Duration = Duration::from_secs(15);
/// How many reverted writes make a contest: one is an accident, two may be.
const REVERTS: u32 = 3;
/// What stood for this many times the pause after the next is no longer contested.
const CALM: u32 = 2;

/// The history of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    /// What we wrote last has landed, and no change of it was counted.
    stands: bool,
    /// What somebody else has changed of it since.
    changed: Parts,
    /// What was reverted lately: hardly ever anything.
    quarrel: Option<Box<Quarrel>>,
}

/// Reverts that have not been forgotten.
#[derive(Clone, Debug)]
struct Quarrel {
    reverts: u32,
    not_before: Time,
    /// When we wrote last, or are to.
    since: Time,
    parts: Parts,
    rival: Option<String>,
}

// === impl Contest ===

impl Contest {
    /// A write of ours has landed, and this much of it has been changed already.
    pub(super) fn write(&mut self, changed: Parts, now: Time) {
        self.stands = true;
        self.changed = changed;
        if let Some(quarrel) = &mut self.quarrel {
            quarrel.since = now;
        }
    }

    /// A write of ours went astray: nobody knows who makes the next change.
    pub(super) fn lose(&mut self) {
        self.stands = false;
        self.changed = Parts::NONE;
    }

    /// The watch shows that somebody has changed this.
    pub(super) fn see(&mut self, changed: Parts) {
        if self.stands {
            self.changed |= changed;
        }
    }

    /// This is not as we want it. Answers what of it was reverted; `rival` is who may have changed
    /// addresses.
    pub(super) fn judge(&mut self, amiss: Parts, rival: Option<&str>, now: Time) -> Parts {
        let reverted = std::mem::take(&mut self.changed) & amiss;
        if reverted.is_empty() {
            return reverted;
        }
        self.stands = false;
        let quarrel = self.quarrel.get_or_insert_with(|| {
            Box::new(Quarrel {
                reverts: 0,
                not_before: now,
                since: now,
                parts: Parts::NONE,
                rival: None,
            })
        });
        quarrel.parts |= reverted;
        quarrel.reverts = quarrel.reverts.saturating_add(1);
        quarrel.not_before = match quarrel.reverts {
            0 | 1 => now,
            more => now + quarrel.pause_after(more - 2),
        };
        quarrel.since = quarrel.not_before;
        // Of several who take turns one is named: to name each in turn would be news each time.
        let is_named = quarrel.rival.is_some() && quarrel.reverts > REVERTS;
        if let Some(rival) = rival.filter(|_| reverted.has(Parts::INGRESS) && !is_named) {
            quarrel.rival = Some(rival.to_owned());
        }
        reverted
    }

    /// Until when to leave the object alone.
    pub(super) fn wait(&self, now: Time) -> Option<Time> {
        let not_before = self.quarrel.as_ref().map(|quarrel| quarrel.not_before);
        not_before.filter(|time| *time > now)
    }

    /// When what we write will have stood long enough; `None` when nothing was reverted.
    pub(super) fn calm_at(&self) -> Option<Time> {
        let quarrel = self.quarrel.as_ref()?;
        Some(quarrel.since + quarrel.pause_after(quarrel.reverts) * CALM)
    }

    /// Forgets what has been calm for long enough.
    pub(super) fn calm_down(&mut self, now: Time) {
        if self.calm_at().is_some_and(|calm| calm <= now) {
            self.quarrel = None;
        }
    }

    /// Whether the last revert is the one that makes it a contest.
    pub(super) fn has_just_begun(&self) -> bool {
        let mut quarrel = self.quarrel.iter();
        quarrel.any(|quarrel| quarrel.reverts == REVERTS)
    }

    /// Who contests what of the object, if anybody does.
    pub(super) fn complaint(&self) -> Option<String> {
        let quarrel = self.quarrel.as_ref()?;
        let rival = quarrel.rival.as_deref().unwrap_or("somebody");
        let advice = if quarrel.rival.is_some() {
            "let one of the two load balancers ignore this Service"
        } else {
            "look who writes it (kubectl get -o yaml --show-managed-fields), and have that leave it alone"
        };
        let name = quarrel.parts.name();
        (quarrel.reverts >= REVERTS).then(|| format!("{rival} keeps changing {name} back: {advice}"))
    }

    /// Whether anybody contests the object.
    pub(super) fn is_contested(&self) -> bool {
        let mut quarrel = self.quarrel.iter();
        quarrel.any(|quarrel| quarrel.reverts >= REVERTS)
    }
}

// === impl Quarrel ===

impl Quarrel {
    fn pause_after(&self, doublings: u32) -> Duration {
        let longest = match self.parts.has(Parts::CLAIM) {
            true => LONGEST_CLAIM,
            false => LONGEST,
        };
        pause(FIRST, longest, doublings)
    }
}

#[cfg(test)]
mod tests;
