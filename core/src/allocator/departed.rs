//! Services that claims name and that the watch does not show, or shows with a class that is not
//! ours.
//!
//! Absence from a watch proves nothing: the Service may have changed its type, or the list may be
//! older than the claim. So it is read from the API server itself before anything is taken from
//! it; and if it still carries our marks, they are removed before the address goes on.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, CallId, FinalizerEdit, ServicePatch};
use crate::allocator::retry::Retry;
use crate::request::{Eligibility, Service};
use crate::service::ServiceKey;
use crate::time::Now;

/// What is known about such a Service.
#[derive(Clone, Debug, Default)]
pub(super) struct Departed {
    /// What a read found.
    pub(super) verdict: Verdict,
    /// The call under way.
    pub(super) call: Option<CallId>,
    /// Pauses after calls that did not work.
    pub(super) retry: Retry,
}

/// What a read found.
#[derive(Clone, Debug, Default)]
pub(super) enum Verdict {
    /// Nothing yet.
    #[default]
    Unread,
    /// It is not there.
    Gone,
    /// It is there, not ours to serve, and carries nothing of ours.
    Clean,
    /// It is there, not ours to serve, and still carries our marks.
    Marked(Box<Service>),
    /// It is there and ours to serve: the watch is late.
    Present,
}

// === impl Allocator ===

impl Allocator {
    /// Whether a claim may stop naming a Service.
    pub(super) fn may_begin_release(&mut self, key: &ServiceKey, address: IpAddr) -> bool {
        match self.services.get(key) {
            Some(entry) if entry.service.request.eligibility != Eligibility::ForeignClass => {
                self.has_let_go(key, address)
            }
            Some(entry) if entry.carries_ours(address) => false,
            // What has another class, and nothing of ours, we never write to, so only a read tells that
            // the watch is not late and the Service ours again.
            Some(_) | None => match self.verdict(key) {
                Verdict::Gone | Verdict::Clean | Verdict::Marked(_) => true,
                Verdict::Unread | Verdict::Present => false,
            },
        }
    }

    /// Whether nothing on a Service speaks of an address any more.
    pub(super) fn may_end_release(&mut self, key: &ServiceKey, address: IpAddr) -> bool {
        match self.services.get(key) {
            Some(entry) if entry.service.request.eligibility != Eligibility::ForeignClass => {
                let is_eligible = entry.service.request.eligibility == Eligibility::Eligible;
                let is_unmarked = is_eligible || !entry.service.carries_marks();
                entry.has_let_go(address) && is_unmarked && !self.awaits_finalizer(entry)
            }
            Some(entry) if entry.may_carry_marks() => false,
            Some(_) | None => match self.verdict(key) {
                Verdict::Gone | Verdict::Clean => true,
                Verdict::Unread | Verdict::Marked(_) | Verdict::Present => false,
            },
        }
    }

    /// The next call about a Service that the watch does not show.
    pub(super) fn converge_departed(&mut self, key: &ServiceKey, now: Now) -> Option<Call> {
        let departed = self.departed.get(key)?;
        if departed.call.is_some() {
            return None;
        }
        if let Some(time) = departed.retry.wait(now.time) {
            self.agenda.set_alarm(Task::Departed(key.clone()), time);
            return None;
        }
        match &departed.verdict {
            Verdict::Unread | Verdict::Present => Some(Call::ReadService(key.clone())),
            Verdict::Marked(service) => {
                // The marks go with the finalizer: without them nobody would know whose that is.
                (!self.keeps_finalizer(service)).then(|| {
                    Call::PatchService(ServicePatch {
                        key: key.clone(),
                        uid: service.uid.clone(),
                        resource_version: service.resource_version.clone(),
                        ingress: None,
                        condition: None,
                        allocated_from: None,
                        finalizer: match self.has_our_finalizer(service) {
                            true => FinalizerEdit::Remove,
                            false => FinalizerEdit::Keep,
                        },
                    })
                })
            }
            Verdict::Gone | Verdict::Clean => None,
        }
    }

    /// A read, or a removal of our marks, found this.
    pub(super) fn judge_departed(&mut self, key: &ServiceKey, found: Option<Service>, now: Now) {
        let is_marked = found
            .as_ref()
            .is_some_and(|service| service.carries_marks() || self.has_our_finalizer(service));
        let Some(departed) = self.departed.get_mut(key) else {
            return;
        };
        departed.retry.succeed();
        departed.verdict = match found {
            None => Verdict::Gone,
            Some(service) => match service.request.eligibility {
                Eligibility::Eligible | Eligibility::Deleting => {
                    departed.retry.lose(now.time);
                    Verdict::Present
                }
                // The watch shows, or is about to show, what is left on it.
                Eligibility::ForeignClass => Verdict::Clean,
                Eligibility::NotLoadBalancer if is_marked => Verdict::Marked(Box::new(service)),
                Eligibility::NotLoadBalancer => Verdict::Clean,
            },
        };
        self.agenda.push(Task::Departed(key.clone()));
        for address in self.ledger.addresses_of(key) {
            self.agenda.push(Task::Claim(address));
        }
        self.prune_departed(key);
    }

    /// Forgets a Service that carries nothing of ours and that no claim waits for any more; looks
    /// again at any other, whose finalizer may wait for a claim.
    pub(super) fn prune_departed(&mut self, key: &ServiceKey) {
        if self.departed.contains_key(key) {
            self.agenda.push(Task::Departed(key.clone()));
        }
        let is_clean = self
            .departed
            .get(key)
            .is_some_and(|departed| matches!(departed.verdict, Verdict::Gone | Verdict::Clean));
        let waits = |address| {
            let slot = self.ledger.slot(address);
            slot.is_some_and(|slot| slot.names(key) || slot.is_releasing())
        };
        if is_clean && !self.ledger.addresses_of(key).any(waits) {
            self.departed.remove(key);
        }
    }

    /// What was read of a Service is of the past: the watch has shown something newer, or the same
    /// once more. Answers whether our marks may be on it yet.
    pub(super) fn forget_departed(&mut self, key: &ServiceKey) -> bool {
        let Some(departed) = self.departed.remove(key) else {
            return false;
        };
        for address in self.ledger.addresses_of(key) {
            self.agenda.push(Task::Claim(address));
        }
        match departed.verdict {
            Verdict::Unread | Verdict::Marked(_) | Verdict::Present => true,
            Verdict::Gone | Verdict::Clean => departed.call.is_some(),
        }
    }

    /// Has a Service read that has gone from the watch, and that may carry our marks.
    pub(super) fn seek_departed(&mut self, key: &ServiceKey) {
        self.verdict(key);
    }

    fn verdict(&mut self, key: &ServiceKey) -> &Verdict {
        if !self.departed.contains_key(key) {
            self.agenda.push(Task::Departed(key.clone()));
        }
        &self.departed.entry(key.clone()).or_default().verdict
    }
}
