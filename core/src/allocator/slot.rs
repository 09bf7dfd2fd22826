//! One address in use: who is to hold it, and its claim as it is stored.

use std::sync::Arc;

use crate::allocator::few::{FewMap, FewSet};
use crate::allocator::progress::Progress;
use crate::claim::{Claim, ClaimSpec, ClaimState};
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::sharing::Terms;

/// What is known about an address that is not free.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// Who is to hold it, and on which terms: the ledger's word. Each two go together. Empty = it
    /// is on its way to be free.
    pub(super) holders: FewMap<ServiceKey, Arc<Terms>>,
    /// The holders whom the claim once named: what differs since then is somebody else's edit.
    pub(super) confirmed: FewSet<ServiceKey>,
    /// The pool that it was lent from, as decided last.
    pub(super) lent_from: Option<PoolName>,
    /// The claim, as the API server last said.
    pub(super) live: Option<Arc<Claim>>,
    /// How far the calls for the claim have come.
    pub(super) progress: Progress,
}

/// Where an address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    /// A Service holds it, or still shows it.
    Assigned,
    /// A person reserves it, and nobody holds it.
    Reserved,
    /// On its way to be free.
    Quarantined,
}

// === impl Slot ===

impl Slot {
    /// Where the address counts.
    pub(super) fn bucket(&self) -> Bucket {
        let is_named = self.live.as_ref().is_some_and(|claim| !claim.is_vacant());
        if !self.holders.is_empty() || is_named {
            Bucket::Assigned
        } else if self.is_idle_reservation() {
            Bucket::Reserved
        } else {
            Bucket::Quarantined
        }
    }

    /// The pool on record: as decided, else as the claim says.
    pub(super) fn recorded_pool(&self) -> Option<&PoolName> {
        let claimed = self.live.as_ref().and_then(|claim| claim.spec.pool.as_ref());
        self.lent_from.as_ref().or(claimed)
    }

    /// Every Service that is to hold the address, or that the claim names: after a restart nobody has
    /// been decided about yet, and still the address is theirs.
    pub(super) fn keepers(&self) -> impl Iterator<Item = &ServiceKey> {
        let claim = self.live.iter().flat_map(|claim| &claim.spec.holders);
        self.holders.keys().chain(claim.map(|holder| &holder.service))
    }

    /// Every Service that has to do with the address.
    pub(super) fn mentions(&self) -> FewSet<ServiceKey> {
        let last = self
            .live
            .as_ref()
            .and_then(|claim| claim.spec.last_holder.as_ref());
        self.keepers().chain(last).cloned().collect()
    }

    /// The claim as far as a person reserves the address by it.
    pub(super) fn reservation(&self) -> Option<&ClaimSpec> {
        let spec = self.live.as_ref().map(|claim| &claim.spec);
        spec.filter(|spec| spec.reserved)
    }

    /// Whether nobody has anything to do with the address but the person who reserves it.
    pub(super) fn is_idle_reservation(&self) -> bool {
        let mut live = self.live.iter();
        self.holders.is_empty() && live.any(|claim| claim.is_idle_reservation())
    }

    /// Whether a person reserves the address for others, or for nobody, and the claim does not
    /// name this Service either: who holds an address keeps it.
    pub(super) fn is_kept_from(&self, key: &ServiceKey) -> bool {
        let is_kept = |spec: &ClaimSpec| spec.is_reserved_from(key);
        !self.names(key) && !self.holders.contains_key(key) && self.reservation().is_some_and(is_kept)
    }

    /// Whether the claim names a Service.
    pub(super) fn names(&self, key: &ServiceKey) -> bool {
        self.live.as_ref().is_some_and(|claim| claim.names(key))
    }

    /// Whether the address rests, and for this Service: it alone may have it back.
    pub(super) fn rests_for(&self, key: &ServiceKey) -> bool {
        self.holders.is_empty()
            && self
                .live
                .as_ref()
                .is_some_and(|claim| claim.is_vacant() && claim.spec.last_holder.as_ref() == Some(key))
    }

    /// Whether another Service of this one's namespace keeps it.
    pub(super) fn is_kept_beside(&self, key: &ServiceKey) -> bool {
        self.keepers()
            .any(|keeper| keeper != key && keeper.namespace == key.namespace)
    }

    /// Makes a Service a holder on these terms, by the ledger.
    pub(super) fn add_holder(&mut self, key: &ServiceKey, pool: &PoolName, terms: Arc<Terms>) {
        self.holders.insert(key.clone(), terms);
        self.lent_from = Some(pool.clone());
        self.confirm();
    }

    /// Takes a Service from the holders, by the ledger.
    pub(super) fn drop_holder(&mut self, key: &ServiceKey) {
        self.holders.remove(key);
        self.confirmed.remove(key);
        if self.holders.is_empty() {
            self.lent_from = None;
        }
    }

    /// Notes which holders the claim names.
    pub(super) fn confirm(&mut self) {
        let named = self.holders.keys().filter(|key| self.names(key));
        let named: Vec<ServiceKey> = named.cloned().collect();
        self.confirmed.extend(named);
    }

    /// The holders to whom another version of the claim is no news: it names them, as the one before
    /// did, and says the same but for who else holds the address. Those have agreed with them.
    pub(super) fn settled_in(&self, claim: &Claim) -> FewSet<ServiceKey> {
        let after = &claim.spec;
        let is_like = |live: &&Claim| {
            let before = &live.spec;
            before.reserved == after.reserved
                && before.reserved_for == after.reserved_for
                && before.pool == after.pool
                && before.state == after.state
        };
        let before = self.live.as_deref().filter(is_like);
        let named: FewSet<&ServiceKey> = before
            .into_iter()
            .flat_map(|live| &live.spec.holders)
            .map(|holder| &holder.service)
            .collect();
        let holders = after.holders.iter().map(|holder| &holder.service);
        holders
            .filter(|key| named.contains(key) && self.holders.contains_key(*key))
            .cloned()
            .collect()
    }

    /// Whether the last holder is on its way out: nobody is named, and the rest has not begun.
    pub(super) fn is_releasing(&self) -> bool {
        self.live.as_ref().is_some_and(|claim| {
            claim.is_vacant()
                && !claim.is_idle_reservation()
                && claim.spec.state != Some(ClaimState::Quarantined)
        })
    }

    /// Whether nobody is to hold the address, and this Service is the last one that the claim will
    /// name.
    pub(super) fn is_left_to(&self, key: &ServiceKey) -> bool {
        let first = self.live.as_ref().and_then(|claim| claim.spec.holders.first());
        self.holders.is_empty() && first.is_some_and(|first| first.service == *key)
    }

    /// Whether the last holder, on its way out, is this Service.
    pub(super) fn is_releasing_from(&self, key: &ServiceKey) -> bool {
        let mut live = self.live.iter();
        self.is_releasing() && live.any(|claim| claim.spec.last_holder.as_ref() == Some(key))
    }

    /// Whether nothing keeps the address from being free.
    pub(super) fn is_free(&self) -> bool {
        let is_at_rest = !self.progress.must_read && self.progress.call.is_none();
        self.holders.is_empty() && self.live.is_none() && is_at_rest
    }
}
