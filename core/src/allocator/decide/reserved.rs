//! What people reserve for a Service, which beats everything that the Service asks for.
//!
//! A reservation becomes part of the wish: that address for its family, and the pool that it lies
//! in. What contradicts it in the Service is overridden, and the condition says so.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::candidate::{Candidate, Tie};
use super::{Decider, Decision, Denied, Granted, why};
use crate::address::Family;
use crate::allocator::ledger::Ledger;
use crate::allocator::misplaced::placed;
use crate::allocator::slot::Slot;
use crate::allocator::waiting::Need;
use crate::allocator::wish::Wish;
use crate::pool::PoolName;
use crate::reason::{Refusal, Refused};
use crate::service::ServiceKey;

// === impl Decider ===

impl Decider<'_> {
    /// What a Service is granted after what is reserved for it was made part of its wish.
    pub(super) fn grant_with_reservations(
        &mut self,
        wish: Wish,
        key: &ServiceKey,
    ) -> Result<Decision, Denied> {
        let is_wanted = |address: &IpAddr| wish.need.families().contains(&Family::of(*address));
        let reserved: BTreeSet<IpAddr> = self.ledger.reserved_for(key).filter(is_wanted).collect();
        let (wish, overridden) = if reserved.is_empty() {
            (wish, None)
        } else {
            self.heed(&wish, reserved)?
        };
        let (addresses, needs) = self.grant(&wish)?;
        Ok(Decision {
            addresses,
            refusal: overridden,
            needs,
            terms: Arc::clone(&self.terms),
        })
    }

    /// Makes reserved addresses part of a wish, and says what of the wish they override.
    fn heed(&self, wish: &Wish, reserved: BTreeSet<IpAddr>) -> Result<(Wish, Option<Refusal>), Denied> {
        check_one_per_family(&reserved)?;
        let exactly = wish.exactly.clone();
        let exactly = exactly.filter(|asked| reserved.iter().all(|address| asked.contains(address)));
        let mut heeding = Wish {
            need: wish.need,
            exactly: None,
            pool: None,
            reserved,
        };
        let reserved = &heeding.reserved;
        let had = self.held(|candidate| heeding.allows(candidate.address, &candidate.pool));
        // Who shows all that it wants is left with it, also when its pool was split since. Who does
        // not show it yet may be on its way to the pool of the reserved address.
        let shown = self.held(|candidate| {
            candidate.tie == Tie::HeldAndShown && heeding.allows(candidate.address, &candidate.pool)
        });
        let has_all = shown.len() == wish.need.families().len()
            && reserved.iter().all(|address| shown.contains_key(address));
        let pool = if has_all {
            None
        } else {
            Some(self.common_pool(wish, reserved, &had)?)
        };
        let missing: Vec<IpAddr> = reserved
            .iter()
            .copied()
            .filter(|address| !self.is_candidate(*address))
            .collect();
        if let Some(first) = missing.first() {
            let needs = missing.iter().copied().map(Need::Address).collect();
            return Err((self.why_not_at_hand(*first), needs));
        }
        let overridden = if exactly == wish.exactly {
            let mut pools = pool.iter().chain(shown.values().filter(|_| has_all));
            wish.pool.as_ref().and_then(|asked| {
                let other = pools.find(|pool| *pool != asked)?;
                Some(overrides_pool(asked, other, reserved))
            })
        } else {
            Some(overrides(wish.exactly.as_deref().unwrap_or_default(), reserved))
        };
        heeding.exactly = exactly;
        heeding.pool = pool;
        Ok((heeding, overridden))
    }

    /// The pool that all reserved addresses lie in.
    fn common_pool(
        &self,
        wish: &Wish,
        reserved: &BTreeSet<IpAddr>,
        had: &Granted,
    ) -> Result<PoolName, Denied> {
        let mut pools = BTreeSet::new();
        for address in reserved {
            let pool = match self.had(*address) {
                Some(candidate) => candidate.pool.clone(),
                None => placed(self.ledger, *address)
                    .map_err(|misplaced| (misplaced.refusal(*address, self.pools), Vec::new()))?,
            };
            pools.insert(pool);
        }
        let families = had.keys().copied().map(Family::of).collect();
        match (pools.pop_first(), pools.pop_first()) {
            (Some(pool), None) if self.pools.contains(&pool) || wish.need.is_met_by(&families) => Ok(pool),
            // It was deleted a moment ago, and cannot give the other address.
            (Some(pool), None) => Err((why::pool_not_found(&pool, self.pools), Vec::new())),
            (_, _) => Err((in_two_pools(reserved), Vec::new())),
        }
    }

    /// A reserved address, if the Service has it already.
    fn had(&self, address: IpAddr) -> Option<&Candidate> {
        let mut candidates = self.candidates.iter();
        candidates.find(|candidate| candidate.address == address && candidate.tie.is_had())
    }

    /// Why a Service does not get an address that is reserved for it and lies in a pool.
    fn why_not_at_hand(&self, address: IpAddr) -> Refusal {
        let in_use = |how: &str| {
            Refusal::new(
                Refused::AddressInUse,
                format!("{address} is reserved for the Service, but {how}"),
            )
        };
        let pool = self.ledger.layout().pool_of(address);
        let unadmitted = pool.and_then(|pool| Some((pool, self.unadmitted(pool)?)));
        if let Some((pool, unadmitted)) = unadmitted {
            let what = format!("{address} of pool {pool} is reserved for the Service");
            return why::not_admitted(&what, pool, unadmitted, self.applicant);
        }
        let in_the_way = |slot: &&Slot| {
            let may_join = |pool| !slot.holders.is_empty() && self.may_join(pool, slot).is_ok();
            !slot.is_idle_reservation() && !pool.is_some_and(may_join)
        };
        if let Some(slot) = self.ledger.slot(address).filter(in_the_way) {
            return in_use(&why::describe_use(slot));
        }
        let share = pool.and_then(|pool| Some((pool, self.ledger.layout().share(pool)?)));
        if let Some((pool, share)) = share.filter(|(_, share)| share.is_frozen()) {
            return why::frozen(pool, share);
        }
        match self.ledger.shown().by(address).next() {
            Some(other) => in_use(&format!("is shown by {other}")),
            None => in_use("is not free"),
        }
    }
}

