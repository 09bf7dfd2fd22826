//! What a call has come to, and what follows from it.
//!
//! A write whose fate is unknown is never taken for done or not done: the claim is read, and a
//! Service's status is written again so that the lost write can no longer land.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, CallId, FinalizerEdit, Outcome, Stored};
use crate::allocator::contest::Parts;
use crate::allocator::event::{Notice, Regarding};
use crate::object::{ResourceVersion, Uid};
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::time::Now;

/// A call under way, as far as its outcome depends on it.
#[derive(Clone, Debug)]
pub(super) enum UnderWay {
    /// Of a claim.
    Claim(IpAddr, ClaimCall),
    /// Of a Service's status.
    Service(StatusWrite),
    /// Of a Service that the watch does not show.
    Departed(ServiceKey),
    /// Of the Services of other types that carry our marks.
    Leftovers,
    /// Of a pool's status.
    Pool(PoolName),
}

/// A call for a claim.
#[derive(Clone, Debug)]
pub(super) enum ClaimCall {
    /// It is read.
    Read,
    /// It is created.
    Create,
    /// It is changed, if it still has this version.
    Update(ResourceVersion),
    /// It is deleted, if it still is this one.
    Delete(Uid),
}

/// A write of a Service's status.
#[derive(Clone, Debug)]
pub(super) struct StatusWrite {
    key: ServiceKey,
    uid: Uid,
    /// The version that it is based on.
    base: ResourceVersion,
    finalizer: FinalizerEdit,
}

// === impl UnderWay ===

impl UnderWay {
    pub(super) fn new(task: &Task, call: &Call) -> Option<Self> {
        match (task, call) {
            (Task::Claim(address), call) => {
                let call = match call {
                    Call::CreateClaim(_) => ClaimCall::Create,
                    Call::UpdateClaim { resource_version, .. } => ClaimCall::Update(resource_version.clone()),
                    Call::DeleteClaim { uid, .. } => ClaimCall::Delete(uid.clone()),
                    Call::ReadClaim(_) => ClaimCall::Read,
                    Call::PatchService(_)
                    | Call::ReadService(_)
                    | Call::FindLeftovers
                    | Call::PatchPool(_) => return None,
                };
                Some(Self::Claim(*address, call))
            }
            (Task::Service(key), Call::PatchService(patch)) => Some(Self::Service(StatusWrite {
                key: key.clone(),
                uid: patch.uid.clone(),
                base: patch.resource_version.clone(),
                finalizer: patch.finalizer,
            })),
            (Task::Departed(key), _) => Some(Self::Departed(key.clone())),
            (Task::Leftovers, _) => Some(Self::Leftovers),
            (Task::Pool(name), _) => Some(Self::Pool(name.clone())),
            (Task::Service(_) | Task::Vanished(_), _) => None,
        }
    }
}

// === impl Allocator ===

impl Allocator {
    /// Remembers that a call is under way for an object.
    pub(super) fn mark_under_way(&mut self, id: CallId, under_way: UnderWay) {
        match &under_way {
            UnderWay::Claim(address, _) => self.ledger.note(*address, |progress| progress.call = Some(id)),
            UnderWay::Service(write) => {
                if let Some(entry) = self.services.get_mut(&write.key) {
                    entry.call = Some(id);
                }
            }
            UnderWay::Departed(key) => {
                if let Some(departed) = self.departed.get_mut(key) {
                    departed.call = Some(id);
                }
            }
            UnderWay::Leftovers => self.leftovers.call = Some(id),
            UnderWay::Pool(name) => {
                if let Some(entry) = self.pools.get_mut(name) {
                    entry.call = Some(id);
                }
            }
        }
        self.calls.insert(id, under_way);
    }

