//! Whether a Service may be among the holders of an address, given the others.
//!
//! Who holds it by the ledger has terms that were agreed upon, and whoever comes later, or changes,
//! must fit these. So of two holders the one whose change breaks the rule goes, and the other
//! stays, in whatever order their changes are seen; and since the claim records the terms, the
//! same holds after a restart.
//!
//! Whom the claim still names counts too: to one who joins by what it recorded and by what it is
//! now, since it may show the address yet.

use crate::allocator::registry::Registry;
use crate::allocator::services::ServiceEntry;
use crate::allocator::sharers::Offer;
use crate::allocator::slot::Slot;
use crate::claim::Holder;
use crate::pool::Sharing;
use crate::service::ServiceKey;
use crate::sharing::{Clash, Terms};

/// A Service that wants to hold an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party<'a> {
    /// Which it is.
    pub(super) key: &'a ServiceKey,
    /// Its terms now.
    pub(super) terms: &'a Terms,
    /// Whom it may join.
    pub(super) sharing: Sharing,
}

/// Why it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// A person reserves the address for others.
    Reserved,
    /// A holder is in its way.
    Holder {
        /// Which one.
        holder: ServiceKey,
        /// What stands between the two.
        clash: Clash,
    },
}

/// What is known about other Services.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbors<'a>(pub(super) &'a Registry<ServiceKey, ServiceEntry>);

/// A Service that a claim names and that is no holder by the ledger.
enum Neighbor {
    /// It has not been decided about since the start: it may stay.
    Undecided,
    /// It is to go, and is now on these terms; `None` if it is not there any more.
    Leaving(Option<Terms>),
}

// === impl Neighbors ===

impl Neighbors<'_> {
    fn of(self, key: &ServiceKey) -> Neighbor {
        match self.0.get(key) {
            None => Neighbor::Leaving(None),
            Some(entry) if !entry.is_decided => Neighbor::Undecided,
            Some(entry) => Neighbor::Leaving(Some(Terms::of_request(&entry.service.request))),
        }
    }
}

// === impl Party ===

impl Party<'_> {
    fn check(&self, holder: &ServiceKey, terms: &Terms, sharing: Sharing) -> Result<(), Objection> {
        let shared = self.terms.may_share(terms);
        let met = || sharing.may_meet(&self.key.namespace, &holder.namespace);
        shared.and_then(|()| met()).map_err(|clash| Objection::Holder {
            holder: holder.clone(),
            clash,
        })
    }
}

// === impl Slot ===

impl Slot {
    /// Whether a Service may be among the holders.
    ///
    /// # Errors
    /// Whom it does not go together with, and why.
    pub(super) fn admits(&self, party: Party<'_>, neighbors: Neighbors<'_>) -> Result<(), Objection> {
        if self.is_kept_from(party.key) {
            return Err(Objection::Reserved);
        }
        let is_holder = self.holders.contains_key(party.key);
        let record = self.record_of(party.key);
        // That namespaces are kept apart is a rule for those who join.
        let sharing = if is_holder || record.is_some() {
            Sharing::CrossNamespace
        } else {
            party.sharing
        };
        for (holder, terms) in self.holders.iter().filter(|(holder, _)| *holder != party.key) {
            party.check(holder, terms, sharing)?;
        }
        if is_holder {
            return Ok(());
        }
        // The terms of all whom the claim names go together: who keeps to its own stays.
        let is_as_recorded = record.is_some_and(|record| Terms::of_holder(record) == *party.terms);
        for other in self.recorded_others(party.key) {
            let recorded = Terms::of_holder(other);
            match (record, neighbors.of(&other.service)) {
                (Some(_), Neighbor::Leaving(_)) => {}
                (Some(_), Neighbor::Undecided) if is_as_recorded => {}
                (Some(_), Neighbor::Undecided) | (None, Neighbor::Undecided | Neighbor::Leaving(None)) => {
                    party.check(&other.service, &recorded, sharing)?;
                }
                (None, Neighbor::Leaving(Some(now))) => {
                    party.check(&other.service, &recorded, sharing)?;
                    party.check(&other.service, &now, sharing)?;
                }
            }
        }
        Ok(())
    }

    /// What the address offers to those who would share it; nothing, if a person says who has it.
    pub(super) fn offer(&self) -> Option<Offer> {
        if self.reservation().is_some() {
            return None;
        }
        let (first, terms) = self.holders.first_key_value()?;
        terms.key.as_ref()?;
        let agreed = self.holders.iter().map(|(key, terms)| (key, terms.as_ref()));
        let recorded: Vec<(&ServiceKey, Terms)> = self
            .recorded_others(first)
            .map(|holder| (&holder.service, Terms::of_holder(holder)))
            .collect();
        let recorded = recorded.iter().map(|(key, terms)| (*key, terms));
        let all = agreed.chain(recorded);
        Offer::of(all.map(|(key, terms)| (&*key.namespace, terms)))
    }

    /// What the claim says about a Service.
    pub(super) fn record_of(&self, key: &ServiceKey) -> Option<&Holder> {
        let claim = self.live.as_ref()?;
        claim.spec.holders.iter().find(|holder| holder.service == *key)
    }

    /// What the claim says about those, other than a Service, who are no holders by the ledger.
    fn recorded_others(&self, but: &ServiceKey) -> impl Iterator<Item = &Holder> {
        let named = self.live.iter().flat_map(|claim| &claim.spec.holders);
        named.filter(move |holder| holder.service != *but && !self.holders.contains_key(&holder.service))
    }
}
