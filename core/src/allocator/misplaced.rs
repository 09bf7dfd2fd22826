//! Reservations that reserve nothing, because no pool lends the address.
//!
//! The Service that such a reservation is for is told by its condition; the person who made it is
//! told by an Event on the claim. A claim has no condition of the controller's that would remember
//! the Event: what was so when the controller began to lead is no news.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::decide::name_pools;
use crate::allocator::event::{Notice, Regarding};
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::pool::PoolName;
use crate::reason::{Refusal, Refused};

/// Why a reservation reserves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// No pool lends the address.
    NoPool,
    /// It names another pool than the one that lends the address.
    OtherPool {
        /// That other pool.
        named: PoolName,
        /// The pool that lends the address.
        pool: PoolName,
    },
}

/// The pool that lends a reserved address.
pub(super) fn placed(ledger: &Ledger, address: IpAddr) -> Result<PoolName, Misplaced> {
    let pool = ledger.layout().pool_of(address).ok_or(Misplaced::NoPool)?;
    let slot = ledger.slot(address).filter(|slot| slot.is_idle_reservation());
    let named = slot.and_then(|slot| slot.live.as_ref()?.spec.pool.as_ref());
    match named.filter(|named| *named != pool) {
        Some(named) => Err(Misplaced::OtherPool {
            named: named.clone(),
            pool: pool.clone(),
        }),
        None => Ok(pool.clone()),
    }
}

// === impl Misplaced ===

impl Misplaced {
    /// What is told to the Service that the address is reserved for.
    pub(super) fn refusal(&self, address: IpAddr, pools: &Pools) -> Refusal {
        Refusal::new(
            Refused::ReservationOutsidePool,
            format!(
                "{address} is reserved for the Service, but {}",
                self.describe(address, pools)
            ),
        )
    }

    /// What is wrong, and what to do.
    pub(super) fn describe(&self, address: IpAddr, pools: &Pools) -> String {
        match self {
            Self::NoPool if pools.is_empty() => "there is no AddressPool: create one".to_owned(),
            Self::NoPool => format!(
                "no pool lends it (tried {}): add it to a pool, or delete the AddressClaim",
                name_pools(pools.names())
            ),
            Self::OtherPool { named, pool } => format!(
                "spec.pool of its AddressClaim says {named}, and pool {pool} lends {address}: correct or remove \
                 spec.pool"
            ),
        }
    }
}

// === impl Allocator ===

impl Allocator {
    /// Tells people of a reservation that reserves nothing, once; or, at the start, nobody.
    pub(super) fn check_reservation(&mut self, address: IpAddr, is_start: bool) {
        let Some(slot) = self.ledger.slot(address) else {
            return;
        };
        let misplaced = match slot.is_idle_reservation() {
            true => placed(&self.ledger, address).err(),
            false => None,
        };
        if slot.progress.is_told_misplaced == misplaced.is_some() {
            return;
        }
        self.ledger.note(address, |progress| {
            progress.is_told_misplaced = misplaced.is_some();
        });
        let Some(misplaced) = misplaced.filter(|_| !is_start) else {
            return;
        };
        self.notices.push_back(Notice {
            regarding: Regarding::Claim { address },
            is_warning: true,
            reason: Refused::ReservationOutsidePool.as_str().to_owned(),
            message: format!(
                "The AddressClaim reserves nothing: {}",
                misplaced.describe(address, &self.pools)
            ),
        });
    }
}
