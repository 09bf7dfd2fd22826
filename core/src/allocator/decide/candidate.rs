//! The addresses that a Service has something to do with already, and may go on having.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::reserved::is_at_hand;
use crate::allocator::few::FewSet;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::allocator::slot::Slot;
use crate::allocator::tenancy::{Neighbors, Party};
use crate::pool::allocation::Applicant;
use crate::pool::{PoolName, Sharing};
use crate::request::Service;
use crate::sharing::Terms;

/// One address that a Service has something to do with already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) tie: Tie,
    pub(super) address: IpAddr,
    pub(super) pool: PoolName,
}

/// How a Service is tied to an address, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tie {
    /// The claim names it, and it shows the address.
    HeldAndShown,
    /// The claim names it.
    Held,
    /// It was decided, and the claim does not say so yet.
    Granted,
    /// It shows the address, and nobody has it but for whoever shows it too.
    Shown,
    /// The address rests, and it held it last.
    Resting,
    /// A person reserves it for the Service, and nobody has it, or others do who share it.
    Reserved,
}

// === impl Tie ===

impl Tie {
    /// Whether the Service has the address, and would not just get it.
    pub(super) const fn is_had(self) -> bool {
        match self {
            Self::HeldAndShown | Self::Held | Self::Granted | Self::Shown => true,
            Self::Resting | Self::Reserved => false,
        }
    }
}

/// What it takes to find them.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) pools: &'a Pools,
    pub(super) neighbors: Neighbors<'a>,
    pub(super) service: &'a Service,
    pub(super) terms: &'a Terms,
    pub(super) applicant: Applicant<'a>,
}

// === impl Finder ===

impl Finder<'_> {
    /// Every address that a Service has to do with and that a pool lets it hold.
    pub(super) fn find(self) -> Vec<Candidate> {
        let shown: FewSet<IpAddr> = self
            .service
            .status
            .ingress
            .iter()
            .filter_map(|entry| entry.address)
            .collect();
        let mut known: FewSet<IpAddr> = self.ledger.addresses_of(&self.service.key).collect();
        known.extend(shown.iter().copied());
        known.extend(self.ledger.reserved_for(&self.service.key));
        let mut candidates: Vec<Candidate> = known
            .into_iter()
            .filter_map(|address| self.candidate(address, shown.contains(&address)))
            .collect();
        self.drop_unaffordable(&mut candidates);
        candidates
    }

    /// A status may be written by many: what only a status says takes from the namespace's quota as
    /// what is lent anew does.
    fn drop_unaffordable(self, candidates: &mut Vec<Candidate>) {
        candidates.sort_unstable();
        let key = &self.service.key;
        let mut taken: BTreeMap<PoolName, u32> = BTreeMap::new();
        candidates.retain(|candidate| {
            let slot = self.ledger.slot(candidate.address);
            if !candidate.tie.is_had() || slot.is_some_and(|slot| slot.is_kept_beside(key)) {
                return true;
            }
            let own = taken.entry(candidate.pool.clone()).or_default();
            let quota = self.ledger.quota(&candidate.pool, key);
            let has_room = quota.is_none_or(|(others, most)| others + *own < most);
            let stays = candidate.tie != Tie::Shown || has_room;
            *own += u32::from(stays);
            stays
        });
    }

    fn candidate(self, address: IpAddr, is_shown: bool) -> Option<Candidate> {
        let (ledger, pools) = (self.ledger, self.pools);
        let (tie, pool) = match ledger.slot(address) {
            // Somebody else serves it, whom we cannot ask to give it up.
            None if ledger.shown().by_foreign(address).is_some() => return None,
            None => (Tie::Shown, ledger.layout().pool_of(address)?),
            Some(slot) => {
                let tie = self.tie(address, slot, is_shown)?;
                (tie, pools.holding_pool(ledger, address, slot)?)
            }
        };
        let share = ledger.layout().share(pool);
        let is_allowed = match tie {
            Tie::Resting | Tie::Reserved => {
                pools.admits(pool, self.applicant) && share.is_some_and(|share| share.lends(address))
            }
            Tie::HeldAndShown | Tie::Held | Tie::Granted | Tie::Shown => {
                pools.lets_keep(pool, self.applicant)
            }
        };
        is_allowed.then(|| Candidate {
            tie,
            address,
            pool: pool.clone(),
        })
    }

    /// How the Service is tied to an address in use, if those who have it let it be among them.
    fn tie(self, address: IpAddr, slot: &Slot, is_shown: bool) -> Option<Tie> {
        let key = &self.service.key;
        // Whom another load balancer let share goes on, if all show the address already. Where there
        // is a claim, a status proves nothing: its owner can write whatever it likes.
        let mut sharing = Sharing::CrossNamespace;
        let tie = if slot.names(key) && is_shown {
            Tie::HeldAndShown
        } else if slot.names(key) {
            Tie::Held
        } else if slot.holders.contains_key(key) {
            Tie::Granted
        } else if slot.is_idle_reservation() {
            if !is_at_hand(self.ledger, address, slot, key) {
                return None;
            }
            Tie::Reserved
        } else if is_shown && (slot.rests_for(key) || self.is_adopted(address, slot)) {
            Tie::Shown
        } else if slot.rests_for(key) {
            Tie::Resting
        } else if !slot.holders.is_empty() && slot.reservation().is_some_and(|spec| spec.is_reserved_for(key))
        {
            // Others have it for whom it is reserved too.
            let pool = self.ledger.pool_of(address)?;
            sharing = self.ledger.layout().share(pool)?.sharing;
            Tie::Reserved
        } else {
            return None;
        };
        let party = Party {
            key,
            terms: self.terms,
            sharing,
        };
        slot.admits(party, self.neighbors).is_ok().then_some(tie)
    }

    /// Whether nobody had the address from us yet, and all who are to hold it show it.
    fn is_adopted(self, address: IpAddr, slot: &Slot) -> bool {
        let shown = self.ledger.shown();
        slot.live.is_none()
            && slot.confirmed.is_empty()
            && !slot.holders.is_empty()
            && slot
                .holders
                .keys()
                .all(|holder| shown.by(address).any(|by| by == holder))
    }
}
