//! Lends addresses to Services: a pure machine, with one owner and without I/O.
//!
//! It is told what the watches show ([`Event`]), it asks for calls to the API server ([`Call`]),
//! and it is told what became of each ([`Outcome`]). It never assumes that a write happened: the
//! write sequence is part of the machine, and every step of it can be taken up again by another
//! replica that knows nothing but the objects.
//!
//! ```text
//!  watches --Event--> apply() ----+
//!                                 v
//!                     +-----------------------+
//!                     |  decide, per Service  |   which addresses it should have
//!                     |          |            |
//!                     |       ledger          |   one slot per address: who is to hold it,
//!                     |          |            |   and the claim as it is stored
//!                     |  converge, per object |   one call at a time for each object
//!                     +-----------------------+
//!                       |                   ^
//!                 poll_call()        handle_outcome()
//!                       v                   |
//!                      Call ---driver--> Outcome
//! ```
//!
//! # Driving it
//!
//! ```text
//! for every watch event:      allocator.apply(event, now)
//! when all lists are there:   allocator.apply(Event::Synced, now)
//! while a slot is free:       allocator.poll_call(now) -> Some((id, call)): make the call
//! when a call has ended:      allocator.handle_outcome(id, outcome, now)
//! after each of these:        drain poll_notice(); wake at poll_timeout()
//! ```
//!
//! The driver bounds how many calls are under way by not polling. Waking at
//! `poll_timeout()` means to call `poll_call` again. On loss of the Lease the driver drops the
//! allocator with all that is under way, and builds a new one when it leads again: everything
//! that matters is in the objects.

mod agenda;
mod by_service;
pub mod call;
mod claims;
mod contest;
mod decide;
mod departed;
pub mod event;
mod few;
mod finalizer;
mod ledger;
mod leftovers;
mod misplaced;
mod outcome;
mod pool_status;
mod pools;
mod progress;
mod registry;
mod release;
mod retry;
mod services;
mod sharers;
mod shown;
mod slot;
mod status;
mod subnets;
mod tenancy;
mod throttle;
mod waiting;
mod waking;
mod wish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub use call::{Call, CallId, FinalizerEdit, Outcome, PoolPatch, ServicePatch, Stored};
pub use event::{Event, Notice, Regarding};

use crate::pool::layout::Layout;
use crate::pool::{Pool, PoolName};
use crate::reason::{Refusal, Refused};
use crate::selector::Labels;
use crate::service::ServiceKey;
use crate::time::{Now, Time};
use agenda::{Agenda, Task};
use departed::Departed;
use ledger::Ledger;
use leftovers::Leftovers;
use outcome::UnderWay;
use pools::Pools;
use registry::Registry;
use services::ServiceEntry;
use subnets::Subnets;
use throttle::Throttle;
use waiting::{Need, Waiting};

/// The machine. See the module's documentation for how it is driven.
///
/// It is a value: whoever simulates it may go on from one moment in several ways.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    options: Options,
    is_synced: bool,
    /// Whether the addresses were ever divided.
    has_divided: bool,
    /// The pools have changed, and the addresses are to be divided anew.
    must_divide: bool,
    services: Registry<ServiceKey, ServiceEntry>,
    /// The labels of each namespace.
    namespaces: BTreeMap<String, Labels>,
    /// The addresses of each Node: nobody wants to see them lent.
    nodes: BTreeMap<String, BTreeSet<IpAddr>>,
    subnets: Subnets,
    departed: BTreeMap<ServiceKey, Departed>,
    leftovers: Leftovers,
    pools: Pools,
    ledger: Ledger,
    waiting: Waiting,
    agenda: Agenda,
    calls: BTreeMap<CallId, UnderWay>,
    throttle: Throttle,
    /// Each outcome adds at most a few, and the driver drains them after each.
    notices: VecDeque<Notice>,
    last_call: u64,
    work: Work,
}

/// What an administrator decides for all Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A Service that holds addresses carries `service.kubernetes.io/load-balancer-cleanup`, so
    /// that it is not gone before its addresses are given back. Off: it is taken off every Service.
    pub service_finalizer: bool,
}

/// How much there is of everything, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Services that are known.
    pub services: usize,
    /// Those of them that wait for an address.
    pub waiting: usize,
    /// Addresses in use, at rest or being freed.
    pub addresses: usize,
    /// Calls under way.
    pub calls: usize,
}

/// How much work was done since the start, for metrics: a machine that spins shows here before it
/// shows anywhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How many times a Service was decided about.
    pub decisions: u64,
    /// How many times an object was compared with what it should be.
    pub looks: u64,
    /// How many steps it took to find addresses to share.
    pub steps: u64,
}

// === impl Allocator ===

