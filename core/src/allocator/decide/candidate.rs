//! The addresses that a Service has something to do with already, and may go on having.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::reserved::is_at_hand;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::pool::PoolName;
use crate::pool::allocation::Applicant;
use crate::pool::layout::Share;
use crate::request::Service;

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
    /// It shows the address, and nobody has it.
    Shown,
    /// The address rests, and it held it last.
    Resting,
    /// A person reserves it for the Service, and nobody has it.
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

/// Every address that a Service has to do with and that a pool lets it hold.
pub(super) fn find_candidates(
    ledger: &Ledger,
    pools: &Pools,
    service: &Service,
    applicant: Applicant<'_>,
) -> Vec<Candidate> {
    let shown: BTreeSet<IpAddr> = service
        .status
        .ingress
        .iter()
        .filter_map(|entry| entry.address)
        .collect();
    let mut known: BTreeSet<IpAddr> = ledger.addresses_of(&service.key).into_iter().collect();
    known.extend(&shown);
    known.extend(ledger.reserved_for(&service.key));
    known
        .into_iter()
        .filter_map(|address| {
            let is_shown = shown.contains(&address);
            let (tie, pool) = match ledger.slot(address) {
                // Somebody else serves it, whom we cannot ask to give it up.
                None if ledger.shown().by_foreign(address).is_some() => return None,
                None => (Tie::Shown, ledger.layout().pool_of(address)?),
                Some(slot) if !slot.admits(&service.key) => return None,
                Some(slot) => {
                    let tie = if slot.names(&service.key) && is_shown {
                        Tie::HeldAndShown
                    } else if slot.names(&service.key) {
                        Tie::Held
                    } else if slot.holders.contains(&service.key) {
                        Tie::Granted
                    } else if slot.is_idle_reservation() {
                        if !is_at_hand(ledger, address, slot, &service.key) {
                            return None;
                        }
                        Tie::Reserved
                    } else if slot.rests_for(&service.key) && is_shown {
                        Tie::Shown
                    } else if slot.rests_for(&service.key) {
                        Tie::Resting
                    } else {
                        return None;
                    };
                    (tie, pools.holding_pool(ledger, address, slot)?)
                }
            };
            let lends = |share: &Share| share.lends(address);
            let is_allowed = match tie {
                Tie::Resting | Tie::Reserved => {
                    pools.admits(pool, applicant) && ledger.layout().share(pool).is_some_and(lends)
                }
                Tie::HeldAndShown | Tie::Held | Tie::Granted | Tie::Shown => pools.lets_keep(pool, applicant),
            };
            if !is_allowed {
                return None;
            }
            Some(Candidate {
                tie,
                address,
                pool: pool.clone(),
            })
        })
        .collect()
}
