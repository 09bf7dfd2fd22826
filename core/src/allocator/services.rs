//! Services as the allocator knows them: taking them in, and putting decisions into the ledger.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::{Standing, Task};
use crate::allocator::call::CallId;
use crate::allocator::contest::{Contest, Parts};
use crate::allocator::decide::{Decision, Surroundings, decide};
use crate::allocator::few::FewSet;
use crate::allocator::retry::Retry;
use crate::allocator::slot::Slot;
use crate::allocator::tenancy::Neighbors;
use crate::claim::Holder;
use crate::condition::Condition;
use crate::reason::{Refusal, Refused};
use crate::request::{Eligibility, Service};
use crate::selector::Labels;
use crate::service::ServiceKey;

/// One Service, what was decided about it, and the writing of its status.
#[derive(Clone, Debug)]
pub(super) struct ServiceEntry {
    /// The Service as it is stored.
    pub(super) service: Service,
    /// What it should have.
    pub(super) decision: Decision,
    /// It has been decided about since the start.
    pub(super) is_decided: bool,
    /// The call under way.
    pub(super) call: Option<CallId>,
    /// A write went astray and may land yet: the next one must be seen to land, so that it voids
    /// the lost one, even if nothing seems to differ.
    pub(super) must_write: bool,
    /// A write of ours has landed: whatever a former leader based on the version before it, or on
    /// an older one, can no longer land.
    pub(super) is_fenced: bool,
    /// A write for it was accepted: it is the one of its name, and whoever else of that name a claim
    /// speaks of is gone.
    pub(super) is_met: bool,
    /// When it went from the watch before, our marks were looked for and not found to be off yet.
    may_be_marked: bool,
    /// A write met another version: wait until the watch shows it.
    pub(super) awaits_newer: bool,
    /// Pauses after calls that did not work.
    pub(super) retry: Retry,
    /// Whether somebody else keeps changing back what we write.
    pub(super) contest: Contest,
    /// We took the finalizer off.
    pub(super) has_lost_finalizer: bool,
    /// The condition that people have last heard of, while it may be another than the one that is
    /// shown: a write is under way, and the watch may show what it does before it has ended; or
    /// somebody has changed it.
    pub(super) told: Option<Option<Condition>>,
}

/// What a Service shows to people.
#[derive(Debug, Default, PartialEq, Eq)]
struct Exhibit {
    addresses: FewSet<IpAddr>,
    /// It is not ours to serve: only another load balancer can have given it the addresses.
    is_foreign: bool,
}

// === impl Exhibit ===

impl Exhibit {
    fn of(service: &Service) -> Self {
        let ingress = service.status.ingress.iter();
        Self {
            addresses: ingress.filter_map(|entry| entry.address).collect(),
            is_foreign: service.request.eligibility == Eligibility::ForeignClass,
        }
    }
}

// === impl ServiceEntry ===

impl ServiceEntry {
    fn new(service: Service) -> Self {
        Self {
            service,
            decision: Decision::default(),
            is_decided: false,
            call: None,
            must_write: false,
            is_fenced: false,
            is_met: false,
            may_be_marked: false,
            awaits_newer: false,
            retry: Retry::default(),
            contest: Contest::default(),
            has_lost_finalizer: false,
            told: None,
        }
    }

    /// Whether its status shows an address.
    pub(super) fn shows(&self, address: IpAddr) -> bool {
        self.service
            .status
            .ingress
            .iter()
            .any(|entry| entry.address == Some(address))
    }

    /// Somebody, perhaps we, has made this of it.
    fn note_change(&mut self, after: &Service) {
        let before = &self.service;
        if before.request.eligibility != after.request.eligibility {
            // Who gives its addresses back does not wait for anybody.
            self.contest = Contest::default();
        }
        if before.status == after.status {
            return;
        }
        let changed = Parts::between(&before.status, &after.status);
        if changed.has(Parts::CONDITION) && self.told.is_none() && before.status.condition.is_some() {
            self.told = Some(before.status.condition.clone());
        }
        self.contest.see(changed);
    }

