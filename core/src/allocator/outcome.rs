//! What a call has come to, and what follows from it.
//!
//! A write whose fate is unknown is never taken for done or not done: the claim is read, and a
//! Service's status is written again so that the lost write can no longer land.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, CallId, Outcome, Stored};
use crate::allocator::event::{Notice, Regarding};
use crate::object::Uid;
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::time::Now;

/// A call under way, as far as its outcome depends on it.
#[derive(Clone, Debug)]
pub(super) enum UnderWay {
    /// Of a claim; the identity if it is to be deleted.
    Claim(IpAddr, Option<Uid>),
    /// Of a Service's status: the identity, and the addresses that are written.
    Service(ServiceKey, Uid, Option<Vec<IpAddr>>),
    /// Of a Service that the watch does not show.
    Departed(ServiceKey),
    /// Of a pool's status.
    Pool(PoolName),
}

// === impl UnderWay ===

impl UnderWay {
    pub(super) fn new(task: &Task, call: &Call) -> Option<Self> {
        match (task, call) {
            (Task::Claim(address), Call::DeleteClaim { uid, .. }) => {
                Some(Self::Claim(*address, Some(uid.clone())))
            }
            (Task::Claim(address), _) => Some(Self::Claim(*address, None)),
            (Task::Service(key), Call::PatchService(patch)) => Some(Self::Service(
                key.clone(),
                patch.uid.clone(),
                patch.ingress.clone(),
            )),
            (Task::Departed(key), _) => Some(Self::Departed(key.clone())),
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
            UnderWay::Claim(address, _) => self.ledger.update(*address, |slot| slot.call = Some(id)),
            UnderWay::Service(key, ..) => {
                if let Some(entry) = self.services.get_mut(key) {
                    entry.call = Some(id);
                }
            }
            UnderWay::Departed(key) => {
                if let Some(departed) = self.departed.get_mut(key) {
                    departed.call = Some(id);
                }
            }
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
        deleted: Option<Uid>,
        outcome: Outcome,
        now: Now,
    ) {
        self.agenda.push(Task::Claim(address));
        // First what is stored, so that the slot does not become free for an instant in between.
        match outcome {
            Outcome::Done(stored) => {
                match *stored {
                    Stored::Claim(claim) => self.apply_claim(claim),
                    Stored::Nothing | Stored::Service(_) | Stored::Pool(_) => {
                        self.lose_claim(address, deleted.as_ref());
                    }
                }
                self.ledger.update(address, |slot| {
                    slot.must_read = false;
                    slot.retry.succeed();
                    slot.call = None;
                });
            }
            Outcome::NotFound => {
                self.lose_claim(address, None);
                self.ledger.update(address, |slot| {
                    slot.must_read = false;
                    slot.retry.meet_other_version(now.time);
                    slot.call = None;
                });
            }
            Outcome::AlreadyExists | Outcome::Conflict => {
                self.ledger.update(address, |slot| {
                    slot.must_read = true;
                    slot.retry.meet_other_version(now.time);
                    slot.call = None;
                });
            }
            Outcome::Unknown => self.ledger.update(address, |slot| {
                slot.must_read = true;
                slot.retry.lose(now.time);
                slot.call = None;
            }),
            Outcome::Rejected(message) => {
                let is_first = self.ledger.update(address, |slot| {
                    slot.call = None;
                    slot.retry.reject(now.time)
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

    pub(super) fn settle_service_call(
        &mut self,
        id: CallId,
        (key, uid, wrote): (ServiceKey, Uid, Option<Vec<IpAddr>>),
        outcome: Outcome,
        now: Now,
    ) {
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
                entry.must_write = false;
                entry.retry.succeed();
                if let Stored::Service(service) = *stored {
                    let before = entry.service.status.clone();
                    entry.contest.write(wrote, now.time);
                    let shown = &entry.service;
                    if service.resource_version.is_older_than(&shown.resource_version) {
                        // The watch was faster, and shows what somebody made of it since.
                        let wanted: Vec<IpAddr> = entry.decision.addresses.keys().copied().collect();
                        entry.contest.see(&wanted, &shown.status, now.time);
                    }
                    self.notice_service(&before, &service);
                    self.apply_service(service, now);
                }
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::NotFound => {
                entry.awaits_newer = true;
                entry.retry.lose(now.time);
            }
            Outcome::Unknown => {
                entry.must_write = true;
                entry.retry.lose(now.time);
            }
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

    pub(super) fn settle_departed_call(&mut self, key: &ServiceKey, outcome: Outcome, now: Now) {
        let Some(departed) = self.departed.get_mut(key) else {
            return;
        };
        departed.call = None;
        self.agenda.push(Task::Departed(key.clone()));
        match outcome {
            Outcome::Done(stored) => match *stored {
                Stored::Service(service) => self.judge_departed(key, Some(service), now),
                Stored::Nothing | Stored::Claim(_) | Stored::Pool(_) => self.judge_departed(key, None, now),
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
                    let before = entry.pool.status.clone();
                    self.notice_pool(before.as_ref(), &pool);
                    self.apply_pool(pool);
                }
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::NotFound | Outcome::Unknown => {
                entry.retry.lose(now.time);
            }
            Outcome::Rejected(_) => {
                entry.retry.reject(now.time);
            }
        }
    }
}