impl Allocator {
    /// A machine that knows nothing yet.
    pub fn with(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Takes in one change.
    pub fn apply(&mut self, event: Event, now: Now) {
        match event {
            Event::ServiceApplied(service) => self.apply_service(service, now),
            Event::ServiceDeleted(key) => self.delete_service(&key),
            Event::NamespaceApplied(name, labels) => self.apply_namespace(&name, Some(labels)),
            Event::NamespaceDeleted(name) => self.apply_namespace(&name, None),
            Event::NodeApplied(name, addresses) => self.apply_node(name, Some(addresses)),
            Event::NodeDeleted(name) => self.apply_node(name, None),
            Event::PoolApplied(pool) => self.apply_pool(pool),
            Event::PoolDeleted(name) => self.delete_pool(&name, now),
            Event::ClaimApplied(claim) => self.see_claim(claim),
            Event::ClaimDeleted { address, uid } => self.delete_claim(address, uid.as_ref()),
            Event::Synced => self.sync(now),
        }
    }

    /// The next call to make; `None` when nothing is to be done before the next event, outcome or
    /// [`Self::poll_timeout`].
    pub fn poll_call(&mut self, now: Now) -> Option<(CallId, Call)> {
        if !self.is_synced {
            return None;
        }
        self.agenda.ring(now.time);
        if !self.throttle.admits(self.calls.len(), now.time) {
            return None;
        }
        let enough = self.enough_work();
        loop {
            self.settle();
            let task = self.agenda.pop()?;
            self.work.looks += 1;
            debug_assert!(
                self.work.looks + self.work.decisions < enough,
                "objects keep each other busy: {task:?}"
            );
            let Some(call) = self.converge(&task, now) else {
                continue;
            };
            if let Some(under_way) = UnderWay::new(&task, &call) {
                self.last_call += 1;
                let id = CallId(self.last_call);
                self.mark_under_way(id, under_way);
                return Some((id, call));
            }
        }
    }

    /// Takes in what a call has come to. Every call must get exactly one outcome.
    pub fn handle_outcome(&mut self, id: CallId, outcome: Outcome, now: Now) {
        let under_way = self.calls.remove(&id);
        if under_way.is_some() {
            match outcome {
                Outcome::Throttled(asked) => self.throttle.slow_down(asked, now.time),
                Outcome::Done(_)
                | Outcome::AlreadyExists
                | Outcome::Conflict
                | Outcome::NotFound
                | Outcome::Unknown
                | Outcome::Rejected(_) => self.throttle.speed_up(),
            }
        }
        match under_way {
            None => {}
            Some(UnderWay::Claim(address, call)) => self.settle_claim_call(address, &call, outcome, now),
            Some(UnderWay::Service(write)) => self.settle_service_call(id, write, outcome, now),
            Some(UnderWay::Departed(key)) => self.settle_departed_call(id, &key, outcome, now),
            Some(UnderWay::Leftovers) => self.settle_leftovers_call(outcome, now),
            Some(UnderWay::Pool(name)) => self.settle_pool_call(&name, outcome, now),
        }
    }

    /// The next thing that people should hear about.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When [`Self::poll_call`] must be called again at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        let pause = self.throttle.pause_ends();
        pause.or(self.agenda.next_alarm()).filter(|_| self.is_synced)
    }