/// Whether an address that nobody has can be given to a Service that it is reserved for.
pub(super) fn is_at_hand(ledger: &Ledger, address: IpAddr, slot: &Slot, key: &ServiceKey) -> bool {
    let is_reserved = slot.reservation().is_some_and(|spec| spec.is_reserved_for(key));
    let is_shown = ledger.shown().by(address).any(|other| other != key);
    is_reserved && !is_shown && placed(ledger, address).is_ok()
}

fn check_one_per_family(reserved: &BTreeSet<IpAddr>) -> Result<(), Denied> {
    for family in Family::ALL {
        let of_family = reserved.iter().filter(|address| Family::of(**address) == family);
        let of_family: Vec<String> = of_family.map(ToString::to_string).collect();
        if of_family.len() > 1 {
            let refusal = Refusal::new(
                Refused::SeveralReservations,
                format!(
                    "{} are reserved for the Service, and it can have one {} address: take it out of reservedFor \
                     of all but one AddressClaim",
                    of_family.join(" and "),
                    family.as_str()
                ),
            );
            return Err((refusal, Vec::new()));
        }
    }
    Ok(())
}

fn in_two_pools(reserved: &BTreeSet<IpAddr>) -> Refusal {
    Refusal::new(
        Refused::AddressesInTwoPools,
        format!(
            "{} are reserved for the Service, and lie in two pools: reserve two addresses of one pool",
            join(reserved)
        ),
    )
}

fn overrides(asked: &[IpAddr], reserved: &BTreeSet<IpAddr>) -> Refusal {
    override_with(&join(asked), reserved)
}

fn overrides_pool(asked: &PoolName, pool: &PoolName, reserved: &BTreeSet<IpAddr>) -> Refusal {
    let Refusal { reason, message } = override_with(&format!("pool {asked}"), reserved);
    Refusal::new(reason, format!("{message} (of pool {pool})"))
}

fn override_with(asked: &str, reserved: &BTreeSet<IpAddr>) -> Refusal {
    Refusal::new(
        Refused::RequestOverridden,
        format!(
            "The Service asks for {asked}, but has what is reserved for it: {}",
            join(reserved)
        ),
    )
}

fn join<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let texts: Vec<String> = addresses.into_iter().map(ToString::to_string).collect();
    texts.join(" and ")
}
