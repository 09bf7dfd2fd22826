//! What a Service's status should say, and the patch that makes it so.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, FinalizerEdit, ServicePatch};
use crate::allocator::contest::{Parts, say_same};
use crate::allocator::event::{Notice, Regarding};
use crate::allocator::few::FewMap;
use crate::allocator::pool_status::keep_since;
use crate::allocator::services::ServiceEntry;
use crate::claim::ClaimState;
use crate::condition::Condition;
use crate::pool::PoolName;
use crate::request::{Eligibility, Ingress, Service, ServiceStatus};
use crate::service::ServiceKey;
use crate::time::{Now, Timestamp};

/// The reason of a condition that is True.
const ASSIGNED: &str = "Assigned";

/// What a Service's status should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedStatus {
    /// The addresses; `None` = as it is.
    ingress: Option<Vec<IpAddr>>,
    condition: Option<Condition>,
    allocated_from: Option<PoolName>,
}

// === impl Allocator ===

impl Allocator {
    /// The next call for a Service, if its status is not what it should be.
    pub(super) fn converge_service(&mut self, key: &ServiceKey, now: Now) -> Option<Call> {
        self.services.get_mut(key)?.contest.calm_down(now.time);
        let call = self.next_service_call(key, now);
        if let Some(time) = self.services.get(key)?.contest.calm_at() {
            self.agenda.set_alarm(Task::Service(key.clone()), time);
        }
        call
    }

    fn next_service_call(&mut self, key: &ServiceKey, now: Now) -> Option<Call> {
        let entry = self.services.get(key)?;
        if entry.call.is_some() || !self.is_confirmed(entry) {
            return None;
        }
        let finalizer = self.finalizer_edit(entry);
        let mut wanted = self.needed_status(entry, finalizer);
        let status = &entry.service.status;
        let amiss = wanted.as_ref().map_or(Parts::NONE, |wanted| wanted.amiss(status))
            | Parts::FINALIZER.when(finalizer != FinalizerEdit::Keep);
        let entry = self.services.get_mut(key)?;
        let rival = entry.service.status.other_manager.as_deref();
        if !entry.contest.judge(amiss, rival, now.time).is_empty() {
            // Now there may be more to say.
            wanted = self.needed_status(self.services.get(key)?, finalizer);
        }
        let entry = self.services.get(key)?;
        let Some(wanted) = wanted else {
            // What it no longer has can go now.
            for address in self.ledger.addresses_of(key) {
                if !entry.decision.addresses.contains_key(&address) {
                    self.agenda.push(Task::Claim(address));
                }
            }
            return None;
        };
        if let Some(time) = entry.retry.wait(now.time).max(entry.contest.wait(now.time)) {
            self.agenda.set_alarm(Task::Service(key.clone()), time);
            return None;
        }
        let patch = wanted.into_patch(entry, finalizer, now.wall);
        if let Some(entry) = self.services.get_mut(key) {
            let told = || entry.service.status.condition.clone();
            entry.told.get_or_insert_with(told);
        }
        Some(Call::PatchService(patch))
    }

    /// What a Service's status should say, if it has to be written.
    fn needed_status(&self, entry: &ServiceEntry, finalizer: FinalizerEdit) -> Option<WantedStatus> {
        let must_write = entry.must_write || finalizer != FinalizerEdit::Keep;
        self.wanted_status(entry)
            .or_else(|| {
                let is_foreign = entry.service.request.eligibility == Eligibility::ForeignClass;
                (must_write && !is_foreign).then(WantedStatus::as_it_is)
            })
            .filter(|wanted| must_write || !wanted.amiss(&entry.service.status).is_empty())
    }

    /// Whether every address that a Service should have is its own by the API server's word, and
    /// no write that says otherwise can land any more.
    fn is_confirmed(&self, entry: &ServiceEntry) -> bool {
        let service = &entry.service;
        entry.decision.addresses.keys().all(|address| {
            let Some(slot) = self.ledger.slot(*address) else {
                return false;
            };
            let is_named = slot.live.as_ref().is_some_and(|claim| {
                let mut holders = claim.spec.holders.iter();
                claim.spec.state == Some(ClaimState::Held)
                    && holders.any(|holder| holder.service == service.key && holder.uid == service.uid)
            });
            let is_settled = slot.progress.call.is_none() && !slot.progress.must_read;
            is_named && is_settled && (slot.progress.is_fenced || entry.shows(*address))
        })
    }

