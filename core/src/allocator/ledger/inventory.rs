//! What one pool has free and in use, and how much of it each namespace holds.
//!
//! Only counts: which slot counts where is the ledger's to say.

use std::collections::BTreeMap;

use crate::address::Family;
use crate::allocator::slot::Bucket;
use crate::pool::free::Free;
use crate::pool::layout::Share;
use crate::pool::order::Order;
use crate::pool::{Capacity, PoolName};

/// What is free and what is in use of one pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Inventory {
    /// What is free.
    pub(super) free: Free,
    /// The number of each address, in the order in which they are lent.
    pub(super) order: Order,
    v4: Counts,
    v6: Counts,
    /// How many addresses each namespace holds, if the pool has a quota.
    by_namespace: BTreeMap<String, u32>,
}

/// Where one slot counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) pool: PoolName,
    pub(super) bucket: Bucket,
    /// Whether the pool covers the address, rather than may have meant it.
    pub(super) is_covered: bool,
}

/// Addresses in use of one pool and family.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// All that the pool covers.
    covered: u128,
    /// Those of them that are in use.
    used: u128,
    assigned: u128,
    reserved: u128,
    quarantined: u128,
}

// === impl Inventory ===

impl Inventory {
    /// What there is of a pool while nobody holds anything.
    pub(super) fn of(share: &Share) -> Self {
        let counts = |family| Counts {
            covered: share.count(family),
            ..Counts::default()
        };
        Self {
            free: Free::of(share),
            order: Order::of(share),
            v4: counts(Family::V4),
            v6: counts(Family::V6),
            by_namespace: BTreeMap::new(),
        }
    }

    /// Counts an address, or takes it off.
    pub(super) fn charge(&mut self, family: Family, charge: &Charge, is_on: bool) {
        let counts = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        counts.charge(charge, is_on);
    }

    /// Counts an address for a namespace, or takes it off.
    pub(super) fn charge_namespace(&mut self, namespace: &str, is_on: bool) {
        let count = self.by_namespace.entry(namespace.to_owned()).or_default();
        *count = if is_on {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
        if *count == 0 {
            self.by_namespace.remove(namespace);
        }
    }

    /// How many addresses a namespace holds; counted only where there is a quota.
    pub(super) fn held_by(&self, namespace: &str) -> u32 {
        self.by_namespace.get(namespace).copied().unwrap_or_default()
    }

    /// How many addresses of each family nobody has.
    pub(super) fn unused(&self) -> (u128, u128) {
        (self.v4.unused(), self.v6.unused())
    }

    /// Whether there is any address of a family, free or not.
    pub(super) fn covers(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.covered > 0,
            Family::V6 => self.v6.covered > 0,
        }
    }

    /// The counts for people, when so many addresses of each family can be lent.
    pub(super) fn capacity(&self, (v4, v6): (u128, u128)) -> (Capacity, Capacity) {
        (self.v4.capacity(v4), self.v6.capacity(v6))
    }
}

// === impl Counts ===

impl Counts {
    fn unused(self) -> u128 {
        self.covered.saturating_sub(self.used)
    }

    fn charge(&mut self, charge: &Charge, is_on: bool) {
        let step = |count: &mut u128| {
            *count = if is_on {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            };
        };
        match charge.bucket {
            Bucket::Assigned => step(&mut self.assigned),
            Bucket::Reserved => step(&mut self.reserved),
            Bucket::Quarantined => step(&mut self.quarantined),
        }
        if charge.is_covered {
            step(&mut self.used);
        }
    }

    fn capacity(self, available: u128) -> Capacity {
        let cap = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
        let total = available
            .saturating_add(self.assigned)
            .saturating_add(self.reserved)
            .saturating_add(self.quarantined);
        Capacity {
            total: cap(total),
            assigned: cap(self.assigned),
            reserved: cap(self.reserved),
            quarantined: cap(self.quarantined),
            available: cap(available),
        }
    }
}
