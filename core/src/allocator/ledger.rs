//! The one record of every address in use: slots, what Services show, what is free in each pool,
//! and the counts.
//!
//! A slot changes only through [`Ledger::update`], which keeps everything that is derived from
//! the slots in step with them: who has to do with which address, what is free, what counts
//! where; and its [`Progress`], from which nothing is derived, through [`Ledger::note`]. Nothing is looked for by walking through all slots but when the pools change.

mod inventory;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Family;
use crate::allocator::by_service::ByService;
use crate::allocator::few::{FewMap, FewSet};
use crate::allocator::progress::Progress;
use crate::allocator::registry::Registry;
use crate::allocator::sharers::{Offer, Seeker, Sharers};
use crate::allocator::shown::Shown;
use crate::allocator::slot::{Bucket, Slot};
use crate::claim::{Claim, ClaimSpec};
use crate::object::Uid;
use crate::pool::layout::{Layout, Share};
use crate::pool::{Capacity, PoolName};
use crate::service::ServiceKey;
use crate::sharing::Terms;
use inventory::{Charge, Inventory};

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

/// What a slot means to others; `None` for a free address.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bearing {
    mentions: FewSet<ServiceKey>,
    beneficiaries: FewSet<ServiceKey>,
    holders: FewMap<ServiceKey, Arc<Terms>>,
    offer: Option<Offer>,
    namespaces: FewSet<Arc<str>>,
    is_vacant: bool,
    /// How many show a reserved address that nobody holds: only then does it keep anybody waiting.
    shown_by: usize,
    charge: Option<Charge>,
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

    /// The lowest free address of a pool, in the order of its entries.
    pub(super) fn first_free(&mut self, pool: &PoolName, family: Family) -> Option<IpAddr> {
        let share = self.layout.share(pool)?;
        let inventory = self.inventories.get_mut(pool)?;
        inventory.free.first(share, family)
    }

    /// The first address of a pool, in the order in which it is lent, that a Service of a namespace
    /// may join on its terms and that passes a test.
    pub(super) fn first_shared(
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

    /// The pools of which an address is held under a key.
    pub(super) fn pools_of_key(&self, key: &str) -> impl Iterator<Item = &PoolName> {
        self.sharers.pools(key)
    }

    /// How many steps it took to find addresses to share, since the start.
    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Has those who wait for a pool decided about, as far as it can serve them.
    pub(super) fn touch_pool(&mut self, pool: &PoolName) {
        self.changed.pools.insert(pool.clone());
    }

    /// Has those who wait to share under a key decided about, as far as they can.
    pub(super) fn touch_key(&mut self, key: &str) {
        self.changed.keys.insert(key.to_owned());
    }

    /// How many addresses of a pool a namespace holds, and how many it may hold; `None` when it may
    /// hold any number. Addresses that a Service alone holds in its namespace are left out: they are
    /// what it may be about to give up.
    pub(super) fn quota(&self, pool: &PoolName, but: &ServiceKey) -> Option<(u32, u32)> {
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
    pub(super) fn quota_left(&self, pool: &PoolName, namespace: &str) -> u32 {
        let Some(most) = self.layout.share(pool).and_then(|share| share.quota) else {
            return u32::MAX;
        };
        let inventory = self.inventories.get(pool);
        most.saturating_sub(inventory.map_or(0, |inventory| inventory.held_by(namespace)))
    }

    /// How many addresses of each family a pool could lend now.
    pub(super) fn available(&self, pool: &PoolName) -> (u128, u128) {
        let is_frozen = self.layout.share(pool).is_none_or(Share::is_frozen);
        match self.inventories.get(pool) {
            Some(inventory) if !is_frozen => inventory.unused(),
            Some(_) | None => (0, 0),
        }
    }

    /// Whether a pool covers any address of a family, free or not.
    pub(super) fn covers_any(&self, pool: &PoolName, family: Family) -> bool {
        let inventory = self.inventories.get(pool);
        inventory.is_some_and(|inventory| inventory.covers(family))
    }

    /// The counts of a pool, IPv4 and IPv6.
    pub(super) fn capacity(&self, pool: &PoolName) -> (Capacity, Capacity) {
        let inventory = self.inventories.get(pool);
        inventory.map_or_else(Default::default, |inventory| {
            inventory.capacity(self.available(pool))
        })
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

    fn kept_by_record<'a>(&self, address: IpAddr, slot: &'a Slot) -> Option<&'a PoolName> {
        let pool = slot.recorded_pool()?;
        let share = self.layout.share(pool)?;
        share.may_have_meant(address).then_some(pool)
    }

    fn charge_of(&self, address: IpAddr, slot: &Slot) -> Option<Charge> {
        let bucket = slot.bucket();
        let charge = |pool: &PoolName, is_covered| Charge {
            pool: pool.clone(),
            bucket,
            is_covered,
        };
        if let Some(pool) = self.layout.pool_of(address) {
            return Some(charge(pool, true));
        }
        match bucket {
            Bucket::Assigned => Some(charge(self.kept_by_record(address, slot)?, false)),
            Bucket::Reserved | Bucket::Quarantined => None,
        }
    }

    /// An address without a claim that somebody shows counts as lent.
    fn charge_of_shown(&self, address: IpAddr) -> Option<Charge> {
        let pool = self.layout.pool_of(address)?.clone();
        Some(Charge {
            pool,
            bucket: Bucket::Assigned,
            is_covered: true,
        })
    }

    fn bearing(&self, address: IpAddr) -> Option<Bearing> {
        let Some(slot) = self.slots.get(&address) else {
            if !self.shown.contains(address) {
                return None;
            }
            return Some(Bearing {
                charge: self.charge_of_shown(address),
                ..Bearing::default()
            });
        };
        let beneficiaries = slot.reservation().into_iter().flat_map(ClaimSpec::beneficiaries);
        let is_idle = slot.is_idle_reservation();
        let charge = self.charge_of(address, slot);
        Some(Bearing {
            mentions: slot.mentions(),
            holders: slot.holders.clone(),
            beneficiaries: beneficiaries.cloned().collect(),
            shown_by: if is_idle {
                self.shown.by(address).count()
            } else {
                0
            },
            offer: self.offer_of(address, slot),
            namespaces: self.namespaces(slot, charge.as_ref()),
            is_vacant: slot.live.as_deref().is_none_or(Claim::is_vacant),
            charge,
        })
    }

    /// Brings all that is derived from a slot in step with it.
    fn follow(&mut self, address: IpAddr, before: Option<Bearing>, after: Option<Bearing>) {
        match (before.is_some(), after.is_some()) {
            (false, true) => self.take_from_free(address),
            (true, false) => self.give_to_free(address),
            (true, true) | (false, false) => {}
        }
        for (bearing, is_on) in [(&before, false), (&after, true)] {
            if let Some(bearing) = bearing {
                self.charge_namespaces(bearing.charge.as_ref(), &bearing.namespaces, is_on);
            }
        }
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        if before.offer != after.offer {
            self.index_offer(address, before.offer.as_ref(), false);
            self.index_offer(address, after.offer.as_ref(), true);
        }
        self.by_service
            .replace(address, &before.mentions, &after.mentions);
        self.reservations
            .replace(address, &before.beneficiaries, &after.beneficiaries);
        if before.charge != after.charge {
            self.charge(address, before.charge, false);
            self.charge(address, after.charge, true);
        }
        self.changed.addresses.insert(address);
    }

    fn charge(&mut self, address: IpAddr, charge: Option<Charge>, is_on: bool) {
        let Some(charge) = charge else {
            return;
        };
        if let Some(inventory) = self.inventories.get_mut(&charge.pool) {
            inventory.charge(Family::of(address), &charge, is_on);
        }
        self.changed.pools.insert(charge.pool);
    }

    /// Counts an address for each of these namespaces, once.
    fn charge_namespaces(&mut self, charge: Option<&Charge>, namespaces: &FewSet<Arc<str>>, is_on: bool) {
        let Some(pool) = charge.map(|charge| &charge.pool) else {
            return;
        };
        for namespace in namespaces {
            if let Some(inventory) = self.inventories.get_mut(pool) {
                inventory.charge_namespace(namespace, is_on);
            }
            self.changed.quotas.insert((pool.clone(), namespace.clone()));
        }
    }

    /// The namespaces for which an address counts: of those who keep it, if its pool has a quota.
    fn namespaces(&self, slot: &Slot, charge: Option<&Charge>) -> FewSet<Arc<str>> {
        let share = charge.and_then(|charge| self.layout.share(&charge.pool));
        if share.is_none_or(|share| share.quota.is_none()) {
            return FewSet::default();
        }
        slot.keepers().map(|keeper| keeper.namespace.clone()).collect()
    }

    /// What an address offers to those who would share it: nothing, if another load balancer serves
    /// it, or if its pool lends nothing.
    fn offer_of(&self, address: IpAddr, slot: &Slot) -> Option<Offer> {
        let offer = slot.offer()?;
        let share = self.layout.share(self.layout.pool_of(address)?)?;
        (share.lends(address) && self.shown.by_foreign(address).is_none()).then_some(offer)
    }

    fn index_offer(&mut self, address: IpAddr, offer: Option<&Offer>, is_on: bool) {
        let place = self.layout.pool_of(address).and_then(|pool| {
            let (share, inventory) = (self.layout.share(pool)?, self.inventories.get(pool)?);
            Some((pool, inventory.order.number_of(share, address)?))
        });
        if let (Some((pool, number)), Some(offer)) = (place, offer) {
            let family = Family::of(address);
            if is_on {
                self.sharers.insert(pool, family, number, offer);
            } else {
                self.sharers.remove(pool, family, number, offer);
            }
            self.changed.keys.insert(offer.key.clone());
        }
    }

    fn take_from_free(&mut self, address: IpAddr) {
        if let Some(pool) = self.layout.pool_of(address)
            && let Some(share) = self.layout.share(pool)
            && let Some(inventory) = self.inventories.get_mut(pool)
        {
            inventory.free.take(share, address);
        }
    }

    fn give_to_free(&mut self, address: IpAddr) {
        if let Some(pool) = self.layout.pool_of(address)
            && let Some(share) = self.layout.share(pool)
            && let Some(inventory) = self.inventories.get_mut(pool)
        {
            inventory.free.give(share, address);
            self.changed.pools.insert(pool.clone());
        }
    }
}

#[cfg(test)]
mod tests;