    /// What a Service's status should say; `None` = nothing of ours.
    fn wanted_status(&self, entry: &ServiceEntry) -> Option<WantedStatus> {
        let service = &entry.service;
        let is_ours = self.explains(service);
        match service.request.eligibility {
            Eligibility::ForeignClass => {
                let ingress = || self.shows_known(service).then(Vec::new);
                return service.carries_marks().then(|| self.farewell(service, ingress()));
            }
            // The API server has emptied the ingress, and refuses writes to it.
            Eligibility::NotLoadBalancer => {
                return service.carries_marks().then(|| self.farewell(service, None));
            }
            Eligibility::Deleting => {
                let ingress = || is_ours.then(Vec::new);
                return (is_ours || service.carries_marks()).then(|| self.farewell(service, ingress()));
            }
            Eligibility::Eligible => {}
        }
        let decision = &entry.decision;
        let complaint = entry.complaint();
        let complaint = complaint.map(|it| mk_condition(false, it.reason.as_str(), &it.message));
        if decision.addresses.is_empty() {
            let Some(complaint) = complaint else {
                // Headless: nothing, and nothing to complain about.
                let ingress = || is_ours.then(Vec::new);
                return (is_ours || service.carries_marks()).then(|| self.farewell(service, ingress()));
            };
            if self.pools.is_empty() && !is_ours && !service.carries_marks() && !entry.must_write {
                return None;
            }
            // What is not ours to explain stays until there is an address to grant.
            let leave_alone = !is_ours && !service.status.ingress.is_empty();
            return Some(WantedStatus {
                ingress: (!leave_alone).then(Vec::new),
                condition: Some(complaint),
                allocated_from: self
                    .keeps_finalizer(service)
                    .then(|| service.status.allocated_from.clone())
                    .flatten(),
            });
        }
        let assigned = || mk_condition(true, ASSIGNED, &describe(&decision.addresses));
        Some(WantedStatus {
            ingress: Some(decision.addresses.keys().copied().collect()),
            condition: Some(complaint.unwrap_or_else(assigned)),
            allocated_from: decision.addresses.values().next().cloned(),
        })
    }

    /// What a Service that we serve no more should say last, with this ingress.
    ///
    /// Our marks tell that it was ours. They go last, with the finalizer: without them nobody would
    /// know whose that is.
    fn farewell(&self, service: &Service, ingress: Option<Vec<IpAddr>>) -> WantedStatus {
        let nothing = WantedStatus {
            ingress,
            ..WantedStatus::as_it_is()
        };
        match self.keeps_finalizer(service) {
            true => WantedStatus {
                condition: service.status.condition.clone(),
                allocated_from: service.status.allocated_from.clone(),
                ..nothing
            },
            false => nothing,
        }
    }

    /// Whether what a Service shows comes from us: then it is ours to take away.
    pub(super) fn explains(&self, service: &Service) -> bool {
        let condition = service.status.condition.as_ref();
        condition.is_some_and(|condition| condition.status) || self.shows_known(service)
    }

    /// Whether a Service shows an address that a pool covers or that we have lent.
    fn shows_known(&self, service: &Service) -> bool {
        let is_known = |address: IpAddr| {
            self.ledger.layout().pool_of(address).is_some()
                || self.ledger.slot(address).is_some_and(|slot| {
                    let mut live = slot.live.iter();
                    live.any(|claim| !claim.is_idle_reservation())
                })
        };
        let mut shown = service.status.ingress.iter().filter_map(|entry| entry.address);
        shown.any(is_known)
    }

    /// Tells people about a condition that has changed.
    pub(super) fn notice_service(&mut self, told: Option<&Condition>, service: &Service) {
        let Some(after) = &service.status.condition else {
            return;
        };
        if told.is_some_and(|told| told.says_same(after)) {
            return;
        }
        self.notices.push_back(Notice {
            regarding: Regarding::Service {
                key: service.key.clone(),
                uid: service.uid.clone(),
            },
            is_warning: !after.status,
            reason: after.reason.clone(),
            message: after.message.clone(),
        });
    }
}

// === impl WantedStatus ===

impl WantedStatus {
    /// Nothing of ours, and the addresses as they are.
    const fn as_it_is() -> Self {
        Self {
            ingress: None,
            condition: None,
            allocated_from: None,
        }
    }

    /// What a status says otherwise.
    fn amiss(&self, status: &ServiceStatus) -> Parts {
        let ingress = self.ingress.as_ref().is_none_or(|wanted| {
            let wanted = wanted.iter().copied().map(Ingress::vip);
            wanted.eq(status.ingress.iter().cloned())
        });
        let condition = say_same(self.condition.as_ref(), status.condition.as_ref());
        Parts::INGRESS.when(!ingress)
            | Parts::CONDITION.when(!condition)
            | Parts::ANNOTATION.when(self.allocated_from != status.allocated_from)
    }

    fn into_patch(self, entry: &ServiceEntry, finalizer: FinalizerEdit, now: Timestamp) -> ServicePatch {
        let service = &entry.service;
        // A write that must land has to change something: the API server drops one that does not.
        let before = service.status.condition.as_ref().filter(|_| !entry.must_write);
        ServicePatch {
            key: service.key.clone(),
            uid: service.uid.clone(),
            resource_version: service.resource_version.clone(),
            ingress: self.ingress,
            condition: self.condition.map(|condition| keep_since(condition, before, now)),
            allocated_from: self.allocated_from,
            finalizer,
        }
    }
}

fn mk_condition(status: bool, reason: &str, message: &str) -> Condition {
    Condition {
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: Timestamp::default(),
    }
}

fn describe(addresses: &FewMap<IpAddr, PoolName>) -> String {
    let parts: Vec<String> = addresses
        .iter()
        .map(|(address, pool)| format!("{address} from pool {pool}"))
        .collect();
    parts.join(", ")
}
