//! Keeps what is derived from the slots in step with them, slot by slot.

use std::net::IpAddr;
use std::sync::Arc;

use super::Ledger;
use super::bearing::Bearing;
use super::inventory::Charge;
use crate::address::Family;
use crate::allocator::few::FewSet;
use crate::allocator::sharers::Offer;

// === impl Ledger ===

impl Ledger {
    /// Brings all that is derived from a slot in step with it.
    pub(super) fn follow(&mut self, address: IpAddr, before: Option<Bearing>, after: Option<Bearing>) {
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

    /// Counts an address, or takes it off.
    pub(super) fn charge(&mut self, address: IpAddr, charge: Option<Charge>, is_on: bool) {
        let Some(charge) = charge else {
            return;
        };
        if let Some(inventory) = self.inventories.get_mut(&charge.pool) {
            inventory.charge(Family::of(address), &charge, is_on);
        }
        self.changed.pools.insert(charge.pool);
    }

    /// Counts an address for each of these namespaces, once.
    pub(super) fn charge_namespaces(
        &mut self,
        charge: Option<&Charge>,
        namespaces: &FewSet<Arc<str>>,
        is_on: bool,
    ) {
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

    /// Notes what an address offers, or forgets it.
    pub(super) fn index_offer(&mut self, address: IpAddr, offer: Option<&Offer>, is_on: bool) {
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

    /// An address is not to be lent anew.
    pub(super) fn take_from_free(&mut self, address: IpAddr) {
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