    /// Why it does not have what it wants, or not for long: what its condition says then.
    ///
    /// Who shows an address loses it again and again, which matters most. Who has none must
    /// first know why.
    pub(super) fn complaint(&self) -> Option<Refusal> {
        let contested = self.contest.complaint();
        let (reason, message) = match (&self.decision.refusal, contested) {
            (None, None) => return None,
            (Some(refusal), None) => return Some(refusal.clone()),
            (None, Some(contested)) => (self.reason()?, contested),
            (Some(refusal), Some(contested)) => match self.decision.addresses.is_empty() {
                true => (
                    refusal.reason,
                    format!("{}; besides, {contested}", refusal.message),
                ),
                false => (
                    self.reason()?,
                    format!("{contested}; besides, {}", refusal.message),
                ),
            },
        };
        Some(Refusal { reason, message })
    }

    /// The reason of the same.
    pub(super) fn reason(&self) -> Option<Refused> {
        let holds = !self.decision.addresses.is_empty();
        if holds && self.contest.is_contested() {
            return Some(Refused::StatusContested);
        }
        self.decision.refusal.as_ref().map(|refusal| refusal.reason)
    }

    /// Whether our marks are on it, or on their way.
    pub(super) fn may_carry_marks(&self) -> bool {
        self.call.is_some() || self.must_write || self.service.carries_marks()
    }

    /// Whether it may show an address because of us.
    pub(super) fn carries_ours(&self, address: IpAddr) -> bool {
        self.may_carry_marks() && (self.call.is_some() || self.shows(address))
    }

    /// Whether a former leader, who took this holder of a claim to hold an address, may yet make it
    /// show the address, or has done so.
    ///
    /// Whoever saw it ask for nothing has not granted anything, unless to another of its name: the
    /// watch may show the predecessor of the one who holds the address.
    fn may_be_overtaken(&self, holder: Option<&Holder>) -> bool {
        let asks = self.service.request.eligibility == Eligibility::Eligible
            && !self.service.request.cluster_ips.is_empty();
        let is_other = holder.is_some_and(|holder| holder.uid != self.service.uid);
        asks && !self.is_fenced || is_other && !self.is_met
    }

    /// Whether nothing that it shows, or may yet come to show by our doing, is an address. What it
    /// shows is not known while the watch lags behind a write that we have met.
    pub(super) fn has_let_go(&self, address: IpAddr) -> bool {
        self.call.is_none()
            && !self.must_write
            && !self.awaits_newer
            && !self.shows(address)
            && !self.decision.addresses.contains_key(&address)
    }
}

// === impl Allocator ===

impl Allocator {
    /// Takes in a version of a Service.
    pub(super) fn apply_service(&mut self, service: Service) {
        let known = self.services.get(&service.key).map(|entry| &entry.service);
        let is_news = known.is_none_or(|known| {
            let (old, new) = (&known.resource_version, &service.resource_version);
            known.uid != service.uid || !(new == old || new.is_older_than(old))
        });
        if !is_news {
            return;
        }
        let key = service.key.clone();
        let before = known.map(Exhibit::of).unwrap_or_default();
        let after = Exhibit::of(&service);
        self.take_version(service);
        if before != after {
            self.note_shown(&key, &before, &after);
        }
    }

    /// Keeps a version of a Service that is newer than the one before.
    fn take_version(&mut self, service: Service) {
        let key = service.key.clone();
        let may_be_marked = self.forget_departed(&key);
        let Some(entry) = self.services.get_mut(&key) else {
            let entry = ServiceEntry {
                may_be_marked,
                ..ServiceEntry::new(service)
            };
            self.services.insert(key.clone(), entry);
            self.want_decision(&key);
            return;
        };
        if entry.service.uid != service.uid {
            let call = entry.call;
            *entry = ServiceEntry {
                call,
                ..ServiceEntry::new(service)
            };
            self.want_decision(&key);
            return;
        }
        // Whatever was lost was based on the old version: it cannot land any more.
        entry.must_write = false;
        if entry.awaits_newer {
            entry.awaits_newer = false;
            entry.retry.forgive();
            self.agenda.push(Task::Service(key.clone()));
        }
        let has_changed = entry.service.request != service.request || entry.service.status != service.status;
        entry.note_change(&service);
        entry.service = service;
        if has_changed {
            self.want_decision(&key);
        }
    }