    pub(super) fn settle_claim_call(
        &mut self,
        address: IpAddr,
        call: &ClaimCall,
        outcome: Outcome,
        now: Now,
    ) {
        self.agenda.push(Task::Claim(address));
        // First what is stored, so that the slot does not become free for an instant in between.
        match outcome {
            Outcome::Done(stored) => {
                let is_written = match (call, &*stored) {
                    (ClaimCall::Create, _) => true,
                    (ClaimCall::Update(base), Stored::Claim(claim)) => claim.resource_version != *base,
                    (ClaimCall::Update(_) | ClaimCall::Read | ClaimCall::Delete(_), _) => false,
                };
                let changed = match &*stored {
                    Stored::Claim(claim) => self.changed_since(claim),
                    _ => Parts::NONE,
                };
                match (*stored, call) {
                    (Stored::Claim(claim), ClaimCall::Read) => self.read_claim(claim),
                    (Stored::Claim(claim), _) => self.apply_claim(claim),
                    (_, ClaimCall::Delete(uid)) => self.lose_claim(address, Some(uid)),
                    (_, _) => self.lose_claim(address, None),
                }
                let is_update = matches!(call, ClaimCall::Update(_));
                self.ledger.note(address, |progress| {
                    progress.must_read = false;
                    progress.is_fenced |= is_written;
                    if is_written {
                        progress.contest.write(changed, now.time);
                    }
                    progress.retry.succeed();
                    if is_update && !is_written {
                        // It changed nothing, because it came within the second of the last one.
                        progress.retry.lose(now.time);
                    }
                    progress.call = None;
                });
            }
            Outcome::NotFound => {
                self.lose_claim(address, None);
                self.ledger.note(address, |progress| {
                    progress.must_read = false;
                    progress.retry.meet_other_version(now.time);
                    progress.call = None;
                });
            }
            Outcome::AlreadyExists | Outcome::Conflict => {
                self.ledger.note(address, |progress| {
                    progress.must_read = true;
                    progress.retry.meet_other_version(now.time);
                    progress.call = None;
                });
            }
            Outcome::Unknown => self.ledger.note(address, |progress| {
                progress.must_read = true;
                progress.is_fenced &= matches!(call, ClaimCall::Read | ClaimCall::Create);
                if !matches!(call, ClaimCall::Read) {
                    progress.contest.lose();
                }
                progress.retry.lose(now.time);
                progress.call = None;
            }),
            // Nothing was done, and the whole machine waits: the same call again, then.
            Outcome::Throttled(_) => self.ledger.note(address, |progress| progress.call = None),
            Outcome::Rejected(message) => self.settle_rejected_claim(address, message, now),
        }
        let slot = self.ledger.slot(address);
        let holders: Vec<ServiceKey> = slot
            .into_iter()
            .flat_map(|slot| slot.holders.keys().cloned())
            .collect();
        for key in holders {
            self.agenda.push(Task::Service(key));
        }
    }

    fn settle_rejected_claim(&mut self, address: IpAddr, message: String, now: Now) {
        let is_first = self.ledger.note(address, |progress| {
            progress.call = None;
            progress.retry.reject(now.time)
        });
        if is_first {
            self.notices.push_back(Notice {
                regarding: Regarding::Claim { address },
                is_warning: true,
                reason: "ClaimRejected".to_owned(),
                message,
            });
        }
    }

    /// The API server itself says that a claim is not there: any claim, or the one of an identity.
    fn lose_claim(&mut self, address: IpAddr, uid: Option<&Uid>) {
        let live = self.ledger.slot(address).and_then(|slot| slot.live.as_ref());
        // Unless the watch has shown the deletion already.
        let Some(live) = live.filter(|live| uid.is_none_or(|uid| live.uid == *uid)) else {
            return;
        };
        let uid = live.uid.clone();
        self.ledger.bury(address, uid);
        self.set_live(address, None, false);
    }

