//! How a claim ends: Held -> Releasing -> Quarantined -> gone, and back to Held for whom it rests.
//!
//! A claim by which a person reserves the address does not go: it comes to rest as that person
//! wrote it, and the controller never deletes it.

use std::net::IpAddr;
use std::time::Duration;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::Call;
use crate::allocator::claims::update;
use crate::allocator::slot::Slot;
use crate::claim::{Claim, ClaimSpec, ClaimState, Holder};
use crate::time::{Now, Timestamp};

/// How long the owner's withdrawal is waited for. An owner that is alive needs milliseconds, and
/// one that is not does not answer.
const WITHDRAWAL: Duration = Duration::from_secs(2);

// === impl Allocator ===

impl Allocator {
    /// The next call for a claim whose holders all are to go: each is let go once it has let go of
    /// the address and carries nothing of ours. The last one keeps a name on the claim until then.
    pub(super) fn converge_left(&mut self, claim: &Claim, staying: &[Holder], now: Now) -> Option<Call> {
        if let [last] = claim.spec.holders.as_slice() {
            let may_begin = self.may_begin_release(&last.service, claim.spec.address);
            return may_begin.then(|| begin_release(claim, now.wall));
        }
        if staying.is_empty() {
            return Some(begin_release(claim, now.wall));
        }
        let spec = ClaimSpec {
            held_by: ClaimSpec::join_holders(staying),
            holders: staying.to_vec(),
            ..claim.spec.clone()
        };
        (spec != claim.spec).then(|| update(claim, spec))
    }

    /// The next call for a claim that nobody holds.
    pub(super) fn converge_vacant(&mut self, claim: &Claim, now: Now) -> Option<Call> {
        if claim.is_idle_reservation() {
            tidy_reservation(claim)
        } else if claim.spec.state == Some(ClaimState::Quarantined) {
            self.converge_quarantined(claim, now)
        } else {
            self.converge_releasing(claim, now)
        }
    }

    /// The next call for a claim without holders that has not come to rest yet.
    fn converge_releasing(&mut self, claim: &Claim, now: Now) -> Option<Call> {
        let address = claim.spec.address;
        if claim.has_owner {
            let end = self.ledger.note(address, |progress| {
                *progress.withdraw_by.get_or_insert(now.time + WITHDRAWAL)
            });
            if end > now.time {
                self.agenda.set_alarm(Task::Claim(address), end);
                return None;
            }
        }
        let was_withdrawn = self.ledger.note(address, |progress| {
            std::mem::replace(&mut progress.is_withdrawn, true)
        });
        if let Some(last) = &claim.spec.last_holder
            && !self.may_end_release(last, address)
        {
            if !was_withdrawn {
                // The finalizer was waiting for this.
                self.agenda.push(Task::Service(last.clone()));
                self.agenda.push(Task::Departed(last.clone()));
            }
            return None;
        }
        if self.quarantine(address).is_zero() {
            return Some(end(claim));
        }
        let spec = ClaimSpec {
            state: Some(ClaimState::Quarantined),
            state_since: Some(now.wall),
            held_by: None,
            ..claim.spec.clone()
        };
        Some(update(claim, spec))
    }

    /// The next call for a claim that rests.
    fn converge_quarantined(&mut self, claim: &Claim, now: Now) -> Option<Call> {
        let rest = self.quarantine(claim.spec.address);
        let seconds = i64::try_from(rest.as_secs()).unwrap_or(i64::MAX);
        let latest = Timestamp(now.wall.0.saturating_add(seconds));
        let Some(since) = claim.spec.state_since.filter(|since| *since <= latest) else {
            // No beginning, or one that a wrong clock wrote: it begins now.
            let spec = ClaimSpec {
                state_since: Some(now.wall),
                ..claim.spec.clone()
            };
            return Some(update(claim, spec));
        };
        let rested = Duration::from_secs(now.wall.seconds_since(since));
        if rested < rest {
            let end = now.time + (rest - rested);
            self.agenda.set_alarm(Task::Claim(claim.spec.address), end);
            return None;
        }
        Some(end(claim))
    }

    fn quarantine(&self, address: IpAddr) -> Duration {
        let recorded = || self.ledger.slot(address).and_then(Slot::recorded_pool);
        self.pools
            .quarantine(self.ledger.pool_of(address).or_else(recorded))
    }
}

/// Lets the last holders of a claim go.
fn begin_release(claim: &Claim, now: Timestamp) -> Call {
    let last_holder = claim.spec.holders.first().map(|holder| holder.service.clone());
    let spec = ClaimSpec {
        state: Some(ClaimState::Releasing),
        state_since: Some(now),
        held_by: None,
        last_holder,
        holders: Vec::new(),
        ..claim.spec.clone()
    };
    update(claim, spec)
}

/// The call that takes off a reservation what the controller writes and nothing stands for, if
/// there is anything.
fn tidy_reservation(claim: &Claim) -> Option<Call> {
    // The pool is a person's word here: nobody holds the address from any.
    let pool = claim.spec.pool.clone();
    let spec = ClaimSpec {
        pool,
        ..reservation(claim)
    };
    (spec != claim.spec).then(|| update(claim, spec))
}

/// The end of a claim: only what a person reserves is left of it.
fn end(claim: &Claim) -> Call {
    if claim.spec.reserved {
        return update(claim, reservation(claim));
    }
    Call::DeleteClaim {
        address: claim.spec.address,
        uid: claim.uid.clone(),
        resource_version: claim.resource_version.clone(),
    }
}

/// What a person writes of a reservation. Not the pool: the controller wrote that last, and to
/// leave it would say that the person wants the address from there.
fn reservation(claim: &Claim) -> ClaimSpec {
    ClaimSpec {
        address: claim.spec.address,
        reserved: claim.spec.reserved,
        reserved_for: claim.spec.reserved_for.clone(),
        pool: None,
        state: None,
        state_since: None,
        held_by: None,
        last_holder: None,
        holders: Vec::new(),
    }
}
