//! How long the machine waits for what.

use std::time::Duration;

use crate::record::LAST_SLOT;

/// Periods and bounds; the defaults are the product's, tests may shorten none of them in secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often every live member is told what there is to be held.
    pub digest: Duration,
    /// How often what was not acknowledged is sent again: records, floors, offers, the last words.
    pub resend: Duration,
    /// How much longer each slot waits than the one before, before it takes an orphan.
    pub slot: Duration,
    /// How long an owner waits for the target of an offer.
    pub offer: Duration,
    /// How long a member counts as live after it was heard, whatever membership says. Above two
    /// digests, and below what membership takes to notice a death, so that it delays none.
    pub heard: Duration,
    /// How long a start, or a take, waits for what other live members publish.
    pub sync: Duration,
    /// How long a cold start waits for the speakers of Ready nodes.
    pub cold_start: Duration,
    /// How often an owner may raise its epoch above a remembered one.
    pub raise: Duration,
    /// How long a VIP is without owner before a dead one is cleared from its claim's status.
    pub abandon: Duration,
    /// How long an owner that wrote itself into the status again is believed to live elsewhere.
    pub defended: Duration,
    /// How long a drain may take before the goodbye.
    pub drain: Duration,
    /// How long a vanished pool's advertisements still count.
    pub linger: Duration,
    /// How long the floor of a VIP is kept beyond its claim.
    pub memory: Duration,
    /// How often it is looked what may be forgotten.
    pub purge: Duration,
}

// === impl Timing ===

impl Timing {
    /// How long it takes until the last slot has taken what was orphaned at one time.
    pub(super) fn wave(&self) -> Duration {
        self.slot * (u32::from(LAST_SLOT) + 1)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            digest: Duration::from_millis(100),
            resend: Duration::from_millis(15),
            slot: Duration::from_millis(50),
            offer: Duration::from_millis(150),
            heard: Duration::from_millis(250),
            sync: Duration::from_secs(1),
            cold_start: Duration::from_secs(3),
            raise: Duration::from_secs(1),
            abandon: Duration::from_secs(1),
            defended: Duration::from_secs(600),
            drain: Duration::from_secs(1),
            linger: Duration::from_secs(10),
            memory: Duration::from_secs(3_600),
            purge: Duration::from_secs(60),
        }
    }
}
