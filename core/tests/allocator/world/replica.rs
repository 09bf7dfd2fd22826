//! One leading controller, and what its watches have shown it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ferrolb_core::allocator::{Allocator, Call, CallId, Event, Notice, Options};
use ferrolb_core::pool::PoolName;
use ferrolb_core::service::ServiceKey;
use ferrolb_core::time::Now;

use super::Kind;
use crate::api::Api;

/// One leading controller: its allocator, how far its watches have come, and its calls.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) allocator: Allocator,
    /// How far each watch has come in the log.
    pub(crate) cursors: [usize; Kind::ALL.len()],
    pub(crate) calls: Vec<(CallId, Call)>,
    pub(crate) notices: Vec<Notice>,
    /// It leads no more, does not know it yet, and hears nothing but answers to its calls.
    pub(crate) is_deposed: bool,
    known: Known,
}

/// What a replica's caches hold, by name: what a new list lacks was deleted. Of claims the
/// allocator knows more, since it makes them.
#[derive(Clone, Debug, Default)]
struct Known {
    services: BTreeSet<ServiceKey>,
    namespaces: BTreeSet<String>,
    nodes: BTreeSet<String>,
    pools: BTreeSet<PoolName>,
}

// === impl Replica ===

impl Replica {
    /// A controller that has just become leader and has listed everything.
    pub(crate) fn start(api: &Api, options: Options, now: Now) -> Self {
        Self::start_in_order(api, options, now, |_| {})
    }

    /// The same, with everything that was listed in another order.
    pub(crate) fn start_in_order(
        api: &Api,
        options: Options,
        now: Now,
        order: impl FnOnce(&mut [Event]),
    ) -> Self {
        let mut replica = Self::new(options);
        let mut lists = api.list();
        order(&mut lists);
        replica.take_lists(lists, api.log.len(), now);
        replica.allocator.apply(Event::Synced, now);
        replica
    }

    /// A standby that has just become leader, with caches that lag behind, each by so many of its
    /// own events.
    pub(crate) fn promote(api: &Api, lags: [usize; Kind::ALL.len()], options: Options, now: Now) -> Self {
        let mut replica = Self::new(options);
        for kind in Kind::ALL {
            let of_kind = |index: &usize| Kind::of(&api.log[*index]) == kind;
            let lag = lags[kind as usize];
            let last = (0..api.log.len()).rev().filter(of_kind).nth(lag);
            replica.cursors[kind as usize] = last.map_or(0, |last| last + 1);
        }
        for (index, event) in api.log.iter().enumerate() {
            if index < replica.cursors[Kind::of(event) as usize] {
                replica.show(event.clone(), now);
            }
        }
        assert!(
            replica.allocator.poll_call(now).is_none(),
            "A5: it acts before all lists are complete"
        );
        replica.allocator.apply(Event::Synced, now);
        replica
    }

    fn new(options: Options) -> Self {
        Self {
            allocator: Allocator::with(options),
            cursors: [0; Kind::ALL.len()],
            calls: Vec::new(),
            notices: Vec::new(),
            is_deposed: false,
            known: Known::default(),
        }
    }

    pub(super) fn drain_notices(&mut self) {
        while let Some(notice) = self.allocator.poll_notice() {
            self.notices.push(notice);
        }
    }

    /// Where the next change of a kind of object stands in the log.
    pub(super) fn next_in(&self, api: &Api, kind: Kind) -> Option<usize> {
        if self.is_deposed {
            return None;
        }
        let start = self.cursors[kind as usize];
        let found = api.log[start..].iter().position(|event| Kind::of(event) == kind);
        found.map(|offset| start + offset)
    }

    /// How many changes the watches have not shown yet.
    pub(super) fn unseen(&self, api: &Api) -> usize {
        let first = self.cursors.iter().copied().min().unwrap_or_default();
        let events = api.log.iter().enumerate().skip(first);
        let unseen = events.filter(|(index, event)| *index >= self.cursors[Kind::of(event) as usize]);
        unseen.count()
    }

    /// Has a watch go back by so many of its events and show them again.
    pub(crate) fn rewind(&mut self, api: &Api, kind: Kind, count: usize) {
        let cursor = &mut self.cursors[kind as usize];
        let seen = (0..*cursor).rev();
        let mut of_kind = seen.filter(|index| Kind::of(&api.log[*index]) == kind);
        if let Some(index) = count.checked_sub(1).and_then(|count| of_kind.nth(count)) {
            *cursor = index;
        }
    }

    /// Lists everything anew, as after a watch that was cut.
    pub(crate) fn relist(&mut self, api: &Api, now: Now) {
        self.take_lists(api.list(), api.log.len(), now);
    }

    /// Takes in complete lists of all kinds, as of a place in the log.
    fn take_lists(&mut self, lists: Vec<Event>, as_of: usize, now: Now) {
        let mut gone = std::mem::take(&mut self.known);
        let mut gone_claims: BTreeSet<IpAddr> = self.allocator.claims().collect();
        self.cursors = [as_of; Kind::ALL.len()];
        for event in lists {
            match &event {
                Event::ServiceApplied(service) => drop(gone.services.remove(&service.key)),
                Event::PoolApplied(pool) => drop(gone.pools.remove(&pool.name)),
                Event::ClaimApplied(claim) => drop(gone_claims.remove(&claim.spec.address)),
                Event::NamespaceApplied(name, _) => drop(gone.namespaces.remove(name)),
                Event::NodeApplied(name, _) => drop(gone.nodes.remove(name)),
                Event::ServiceDeleted(_)
                | Event::NamespaceDeleted(_)
                | Event::NodeDeleted(_)
                | Event::PoolDeleted(_)
                | Event::ClaimDeleted { .. }
                | Event::Synced => unreachable!("a list shows only what is there"),
            }
            self.show(event, now);
        }
        for key in gone.services {
            self.show(Event::ServiceDeleted(key), now);
        }
        for name in gone.namespaces {
            self.show(Event::NamespaceDeleted(name), now);
        }
        for name in gone.nodes {
            self.show(Event::NodeDeleted(name), now);
        }
        for name in gone.pools {
            self.show(Event::PoolDeleted(name), now);
        }
        for address in gone_claims {
            self.show(Event::ClaimDeleted { address, uid: None }, now);
        }
    }

    pub(super) fn show(&mut self, event: Event, now: Now) {
        let known = &mut self.known;
        match &event {
            Event::ServiceApplied(service) => drop(known.services.insert(service.key.clone())),
            Event::ServiceDeleted(key) => drop(known.services.remove(key)),
            Event::NamespaceApplied(name, _) => drop(known.namespaces.insert(name.clone())),
            Event::NamespaceDeleted(name) => drop(known.namespaces.remove(name)),
            Event::NodeApplied(name, _) => drop(known.nodes.insert(name.clone())),
            Event::NodeDeleted(name) => drop(known.nodes.remove(name)),
            Event::PoolApplied(pool) => drop(known.pools.insert(pool.name.clone())),
            Event::PoolDeleted(name) => drop(known.pools.remove(name)),
            Event::ClaimApplied(_) | Event::ClaimDeleted { .. } | Event::Synced => {}
        }
        self.allocator.apply(event, now);
    }
}