    pub(super) fn settle_service_call(&mut self, id: CallId, write: StatusWrite, outcome: Outcome, now: Now) {
        let StatusWrite {
            key,
            uid,
            base,
            finalizer,
        } = write;
        let Some(entry) = self.services.get_mut(&key).filter(|entry| entry.call == Some(id)) else {
            return;
        };
        entry.call = None;
        self.agenda.push(Task::Service(key.clone()));
        if entry.service.uid != uid {
            return;
        }
        match outcome {
            Outcome::Done(stored) => {
                entry.retry.succeed();
                if let Stored::Service(service) = *stored {
                    entry.is_met = true;
                    entry.is_fenced |= service.resource_version != base;
                    if service.resource_version == base && service.status.condition.is_some() {
                        // It changed nothing, because it came within the second of the last one.
                        if entry.must_write {
                            entry.retry.lose(now.time);
                        }
                    } else {
                        entry.must_write = false;
                    }
                    entry.has_lost_finalizer |= finalizer == FinalizerEdit::Remove;
                    let told = entry.told.take().flatten();
                    let shown = &entry.service;
                    let is_overtaken = service.resource_version.is_older_than(&shown.resource_version);
                    // The watch was faster, and shows what somebody made of it since.
                    let changed = match is_overtaken {
                        true => Parts::between(&service.status, &shown.status),
                        false => Parts::NONE,
                    };
                    let condition = service.status.condition.clone();
                    self.notice_service(told.as_ref(), &service);
                    self.apply_service(service);
                    if let Some(entry) = self.services.get_mut(&key) {
                        entry.contest.write(changed, now.time);
                        entry.told = changed.has(Parts::CONDITION).then_some(condition);
                    }
                }
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::NotFound => {
                // Unless the watch was faster.
                entry.awaits_newer |= entry.service.resource_version == base;
                entry.retry.lose(now.time);
            }
            Outcome::Unknown => {
                entry.must_write = true;
                entry.retry.lose(now.time);
                entry.contest.lose();
            }
            Outcome::Throttled(_) => {}
            Outcome::Rejected(message) => {
                if entry.retry.reject(now.time) {
                    self.notices.push_back(Notice {
                        regarding: Regarding::Service { key, uid },
                        is_warning: true,
                        reason: "StatusRejected".to_owned(),
                        message,
                    });
                }
            }
        }
    }

    pub(super) fn settle_departed_call(&mut self, id: CallId, key: &ServiceKey, outcome: Outcome, now: Now) {
        // The watch may have shown something newer than what was read.
        let departed = self.departed.get_mut(key);
        let Some(departed) = departed.filter(|departed| departed.call == Some(id)) else {
            return;
        };
        departed.call = None;
        self.agenda.push(Task::Departed(key.clone()));
        match outcome {
            Outcome::Done(stored) => match *stored {
                Stored::Service(service) => self.judge_departed(key, Some(service), now),
                Stored::Nothing | Stored::Claim(_) | Stored::Pool(_) | Stored::Leftovers(_) => {
                    self.judge_departed(key, None, now);
                }
            },
            Outcome::NotFound => self.judge_departed(key, None, now),
            Outcome::Conflict | Outcome::AlreadyExists => {
                departed.verdict = super::departed::Verdict::Unread;
                departed.retry.meet_other_version(now.time);
            }
            Outcome::Unknown => {
                departed.verdict = super::departed::Verdict::Unread;
                departed.retry.lose(now.time);
            }
            Outcome::Throttled(_) => {}
            Outcome::Rejected(_) => {
                departed.retry.reject(now.time);
            }
        }
    }

    pub(super) fn settle_pool_call(&mut self, name: &PoolName, outcome: Outcome, now: Now) {
        let Some(entry) = self.pools.get_mut(name) else {
            return;
        };
        entry.call = None;
        self.agenda.push(Task::Pool(name.clone()));
        match outcome {
            Outcome::Done(stored) => {
                entry.retry.succeed();
                if let Stored::Pool(pool) = *stored {
                    let told = entry.told.take().flatten();
                    self.notice_pool(told.as_ref(), &pool);
                    self.apply_pool(pool);
                }
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::NotFound | Outcome::Unknown => {
                entry.retry.lose(now.time);
            }
            Outcome::Throttled(_) => {}
            Outcome::Rejected(_) => {
                entry.retry.reject(now.time);
            }
        }
    }
}
