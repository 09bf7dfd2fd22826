//! The one record of every address in use: slots, what Services show, what is free in each pool,
//! and the counts.
//!
//! A slot changes only through [`Ledger::update`], which keeps everything that is derived from
//! the slots in step with them: who has to do with which address, what is free, what counts
//! where; and its [`Progress`], from which nothing is derived, through [`Ledger::note`]. Nothing is
//! looked for by walking through all slots but when the pools change.

mod bearing;
mod follow;
mod inventory;
mod supply;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::allocator::by_service::ByService;
use crate::allocator::few::FewSet;
use crate::allocator::progress::Progress;
use crate::allocator::registry::Registry;
use crate::allocator::sharers::Sharers;
use crate::allocator::shown::Shown;
use crate::allocator::slot::Slot;
use crate::object::Uid;
use crate::pool::PoolName;
use crate::pool::layout::Layout;
use crate::service::ServiceKey;
use inventory::Inventory;

/// Every address in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    layout: Layout,
    slots: Registry<IpAddr, Slot>,
    shown: Shown,
    by_service: ByService,
    reservations: ByService,
    inventories: BTreeMap<PoolName, Inventory>,
    sharers: Sharers,
    /// Counted where nothing else changes.
    steps: Cell<u64>,
    /// Claims that were deleted: a late report about one of them is no news. An entry goes when
    /// the watch shows the deletion or a successor.
    graves: BTreeMap<IpAddr, Uid>,
    changed: Changes,
}

/// What has changed since it was last asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Pools whose counts may have changed.
    pub(super) pools: BTreeSet<PoolName>,
    /// Namespaces that hold more or fewer addresses of a pool with a quota.
    pub(super) quotas: BTreeSet<(PoolName, Arc<str>)>,
    /// Sharing keys under which another address can be joined than before.
    pub(super) keys: BTreeSet<String>,
    /// Addresses whose slots were touched.
    pub(super) addresses: BTreeSet<IpAddr>,
}

// === impl Ledger ===

impl Ledger {
    /// Which address belongs to which pool.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Divides the addresses anew. The only operation that walks through all slots.
    pub(super) fn set_layout(&mut self, layout: Layout) {
        self.inventories = layout
            .shares()
            .map(|(name, share)| (name.clone(), Inventory::of(share)))
            .collect();
        self.layout = layout;
        self.sharers.clear();
        let slots = std::mem::take(&mut self.slots);
        for (address, slot) in slots.iter() {
            self.take_from_free(*address);
            let charge = self.charge_of(*address, slot);
            self.charge_namespaces(charge.as_ref(), &self.namespaces(slot, charge.as_ref()), true);
            self.charge(*address, charge, true);
            self.index_offer(*address, self.offer_of(*address, slot).as_ref(), true);
        }
        self.slots = slots;
        let shown: Vec<IpAddr> = self.shown.addresses().collect();
        for address in shown {
            if !self.slots.contains_key(&address) {
                self.take_from_free(address);
                let charge = self.charge_of_shown(address);
                self.charge(address, charge, true);
            }
        }
    }

    /// A Service shows other addresses than before. Those that it shows are lent to nobody else.
    pub(super) fn show(
        &mut self,
        service: &ServiceKey,
        is_foreign: bool,
        before: &FewSet<IpAddr>,
        after: &FewSet<IpAddr>,
    ) {
        let either: FewSet<IpAddr> = before.iter().chain(after).copied().collect();
        for address in &either {
            let bearing = self.bearing(*address);
            if after.contains(address) {
                self.shown.add(*address, service, is_foreign);
            } else {
                self.shown.remove(*address, service);
            }
            let new_bearing = self.bearing(*address);
            if bearing != new_bearing {
                self.follow(*address, bearing, new_bearing);
            }
        }
    }

    /// Which Services show which address.
    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// One address in use.
    pub(super) fn slot(&self, address: IpAddr) -> Option<&Slot> {
        self.slots.get(&address)
    }

    /// How many addresses are in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Every address in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = (IpAddr, &Slot)> {
        self.slots.iter().map(|(address, slot)| (*address, slot))
    }

    /// The addresses that a Service has to do with.
    pub(super) fn addresses_of(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.by_service.of(key)
    }

    /// Changes a slot, which is made if need be and dropped if nothing is left in it.
    ///
    /// Only what others can tell counts as changed.
    pub(super) fn update<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut Slot) -> T) -> T {
        let before = self.bearing(address);
        let slot = self.slots.get_or_default(&address);
        let answer = change(slot);
        if slot.is_free() {
            self.slots.remove(&address);
        }
        let after = self.bearing(address);
        if before != after {
            self.follow(address, before, after);
        }
        answer
    }

    /// Notes how far the calls for a claim have come: that wakes nobody, and moves nothing but what
    /// becomes free by it.
    pub(super) fn note<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut Progress) -> T) -> T {
        let Some(slot) = self.slots.get_mut(&address) else {
            return self.update(address, |slot| change(&mut slot.progress));
        };
        let answer = change(&mut slot.progress);
        if slot.is_free() {
            self.update(address, |_| ());
        }
        answer
    }

    /// The pool that an address counts to: the one that covers it, else the one on record if one
    /// of its invalid entries may have meant it.
    pub(super) fn pool_of(&self, address: IpAddr) -> Option<&PoolName> {
        self.layout
            .pool_of(address)
            .or_else(|| self.kept_by_record(address, self.slots.get(&address)?))
    }

    /// The pools of which an address is held under a key.
    pub(super) fn pools_of_key(&self, key: &str) -> impl Iterator<Item = &PoolName> {
        self.sharers.pools(key)
    }

    /// Has those who wait for a pool decided about, as far as it can serve them.
    pub(super) fn touch_pool(&mut self, pool: &PoolName) {
        self.changed.pools.insert(pool.clone());
    }

    /// Has those who wait to share under a key decided about, as far as they can.
    pub(super) fn touch_key(&mut self, key: &str) {
        self.changed.keys.insert(key.to_owned());
    }

    /// The addresses that people reserve for a Service.
    pub(super) fn reserved_for(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> + '_ {
        self.reservations.of(key)
    }

    /// What has changed since the last time.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changed)
    }

    /// Remembers that a claim was deleted.
    pub(super) fn bury(&mut self, address: IpAddr, uid: Uid) {
        self.graves.insert(address, uid);
    }

    /// Whether a claim was deleted before; the watch's report of anything else ends the memory.
    pub(super) fn is_buried(&mut self, address: IpAddr, uid: &Uid) -> bool {
        let is_buried = self.graves.get(&address) == Some(uid);
        if !is_buried {
            self.graves.remove(&address);
        }
        is_buried
    }

    /// The watch has shown a deletion.
    pub(super) fn forget_grave(&mut self, address: IpAddr) {
        self.graves.remove(&address);
    }
}

#[cfg(test)]
mod tests;
