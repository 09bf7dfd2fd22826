//! What a slot means to others: with whom it has to do, what it offers, and where it counts.

use std::net::IpAddr;
use std::sync::Arc;

use super::Ledger;
use super::inventory::Charge;
use crate::allocator::few::{FewMap, FewSet};
use crate::allocator::sharers::Offer;
use crate::allocator::slot::{Bucket, Slot};
use crate::claim::{Claim, ClaimSpec};
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::sharing::Terms;

/// What a slot means to others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bearing {
    pub(super) mentions: FewSet<ServiceKey>,
    pub(super) beneficiaries: FewSet<ServiceKey>,
    holders: FewMap<ServiceKey, Arc<Terms>>,
    pub(super) offer: Option<Offer>,
    pub(super) namespaces: FewSet<Arc<str>>,
    is_vacant: bool,
    /// How many show a reserved address that nobody holds: only then does it keep anybody waiting.
    shown_by: usize,
    pub(super) charge: Option<Charge>,
}

// === impl Ledger ===

impl Ledger {
    /// What an address means to others; `None` if it is free.
    pub(super) fn bearing(&self, address: IpAddr) -> Option<Bearing> {
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

    /// Where an address in use counts.
    pub(super) fn charge_of(&self, address: IpAddr, slot: &Slot) -> Option<Charge> {
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
    pub(super) fn charge_of_shown(&self, address: IpAddr) -> Option<Charge> {
        let pool = self.layout.pool_of(address)?.clone();
        Some(Charge {
            pool,
            bucket: Bucket::Assigned,
            is_covered: true,
        })
    }

    /// The namespaces for which an address counts: of those who keep it, if its pool has a quota.
    pub(super) fn namespaces(&self, slot: &Slot, charge: Option<&Charge>) -> FewSet<Arc<str>> {
        let share = charge.and_then(|charge| self.layout.share(&charge.pool));
        if share.is_none_or(|share| share.quota.is_none()) {
            return FewSet::default();
        }
        slot.keepers().map(|keeper| keeper.namespace.clone()).collect()
    }

    /// What an address offers to those who would share it: nothing, if another load balancer serves
    /// it, or if its pool lends nothing.
    pub(super) fn offer_of(&self, address: IpAddr, slot: &Slot) -> Option<Offer> {
        let offer = slot.offer()?;
        let share = self.layout.share(self.layout.pool_of(address)?)?;
        (share.lends(address) && self.shown.by_foreign(address).is_none()).then_some(offer)
    }

    /// The pool on record, if one of its invalid entries may have meant the address.
    pub(super) fn kept_by_record<'a>(&self, address: IpAddr, slot: &'a Slot) -> Option<&'a PoolName> {
        let pool = slot.recorded_pool()?;
        let share = self.layout.share(pool)?;
        share.may_have_meant(address).then_some(pool)
    }
}
