//! Services of other types that carry our marks yet, and that nothing else points to.
//!
//! The watch shows Services of type LoadBalancer. One that changed its type while nobody led is
//! found by the claim that names it, unless it had none, or somebody deleted or edited the claim.
//! So whoever begins to lead looks once for those that are left.

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, CallId, Outcome, Stored};
use crate::allocator::retry::Retry;
use crate::service::ServiceKey;
use crate::time::Now;

/// How far the look has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftovers {
    is_done: bool,
    /// The call under way.
    pub(super) call: Option<CallId>,
    retry: Retry,
}

// === impl Allocator ===

impl Allocator {
    /// The call that finds them, if they have not been looked for.
    pub(super) fn converge_leftovers(&mut self, now: Now) -> Option<Call> {
        let Leftovers { is_done, call, retry } = &self.leftovers;
        if *is_done || call.is_some() {
            return None;
        }
        if let Some(time) = retry.wait(now.time) {
            self.agenda.set_alarm(Task::Leftovers, time);
            return None;
        }
        Some(Call::FindLeftovers)
    }

    /// The look has found these, or was in vain.
    pub(super) fn settle_leftovers_call(&mut self, outcome: Outcome, now: Now) {
        self.leftovers.call = None;
        self.agenda.push(Task::Leftovers);
        match outcome {
            Outcome::Done(stored) => {
                self.leftovers.is_done = true;
                if let Stored::Leftovers(keys) = *stored {
                    self.seek_leftovers(&keys);
                }
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::NotFound | Outcome::Unknown => {
                self.leftovers.retry.lose(now.time);
            }
            Outcome::Throttled(_) => {}
            Outcome::Rejected(_) => {
                self.leftovers.retry.reject(now.time);
            }
        }
    }

    fn seek_leftovers(&mut self, keys: &[ServiceKey]) {
        for key in keys {
            // Unless the watch shows it by now.
            if !self.services.contains_key(key) {
                self.seek_departed(key);
            }
        }
    }
}
