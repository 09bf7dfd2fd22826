//! Which addresses a Service should have: the rules, in their order.
//!
//! 1. What it has, while that satisfies its wishes and a pool still covers it.
//! 2. The addresses asked for.
//! 3. The pool asked for.
//! 4. The pools that lend without being asked, by name.
//!
//! Within a pool: what rests for this Service, else the lowest free address as listed.
//!
//! A wish that cannot be granted leaves the Service what it has and says why. Deciding changes
//! nothing and is a function of what is, so deciding twice is the same as once.

mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::address::Family;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::allocator::waiting::{FamilyNeed, Need};
use crate::allocator::wish::{Wish, cluster_families};
use crate::pool::PoolName;
use crate::reason::Refusal;
use crate::request::{Eligibility, Service};

/// Which addresses a Service should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// The addresses and the pools that they count to, IPv4 first.
    pub(super) addresses: BTreeMap<IpAddr, PoolName>,
    /// Why it does not have what it wants.
    pub(super) refusal: Option<Refusal>,
    /// What would help.
    pub(super) needs: Vec<Need>,
}

/// One address that a Service has something to do with already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    tie: Tie,
    address: IpAddr,
    pool: PoolName,
}

/// How a Service is tied to an address, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
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
}

/// One decision in the making.
struct Decider<'a> {
    ledger: &'a mut Ledger,
    pools: &'a Pools,
    candidates: Vec<Candidate>,
}

/// Decides about one Service.
pub(super) fn decide(ledger: &mut Ledger, pools: &Pools, service: &Service) -> Decision {
    match service.request.eligibility {
        Eligibility::Eligible => {}
        Eligibility::ForeignClass | Eligibility::NotLoadBalancer | Eligibility::Deleting => {
            return Decision::default();
        }
    }
    let wish = match Wish::read(&service.request) {
        Ok(Some(wish)) => Ok(wish),
        Ok(None) => return Decision::default(),
        Err(refusal) => Err((refusal, Vec::new())),
    };
    let candidates = find_candidates(ledger, pools, service);
    let mut decider = Decider {
        ledger,
        pools,
        candidates,
    };
    match wish.and_then(|wish| decider.grant(&wish)) {
        Ok((addresses, needs)) => Decision {
            addresses,
            refusal: None,
            needs,
        },
        Err((refusal, needs)) => Decision {
            addresses: decider.held(|candidate| {
                cluster_families(&service.request).contains(&Family::of(candidate.address))
            }),
            refusal: Some(refusal),
            needs,
        },
    }
}

type Granted = BTreeMap<IpAddr, PoolName>;
type Denied = (Refusal, Vec<Need>);

// === impl Decider ===