    /// A Service is gone from the watch.
    pub(super) fn delete_service(&mut self, key: &ServiceKey) {
        let Some(entry) = self.services.remove(key) else {
            return;
        };
        let may_carry_finalizer = self.has_our_finalizer(&entry.service);
        self.note_shown(key, &Exhibit::of(&entry.service), &Exhibit::default());
        self.forget_departed(key);
        if entry.may_be_marked || entry.may_carry_marks() || may_carry_finalizer {
            self.seek_departed(key);
        }
        self.agenda.forget_decision(key);
        self.waiting.remove(key);
        let addresses: Vec<IpAddr> = self.ledger.addresses_of(key).collect();
        for address in addresses {
            self.ledger.update(address, |slot| slot.drop_holder(key));
            self.agenda.push(Task::Claim(address));
        }
    }

    /// Whether a Service has let go of an address that a claim says it holds, for good.
    ///
    /// A claim that names a Service allows every leader to write the address into its status, so
    /// a former leader may have done so a moment ago, and the write may land yet. A write of our
    /// own, however little it changes, makes the other one fail.
    pub(super) fn has_let_go(&mut self, key: &ServiceKey, address: IpAddr) -> bool {
        let Some(entry) = self.services.get_mut(key) else {
            return false;
        };
        if !entry.has_let_go(address) {
            return false;
        }
        let slot = self.ledger.slot(address);
        if entry.may_be_overtaken(slot.and_then(|slot| slot.record_of(key))) {
            entry.must_write = true;
            self.agenda.push(Task::Service(key.clone()));
            return false;
        }
        true
    }

    fn note_shown(&mut self, key: &ServiceKey, before: &Exhibit, after: &Exhibit) {
        self.ledger
            .show(key, after.is_foreign, &before.addresses, &after.addresses);
    }

    /// Asks for a decision about a Service, if it is known.
    pub(super) fn want_decision(&mut self, key: &ServiceKey) {
        let Some(entry) = self.services.get(key) else {
            return;
        };
        let named = |address| self.ledger.slot(address).is_some_and(|slot| slot.names(key));
        let standing = if self.ledger.addresses_of(key).any(named) {
            Standing::Holding
        } else if entry
            .service
            .status
            .ingress
            .iter()
            .any(|entry| entry.address.is_some())
        {
            Standing::Showing
        } else {
            Standing::Pending
        };
        self.agenda.decide(key, standing, entry.service.created);
        // Whoever is about to be decided about anyway must not be woken in the place of another.
        self.waiting.suspend(key);
    }

    /// Decides about a Service and puts the decision into the ledger.
    pub(super) fn decide_service(&mut self, key: &ServiceKey) {
        let Some(entry) = self.services.get(key) else {
            return;
        };
        let no_labels = Labels::new();
        let namespace_labels = self.namespaces.get(&*key.namespace).unwrap_or(&no_labels);
        let around = Surroundings {
            pools: &self.pools,
            namespace_labels,
            neighbors: Neighbors(&self.services),
        };
        let mut decision = decide(&mut self.ledger, around, &entry.service);
        let needs = std::mem::take(&mut decision.needs);
        let left = self.waiting.insert(key, entry.service.created, needs);
        // It may not have taken what it was woken for.
        left.iter().for_each(|need| self.wake_next(need));
        let addresses: FewSet<IpAddr> = self.ledger.addresses_of(key).collect();
        for address in addresses {
            let is_holder = |slot: &Slot| slot.holders.contains_key(key);
            if !decision.addresses.contains_key(&address) && self.ledger.slot(address).is_some_and(is_holder)
            {
                self.ledger.update(address, |slot| slot.drop_holder(key));
            }
            self.agenda.push(Task::Claim(address));
        }
        for (address, pool) in &decision.addresses {
            let is_done = |slot: &Slot| {
                slot.holders.get(key) == Some(&decision.terms) && slot.lent_from.as_ref() == Some(pool)
            };
            if !self.ledger.slot(*address).is_some_and(is_done) {
                let terms = std::sync::Arc::clone(&decision.terms);
                self.ledger
                    .update(*address, |slot| slot.add_holder(key, pool, terms));
            }
            self.agenda.push(Task::Claim(*address));
        }
        if let Some(entry) = self.services.get_mut(key) {
            entry.decision = decision;
            entry.is_decided = true;
        }
        self.agenda.push(Task::Service(key.clone()));
    }
}
