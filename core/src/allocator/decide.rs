//! Which addresses a Service should have: the rules, in their order.
//!
//! 1. What people reserve for it.
//! 2. What it has, while that satisfies its wishes and a pool still covers it.
//! 3. The addresses asked for.
//! 4. The pool asked for.
//! 5. The pools for such Services alone, by priority, then name.
//! 6. The pools for every Service, by priority, then name.
//!
//! Within a pool: what rests for this Service; else, with a sharing key, the first address that is
//! held under that key and that it may join; else the lowest free address as listed.
//!
//! A wish that cannot be granted leaves the Service what it has and says why. Deciding changes
//! nothing and is a function of what is, so deciding twice is the same as once.

mod candidate;
mod reserved;
mod taking;
mod why;

pub(super) use why::name_pools;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Family;
use crate::allocator::few::FewMap;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::allocator::slot::Bucket;
use crate::allocator::tenancy::Neighbors;
use crate::allocator::waiting::{FamilyNeed, Join, Need};
use crate::allocator::wish::{Wish, cluster_families};
use crate::pool::PoolName;
use crate::pool::allocation::Applicant;
use crate::reason::Refusal;
use crate::request::{Eligibility, Service};
use crate::selector::Labels;
use crate::sharing::Terms;
use candidate::{Candidate, Finder};
use taking::Order;

/// Which addresses a Service should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// The addresses and the pools that they count to, IPv4 first.
    pub(super) addresses: FewMap<IpAddr, PoolName>,
    /// Why it does not have what it wants.
    pub(super) refusal: Option<Refusal>,
    /// What would help.
    pub(super) needs: Vec<Need>,
    /// The terms on which it has the addresses.
    pub(super) terms: Arc<Terms>,
}

/// What a decision depends on beside the ledger and the Service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// The pools.
    pub(super) pools: &'a Pools,
    /// The labels of the Service's namespace.
    pub(super) namespace_labels: &'a Labels,
    /// The other Services.
    pub(super) neighbors: Neighbors<'a>,
}

/// One decision in the making.
struct Decider<'a> {
    ledger: &'a mut Ledger,
    pools: &'a Pools,
    neighbors: Neighbors<'a>,
    service: &'a Service,
    terms: Arc<Terms>,
    applicant: Applicant<'a>,
    candidates: Vec<Candidate>,
}

/// Decides about one Service.
pub(super) fn decide(ledger: &mut Ledger, around: Surroundings<'_>, service: &Service) -> Decision {
    let Surroundings {
        pools,
        namespace_labels,
        neighbors,
    } = around;
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
    let applicant = Applicant {
        namespace: &service.key.namespace,
        namespace_labels,
        labels: &service.request.labels,
    };
    let terms = Arc::new(Terms::of_request(&service.request));
    let finder = Finder {
        ledger,
        pools,
        neighbors,
        service,
        terms: &terms,
        applicant,
    };
    let candidates = finder.find();
    let mut decider = Decider {
        ledger,
        pools,
        neighbors,
        service,
        terms: Arc::clone(&terms),
        applicant,
        candidates,
    };
    match wish.and_then(|wish| decider.grant_with_reservations(wish, &service.key)) {
        Ok(decision) => decision,
        Err((refusal, needs)) => Decision {
            addresses: decider.held(|candidate| {
                cluster_families(&service.request).contains(&Family::of(candidate.address))
            }),
            refusal: Some(refusal),
            needs,
            terms,
        },
    }
}

type Granted = FewMap<IpAddr, PoolName>;
type Denied = (Refusal, Vec<Need>);

// === impl Decider ===