impl Decider<'_> {
    /// What a wish is granted, and what would make it more.
    fn grant(&mut self, wish: &Wish) -> Result<(Granted, Vec<Need>), Denied> {
        let held = self.held(|candidate| wish.allows(candidate.address, &candidate.pool));
        if let Some(exactly) = &wish.exactly {
            if exactly.iter().all(|address| held.contains_key(address)) {
                return Ok((held, Vec::new()));
            }
            return Ok((self.grant_exactly(exactly, wish)?, Vec::new()));
        }
        let families: BTreeSet<Family> = held.keys().copied().map(Family::of).collect();
        if wish.need.is_met_by(&families) {
            return Ok(self.complete(held, wish));
        }
        let order = self.eligible_pools(wish)?;
        let granted = self.take_from(&order, wish);
        granted
            .map(|granted| self.complete(granted, wish))
            .ok_or_else(|| {
                let needs = order
                    .iter()
                    .map(|pool| Need::Pool(pool.clone(), self.need_of(pool, wish)));
                (why::exhausted(self.ledger, wish.need, &order), needs.collect())
            })
    }

    /// What a Service needs of a pool: who has the one address of it already waits for the other.
    fn need_of(&self, pool: &PoolName, wish: &Wish) -> FamilyNeed {
        let mut missing = wish
            .need
            .families()
            .iter()
            .filter(|family| self.tied(pool, **family, wish).is_none());
        match (wish.need, missing.next(), missing.next()) {
            (FamilyNeed::Both, Some(family), None) => FamilyNeed::One(*family),
            (need, ..) => need,
        }
    }

    /// The best address of a pool and family that the Service has something to do with.
    fn tied(&self, pool: &PoolName, family: Family, wish: &Wish) -> Option<IpAddr> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.pool == *pool && Family::of(candidate.address) == family)
            .filter(|candidate| wish.allows(candidate.address, pool))
            .min()
            .map(|candidate| candidate.address)
    }

    /// Adds the second address for who would like to have both, from the pool of the first; who
    /// cannot have it yet goes on without.
    fn complete(&mut self, mut granted: Granted, wish: &Wish) -> (Granted, Vec<Need>) {
        let has = |family| {
            granted
                .keys()
                .copied()
                .any(|address| Family::of(address) == family)
        };
        let missing = wish.need.families().iter().find(|family| !has(**family));
        let (Some(missing), Some(pool)) = (missing.copied(), granted.values().next().cloned()) else {
            return (granted, Vec::new());
        };
        match self.pick(&pool, &[missing], wish) {
            Some(second) => {
                granted.extend(second);
                (granted, Vec::new())
            }
            None => (granted, vec![Need::Pool(pool, FamilyNeed::One(missing))]),
        }
    }

    /// The best address of each family that the Service has and that passes a test.
    fn held(&self, test: impl Fn(&Candidate) -> bool) -> Granted {
        Family::ALL
            .into_iter()
            .filter_map(|family| {
                self.candidates
                    .iter()
                    .filter(|candidate| candidate.tie != Tie::Resting)
                    .filter(|candidate| Family::of(candidate.address) == family && test(candidate))
                    .min()
            })
            .map(|candidate| (candidate.address, candidate.pool.clone()))
            .collect()
    }

    fn grant_exactly(&self, exactly: &[IpAddr], wish: &Wish) -> Result<Granted, Denied> {
        let mut granted = Granted::new();
        for address in exactly {
            let pool = self.ledger.layout().pool_of(*address);
            let pool = pool.ok_or_else(|| (why::not_in_pool(*address, self.pools), Vec::new()))?;
            if let Some(asked) = wish.pool.as_ref().filter(|asked| *asked != pool) {
                return Err((why::in_other_pool(*address, pool, asked), Vec::new()));
            }
            granted.insert(*address, pool.clone());
        }
        let pools: BTreeSet<&PoolName> = granted.values().collect();
        if pools.len() > 1 {
            return Err((why::in_two_pools(&granted), Vec::new()));
        }
        // All of them, since the reason is about the first that cannot be had.
        let needs = || granted.keys().copied().map(Need::Address).collect();
        for (address, pool) in &granted {
            if self.is_candidate(*address) {
                continue;
            }
            if let Some(slot) = self.ledger.slot(*address) {
                return Err((why::in_use(*address, slot), needs()));
            }
            let shown = self.ledger.shown();
            if let Some(other) = shown.by_foreign(*address).or(shown.by(*address).next()) {
                return Err((why::shown(*address, other), needs()));
            }
            let share = self.ledger.layout().share(pool);
            if let Some(share) = share.filter(|share| share.is_frozen()) {
                return Err((why::frozen(pool, share), needs()));
            }
        }
        Ok(granted)
    }

    /// The pools that may serve a wish, in the order in which they are tried. Priorities and
    /// pinning would order them here.
    fn eligible_pools(&self, wish: &Wish) -> Result<Vec<PoolName>, Denied> {
        let names: Vec<PoolName> = match &wish.pool {
            Some(asked) if self.pools.contains(asked) => vec![asked.clone()],
            Some(asked) => return Err((why::pool_not_found(asked, self.pools), Vec::new())),
            None => self.pools.automatic().cloned().collect(),
        };
        if names.is_empty() {
            return Err((why::no_automatic_pool(self.pools), Vec::new()));
        }
        Ok(names)
    }

    fn take_from(&mut self, order: &[PoolName], wish: &Wish) -> Option<Granted> {
        let rested = |pool: &&PoolName| {
            let rests = |candidate: &&Candidate| candidate.tie == Tie::Resting && candidate.pool == **pool;
            self.candidates.iter().find(rests).is_some()
        };
        let (first, rest): (Vec<&PoolName>, Vec<&PoolName>) = order.iter().partition(rested);
        let order: Vec<PoolName> = first.iter().chain(&rest).map(|pool| (*pool).clone()).collect();
        let returning = first.len();
        let mut from = |pools: &[PoolName], families: &[Family]| {
            pools.iter().find_map(|pool| self.pick(pool, families, wish))
        };
        match wish.need {
            FamilyNeed::One(_) | FamilyNeed::Both => from(&order, wish.need.families()),
            FamilyNeed::Prefer(primary) => {
                let other = match primary {
                    Family::V4 => Family::V6,
                    Family::V6 => Family::V4,
                };
                let returning = order.get(..returning).unwrap_or_default();
                from(returning, &Family::ALL)
                    .or_else(|| from(returning, &[primary]))
                    .or_else(|| from(&order, &Family::ALL))
                    .or_else(|| from(&order, &[primary]))
                    .or_else(|| from(&order, &[other]))
            }
        }
    }

    /// One address of each family from one pool; nothing unless all are there.
    fn pick(&mut self, pool: &PoolName, families: &[Family], wish: &Wish) -> Option<Granted> {
        let mut granted = Granted::new();
        for family in families {
            let tied = self.tied(pool, *family, wish);
            let address = match tied {
                Some(address) => address,
                None => self.ledger.first_free(pool, *family)?,
            };
            granted.insert(address, pool.clone());
        }
        Some(granted)
    }

    fn is_candidate(&self, address: IpAddr) -> bool {
        self.candidates
            .iter()
            .any(|candidate| candidate.address == address)
    }
}

/// Every address that a Service has to do with and that a pool lets it hold.
fn find_candidates(ledger: &Ledger, pools: &Pools, service: &Service) -> Vec<Candidate> {
    let shown: BTreeSet<IpAddr> = service
        .status
        .ingress
        .iter()
        .filter_map(|entry| entry.address)
        .collect();
    let mut known: BTreeSet<IpAddr> = ledger.addresses_of(&service.key).into_iter().collect();
    known.extend(&shown);
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
            let lends = |share: &crate::pool::layout::Share| share.lends(address);
            if tie == Tie::Resting && !ledger.layout().share(pool).is_some_and(lends) {
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