    /// How much there is of everything.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            services: self.services.len(),
            waiting: self.waiting.len(),
            addresses: self.ledger.len(),
            calls: self.calls.len(),
        }
    }

    /// How much work was done since the start.
    pub fn work(&self) -> Work {
        Work {
            steps: self.ledger.steps(),
            ..self.work
        }
    }

    /// The addresses whose claims it takes to exist. It makes claims that a watch may never show,
    /// so after a watch was cut it must be told about the deletion of each of these that the new
    /// list lacks.
    pub fn claims(&self) -> impl Iterator<Item = IpAddr> {
        let slots = self.ledger.slots().filter(|(_, slot)| slot.live.is_some());
        slots.map(|(address, _)| address)
    }

    /// How many Services do not have what they want, by the reason that their condition says.
    pub fn refusals(&self) -> BTreeMap<Refused, usize> {
        let mut refusals = BTreeMap::new();
        for (_, entry) in self.services.iter() {
            let refused = entry.decision.refusal.as_ref().map(|refusal| refusal.reason);
            let contested = || entry.contest.rival().map(|_| Refused::StatusContested);
            if let Some(reason) = refused.or_else(contested) {
                *refusals.entry(reason).or_default() += 1;
            }
        }
        refusals
    }

    /// What was decided about each Service: its addresses, and why they are not what it wants.
    pub fn decisions(&self) -> impl Iterator<Item = (&ServiceKey, Vec<IpAddr>, Option<&Refusal>)> {
        self.services.iter().map(|(key, entry)| {
            let addresses = entry.decision.addresses.keys().copied().collect();
            (key, addresses, entry.decision.refusal.as_ref())
        })
    }

    /// Every list is complete: what is there is adopted first, since holders are decided about
    /// before those who show an address, and these before those who have nothing.
    fn sync(&mut self, now: Now) {
        if self.is_synced {
            return;
        }
        self.is_synced = true;
        self.must_divide = true;
        self.agenda.push(Task::Leftovers);
        let lent = self
            .ledger
            .slots()
            .filter(|(_, slot)| !slot.is_idle_reservation());
        let recorded = lent.filter_map(|(_, slot)| slot.recorded_pool());
        for pool in recorded {
            if !self.pools.contains(pool) {
                let end = self.pools.miss(pool, now.time);
                self.agenda.set_alarm(Task::Vanished(pool.clone()), end);
            }
        }
    }

    /// A namespace has other labels than before: whom pools admit may have changed.
    fn apply_namespace(&mut self, name: &str, labels: Option<Labels>) {
        if self.namespaces.get(name) == labels.as_ref() {
            return;
        }
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        let from = self.services.keys_from(ServiceKey::new(name, ""));
        let of_namespace = from.take_while(|key| *key.namespace == *name);
        let keys: Vec<ServiceKey> = of_namespace.cloned().collect();
        for key in keys {
            self.want_decision(&key);
        }
    }

    /// A Node has other addresses than before: pools may say so.
    fn apply_node(&mut self, name: String, addresses: Option<BTreeSet<IpAddr>>) {
        if self.nodes.get(&name) == addresses.as_ref() {
            return;
        }
        match addresses {
            Some(addresses) => self.nodes.insert(name, addresses),
            None => self.nodes.remove(&name),
        };
        for pool in self.pools.names() {
            self.agenda.push(Task::Pool(pool.clone()));
        }
    }

    fn apply_pool(&mut self, pool: Pool) {
        self.agenda.push(Task::Pool(pool.name.clone()));
        if self.pools.apply(pool) {
            self.must_divide = true;
        }
    }

    fn delete_pool(&mut self, name: &PoolName, now: Now) {
        if let Some(end) = self.pools.remove(name, now.time) {
            self.agenda.set_alarm(Task::Vanished(name.clone()), end);
            self.must_divide = true;
        }
    }

    /// More work than one poll can need, however much has changed since the last one: each object
    /// has a few others that it may call upon, and nothing calls upon itself.
    fn enough_work(&self) -> u64 {
        let objects = self.services.len() + self.departed.len() + self.ledger.len() + self.pools.len();
        let per_object = 16;
        self.work.looks + self.work.decisions + per_object * (objects as u64 + 8)
    }

    /// Decides whatever is undecided.
    fn settle(&mut self) {
        loop {
            if std::mem::take(&mut self.must_divide) {
                self.divide();
            }
            let changes = self.ledger.take_changes();
            for pool in changes.pools {
                self.note_vacancies(&pool);
                self.wake(&pool);
                self.agenda.push(Task::Pool(pool));
            }
            for (pool, namespace) in changes.quotas {
                self.wake_namespace(&pool, &namespace);
            }
            for key in changes.keys {
                self.wake_sharers(&key);
            }
            for address in changes.addresses {
                for key in self.waiting.first(&Need::Address(address), u128::MAX) {
                    self.want_decision(&key);
                }
                for key in self.ledger.shown().by(address) {
                    self.agenda.push(Task::Service(key.clone()));
                }
            }
            match self.agenda.next_undecided() {
                Some(key) => {
                    self.work.decisions += 1;
                    self.decide_service(&key);
                }
                None => return,
            }
        }
    }

    /// Divides the addresses among the pools anew and decides about everything again. The one
    /// place where an event costs as much as there are objects: people edit pools, not machines.
    fn divide(&mut self) {
        self.ledger.set_layout(Layout::compile(self.pools.stored()));
        let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
        for key in keys {
            self.want_decision(&key);
        }
        let is_start = !std::mem::replace(&mut self.has_divided, true);
        let addresses: Vec<IpAddr> = self.ledger.slots().map(|(address, _)| address).collect();
        for address in addresses {
            if is_start {
                self.check_reservation(address, true);
            }
            self.agenda.push(Task::Claim(address));
        }
        let names: Vec<PoolName> = self.pools.names().cloned().collect();
        for name in names {
            self.note_vacancies(&name);
            self.agenda.push(Task::Pool(name));
        }
    }

    fn converge(&mut self, task: &Task, now: Now) -> Option<Call> {
        match task {
            Task::Service(key) => self.converge_service(key, now),
            Task::Claim(address) => self.converge_claim(*address, now),
            Task::Departed(key) => self.converge_departed(key, now),
            Task::Leftovers => self.converge_leftovers(now),
            Task::Pool(name) => self.converge_pool(name, now),
            Task::Vanished(name) => {
                if self.pools.end_grace(name, now.time) {
                    self.must_divide = true;
                } else if let Some(end) = self.pools.grace_of(name) {
                    // It was recreated and deleted again since the alarm was set.
                    self.agenda.set_alarm(task.clone(), end);
                }
                None
            }
        }
    }
}