impl<'a> Decider<'a> {
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
            return Ok(match self.leave_shrunk_pool(&held, wish) {
                Some(both) => (both, Vec::new()),
                None => self.complete(held, wish),
            });
        }
        let order = self.order(wish)?;
        match self.take_from(&order, wish) {
            Some(granted) => Ok(self.complete(granted, wish)),
            None => Err((self.exhausted(&order, wish), self.needs(&order, wish))),
        }
    }

    /// What would help when every pool has been tried.
    fn needs(&self, order: &Order, wish: &Wish) -> Vec<Need> {
        let of_pool = |pool: &PoolName| Need::Pool(pool.clone(), self.need_of(pool, wish));
        let mut needs: Vec<Need> = order.first.iter().map(of_pool).collect();
        if order.then_open {
            needs.push(Need::Open(wish.need));
            // Those in which it has one address already, and those that may lend to others and not
            // to it.
            let tied = self.tied_open(order).into_iter().map(|rank| &rank.pool);
            needs.extend(tied.chain(self.pools.open_with_quota()).map(of_pool));
        }
        needs.extend(self.join(order, wish.need));
        needs
    }

    /// What would help a Service that is willing to share.
    fn join(&self, order: &Order, need: FamilyNeed) -> Option<Need> {
        self.terms.key.as_ref()?;
        Some(Need::Join(Box::new(Join {
            terms: Arc::clone(&self.terms),
            namespace: self.service.key.namespace.clone(),
            need,
            pools: order.first.clone(),
            then_open: order.then_open,
        })))
    }

    fn exhausted(&self, order: &Order, wish: &Wish) -> Refusal {
        let open = self.pools.open().filter(|_| order.then_open);
        let mut tried: Vec<&PoolName> = order.first.iter().chain(open).collect();
        if tried.len() > why::NAMED {
            // That a pool is full is no news: one that has a quota may have something else to say.
            let limited: BTreeSet<&PoolName> = self.pools.open_with_quota().collect();
            tried.sort_by_key(|pool| !limited.contains(pool));
        }
        let mut refusal = why::exhausted(self.ledger, wish.need, &tried, &self.service.key);
        if let Some(key) = &self.terms.key {
            why::add_none_to_share(&mut refusal, key);
        }
        refusal
    }

    /// What a Service needs of a pool: who has the one address of it already waits for the other.
    fn need_of(&self, pool: &PoolName, wish: &Wish) -> FamilyNeed {
        let mut missing = wish.need.families().iter().filter(|family| {
            self.tied(pool, **family, wish).is_none() && self.shared(pool, **family, wish).is_none()
        });
        match (wish.need, missing.next(), missing.next()) {
            (FamilyNeed::Both, Some(family), None) => FamilyNeed::One(*family),
            (need, ..) => need,
        }
    }

    /// Adds the second address for who would like to have both, from the pool of the first; who
    /// cannot have it yet goes on without.
    fn complete(&mut self, granted: Granted, wish: &Wish) -> (Granted, Vec<Need>) {
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
        match self.extend(granted.clone(), &pool, &[missing], wish) {
            Some(both) => (both, Vec::new()),
            None => {
                let missing = FamilyNeed::One(missing);
                let order = Order {
                    first: vec![pool.clone()],
                    then_open: false,
                };
                let join = self.join(&order, missing);
                let needs = [Need::Pool(pool, missing)].into_iter().chain(join);
                (granted, needs.collect())
            }
        }
    }

    /// The best address of each family that the Service has and that passes a test.
    ///
    /// They may be of two pools, since a pool may have been split; unless a pool has both, as when
    /// it moves from one to another.
    fn held(&self, test: impl Fn(&Candidate) -> bool) -> Granted {
        let best = |pool: Option<&PoolName>| -> Granted {
            let of_family = |family| {
                let candidates = self.candidates.iter().filter(|candidate| {
                    candidate.tie.is_had()
                        && Family::of(candidate.address) == family
                        && pool.is_none_or(|pool| candidate.pool == *pool)
                });
                candidates.filter(|candidate| test(candidate)).min()
            };
            let found = Family::ALL.into_iter().filter_map(of_family);
            found
                .map(|candidate| (candidate.address, candidate.pool.clone()))
                .collect()
        };
        let held = best(None);
        if held.len() < 2 {
            return held;
        }
        let pools: BTreeSet<&PoolName> = held.values().collect();
        if pools.len() < 2 {
            return held;
        }
        let mut of_one_pool = pools.iter().map(|pool| best(Some(pool)));
        of_one_pool
            .find(|of_pool| of_pool.len() == held.len())
            .unwrap_or(held)
    }

    fn grant_exactly(&self, exactly: &[IpAddr], wish: &Wish) -> Result<Granted, Denied> {
        let mut granted = Granted::default();
        for address in exactly {
            let pool = self.ledger.layout().pool_of(*address);
            let pool = pool.ok_or_else(|| (why::not_in_pool(*address, self.pools), Vec::new()))?;
            if let Some(asked) = wish.pool.as_ref().filter(|asked| *asked != pool) {
                return Err((why::in_other_pool(*address, pool, asked), Vec::new()));
            }
            if let Some(unadmitted) = self.unadmitted(pool) {
                let what = format!("The Service asks for {address} of pool {pool}");
                return Err((
                    why::not_admitted(&what, pool, unadmitted, self.applicant),
                    Vec::new(),
                ));
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
            let shown = self.ledger.shown();
            if let Some(slot) = self.ledger.slot(*address) {
                if let Some(reservation) = slot.reservation()
                    && slot.bucket() != Bucket::Assigned
                {
                    return Err((why::reserved(*address, reservation), needs()));
                }
                let objection = self.may_join(pool, slot).err();
                // Nobody joins those who are on their way out.
                if objection.is_some() || slot.holders.is_empty() {
                    return Err((why::in_use(*address, slot, objection.as_ref()), needs()));
                }
                if let Some(other) = shown.by_foreign(*address) {
                    return Err((why::shown(*address, other), needs()));
                }
            } else {
                let mut others = shown.by(*address).filter(|other| **other != self.service.key);
                if let Some(other) = shown.by_foreign(*address).or(others.next()) {
                    return Err((why::shown(*address, other), needs()));
                }
            }
            let share = self.ledger.layout().share(pool);
            if let Some(share) = share.filter(|share| share.is_frozen()) {
                return Err((why::frozen(pool, share), needs()));
            }
            if !self.fits_quota(pool, &granted, wish) {
                let need = Need::Pool(pool.clone(), wish.need);
                let wanted = wish.need.least();
                let refusal = why::quota(share, pool, &self.service.key, wanted);
                return Err((refusal, vec![need]));
            }
        }
        Ok(granted)
    }

    /// Both addresses of another pool, for a Service that has both and whose pool lost a family.
    fn leave_shrunk_pool(&mut self, held: &Granted, wish: &Wish) -> Option<Granted> {
        let (FamilyNeed::Prefer(_), 1) = (wish.need, held.len()) else {
            return None;
        };
        let (only, pool) = held.first_key_value()?;
        let other = Family::of(*only).other();
        if self.ledger.covers_any(pool, other) {
            return None;
        }
        let had = |address| {
            let slot = self.ledger.slot(address);
            Family::of(address) == other && slot.is_some_and(|slot| slot.names(&self.service.key))
        };
        if !self.ledger.addresses_of(&self.service.key).any(had) {
            return None;
        }
        let order = self.order(wish).ok()?;
        self.take_first(&order.first, &Family::ALL, wish)
            .or_else(|| self.take_open(&order, &Family::ALL, wish))
    }

    fn is_candidate(&self, address: IpAddr) -> bool {
        self.candidates
            .iter()
            .any(|candidate| candidate.address == address)
    }
}
