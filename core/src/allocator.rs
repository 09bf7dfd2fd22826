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
mod settle;
mod sharers;
mod shown;
mod slot;
mod status;
mod subnets;
mod surroundings;
mod tenancy;
mod throttle;
mod view;
mod waiting;
mod waking;
mod wish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub use call::{Call, CallId, FinalizerEdit, Outcome, PoolPatch, ServicePatch, Stored};
pub use event::{Event, Notice, Regarding};
pub use view::{Sizes, Work};

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
use waiting::Waiting;

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
            Event::ServiceApplied(service) => self.apply_service(service),
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
