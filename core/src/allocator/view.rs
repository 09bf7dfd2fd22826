//! What the allocator tells of itself, for metrics and for whoever drives it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::reason::{Refusal, Refused};
use crate::service::ServiceKey;

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
            if let Some(reason) = entry.reason() {
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
}
