//! What a pool could lend, and to whom: free addresses, addresses to share, quotas and counts.

use std::net::IpAddr;

use super::Ledger;
use crate::address::Family;
use crate::allocator::sharers::Seeker;
use crate::pool::layout::Share;
use crate::pool::{Capacity, PoolName};
use crate::service::ServiceKey;

// === impl Ledger ===

impl Ledger {
    /// The lowest free address of a pool, in the order of its entries.
    pub(in crate::allocator) fn first_free(&mut self, pool: &PoolName, family: Family) -> Option<IpAddr> {
        let share = self.layout.share(pool)?;
        let inventory = self.inventories.get_mut(pool)?;
        inventory.free.first(share, family)
    }

    /// The first address of a pool, in the order in which it is lent, that a Service of a namespace
    /// may join on its terms and that passes a test.
    pub(in crate::allocator) fn first_shared(
        &self,
        pool: &PoolName,
        family: Family,
        seeker: Seeker<'_>,
        test: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let share = self.layout.share(pool)?;
        let order = &self.inventories.get(pool)?.order;
        let mut from = 0;
        loop {
            let (found, steps) = self.sharers.first(pool, family, (seeker, share.sharing), from);
            self.steps.set(self.steps.get() + steps);
            let address = order.address_at(family, found?)?;
            if test(address) {
                return Some(address);
            }
            from = found?.checked_add(1)?;
        }
    }

    /// How many steps it took to find addresses to share, since the start.
    pub(in crate::allocator) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// How many addresses of a pool a namespace holds, and how many it may hold; `None` when it may
    /// hold any number. Addresses that a Service alone holds in its namespace are left out: they are
    /// what it may be about to give up.
    pub(in crate::allocator) fn quota(&self, pool: &PoolName, but: &ServiceKey) -> Option<(u32, u32)> {
        let most = self.layout.share(pool)?.quota?;
        let inventory = self.inventories.get(pool)?;
        let all = inventory.held_by(&but.namespace);
        let own = self.by_service.of(but).filter(|address| {
            self.slots.get(address).is_some_and(|slot| {
                slot.keepers().any(|keeper| keeper == but)
                    && !slot.is_kept_beside(but)
                    && self.pool_of(*address) == Some(pool)
            })
        });
        let own = u32::try_from(own.count()).unwrap_or(u32::MAX);
        Some((all.saturating_sub(own), most))
    }

    /// How many more addresses of a pool a namespace may hold.
    pub(in crate::allocator) fn quota_left(&self, pool: &PoolName, namespace: &str) -> u32 {
        let Some(most) = self.layout.share(pool).and_then(|share| share.quota) else {
            return u32::MAX;
        };
        let inventory = self.inventories.get(pool);
        most.saturating_sub(inventory.map_or(0, |inventory| inventory.held_by(namespace)))
    }

    /// How many addresses of each family a pool could lend now.
    pub(in crate::allocator) fn available(&self, pool: &PoolName) -> (u128, u128) {
        let is_frozen = self.layout.share(pool).is_none_or(Share::is_frozen);
        match self.inventories.get(pool) {
            Some(inventory) if !is_frozen => inventory.unused(),
            Some(_) | None => (0, 0),
        }
    }

    /// Whether a pool covers any address of a family, free or not.
    pub(in crate::allocator) fn covers_any(&self, pool: &PoolName, family: Family) -> bool {
        let inventory = self.inventories.get(pool);
        inventory.is_some_and(|inventory| inventory.covers(family))
    }

    /// The counts of a pool, IPv4 and IPv6.
    pub(in crate::allocator) fn capacity(&self, pool: &PoolName) -> (Capacity, Capacity) {
        let inventory = self.inventories.get(pool);
        inventory.map_or_else(Default::default, |inventory| {
            inventory.capacity(self.available(pool))
        })
    }
}
