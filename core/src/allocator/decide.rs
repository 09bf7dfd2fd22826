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
mod why;

pub(super) use why::name_pools;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Family;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::{Pools, Rank};
use crate::allocator::sharers::Seeker;
use crate::allocator::slot::{Bucket, Slot};
use crate::allocator::tenancy::{Neighbors, Objection, Party};
use crate::allocator::waiting::{FamilyNeed, Join, Need};
use crate::allocator::wish::{Wish, cluster_families};
use crate::pool::PoolName;
use crate::pool::allocation::{Applicant, Unadmitted};
use crate::reason::Refusal;
use crate::request::{Eligibility, Service};
use crate::selector::Labels;
use crate::sharing::Terms;
use candidate::{Candidate, Finder};

/// Which addresses a Service should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// The addresses and the pools that they count to, IPv4 first.
    pub(super) addresses: BTreeMap<IpAddr, PoolName>,
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

/// The pools that may serve a wish.
struct Order {
    /// In the order in which they are tried.
    first: Vec<PoolName>,
    /// Whether the pools for every Service come after these.
    then_open: bool,
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

type Granted = BTreeMap<IpAddr, PoolName>;
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

    /// The best address of a pool and family that the Service has something to do with.
    fn tied(&self, pool: &PoolName, family: Family, wish: &Wish) -> Option<IpAddr> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.pool == *pool && Family::of(candidate.address) == family)
            .filter(|candidate| wish.allows(candidate.address, pool))
            .min()
            .map(|candidate| candidate.address)
    }

    /// The first address of a pool and family that the Service may share.
    fn shared(&self, pool: &PoolName, family: Family, wish: &Wish) -> Option<IpAddr> {
        self.terms.key.as_ref()?;
        let seeker = Seeker {
            namespace: &self.service.key.namespace,
            terms: &self.terms,
        };
        let is_joinable = |address| {
            let slot = self.ledger.slot(address);
            let alone = Granted::from([(address, pool.clone())]);
            slot.is_some_and(|slot| self.may_join(pool, slot).is_ok()) && self.fits_quota(pool, &alone, wish)
        };
        self.ledger.first_shared(pool, family, seeker, is_joinable)
    }

    fn may_join(&self, pool: &PoolName, slot: &Slot) -> Result<(), Objection> {
        let share = self.ledger.layout().share(pool);
        let party = Party {
            key: &self.service.key,
            terms: &self.terms,
            sharing: share.map(|share| share.sharing).unwrap_or_default(),
        };
        slot.admits(party, self.neighbors)
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
        let pools: BTreeSet<&PoolName> = held.values().collect();
        let of_one_pool = pools.iter().map(|pool| best(Some(pool)));
        of_one_pool
            .into_iter()
            .find(|of_pool| pools.len() > 1 && of_pool.len() == held.len())
            .unwrap_or(held)
    }

    fn grant_exactly(&self, exactly: &[IpAddr], wish: &Wish) -> Result<Granted, Denied> {
        let mut granted = Granted::new();
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

    /// The pools that may serve a wish.
    fn order(&self, wish: &Wish) -> Result<Order, Denied> {
        if let Some(asked) = &wish.pool {
            if !self.pools.contains(asked) {
                return Err((why::pool_not_found(asked, self.pools), Vec::new()));
            }
            if let Some(unadmitted) = self.unadmitted(asked) {
                let what = format!("The Service asks for pool {asked}");
                return Err((
                    why::not_admitted(&what, asked, unadmitted, self.applicant),
                    Vec::new(),
                ));
            }
            return Ok(Order {
                first: vec![asked.clone()],
                then_open: false,
            });
        }
        let pinned = self.pools.pinned();
        let order = Order {
            first: pinned
                .filter(|pool| self.pools.admits(pool, self.applicant))
                .cloned()
                .collect(),
            then_open: self.pools.open().next().is_some(),
        };
        if order.first.is_empty() && !order.then_open {
            return Err((why::no_automatic_pool(self.pools, self.applicant), Vec::new()));
        }
        Ok(order)
    }

    fn unadmitted(&self, pool: &PoolName) -> Option<Unadmitted> {
        self.pools.allocation(pool)?.unadmitted(self.applicant)
    }

    /// Addresses for a Service that has none of them yet.
    fn take_from(&mut self, order: &Order, wish: &Wish) -> Option<Granted> {
        let returning = self.returning(order);
        match wish.need {
            FamilyNeed::One(_) | FamilyNeed::Both => {
                let families = wish.need.families();
                self.take_first(&returning, families, wish)
                    .or_else(|| self.take_first(&order.first, families, wish))
                    .or_else(|| self.take_open(order, families, wish))
            }
            FamilyNeed::Prefer(primary) => {
                let (one, other) = ([primary], [primary.other()]);
                self.take_first(&returning, &Family::ALL, wish)
                    .or_else(|| self.take_first(&returning, &one, wish))
                    .or_else(|| self.take_first(&order.first, &Family::ALL, wish))
                    .or_else(|| self.take_first(&order.first, &one, wish))
                    .or_else(|| self.take_first(&order.first, &other, wish))
                    .or_else(|| self.take_open(order, &Family::ALL, wish))
                    .or_else(|| self.take_open(order, &one, wish))
                    .or_else(|| self.take_open(order, &other, wish))
            }
        }
    }

    /// The pools of an order in which the Service has an address, or one rests for it: it stays or
    /// comes back there.
    fn returning(&self, order: &Order) -> Vec<PoolName> {
        let is_tied = |pool: &&PoolName| self.candidates.iter().any(|candidate| candidate.pool == **pool);
        let in_first = order.first.iter().filter(is_tied);
        let in_open = self.tied_open(order).into_iter().map(|rank| &rank.pool);
        in_first.chain(in_open.filter(is_tied)).cloned().collect()
    }

    /// Addresses of one of these pools.
    fn take_first(&mut self, pools: &[PoolName], families: &[Family], wish: &Wish) -> Option<Granted> {
        pools.iter().find_map(|pool| self.pick(pool, families, wish))
    }

    /// Addresses of one of the pools for every Service. Only those are tried that have a free
    /// address, or one that the Service has something to do with or might share.
    fn take_open(&mut self, order: &Order, families: &[Family], wish: &Wish) -> Option<Granted> {
        let pools = self.pools;
        let mut tied = self.tied_open(order).into_iter().peekable();
        let family = families.first().filter(|_| order.then_open)?;
        let mut vacant = pools.vacant(*family).peekable();
        loop {
            let next = match (tied.peek(), vacant.peek()) {
                (Some(tied_next), Some(vacant_next)) if vacant_next < tied_next => vacant.next(),
                (Some(_), _) => tied.next(),
                (None, _) => vacant.next(),
            }?;
            if let Some(granted) = self.pick(&next.pool, families, wish) {
                return Some(granted);
            }
        }
    }

    /// The pools for every Service in which there is an address that the Service has something to
    /// do with, or one that is held under its sharing key.
    fn tied_open(&self, order: &Order) -> BTreeSet<&'a Rank> {
        if !order.then_open {
            return BTreeSet::new();
        }
        let pools = self.pools;
        let tied = self.candidates.iter().map(|candidate| &candidate.pool);
        let key = self.terms.key.iter();
        let of_key = key.flat_map(|key| self.ledger.pools_of_key(key));
        tied.chain(of_key)
            .filter_map(|pool| pools.open_rank(pool))
            .collect()
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
        let addresses = self.ledger.addresses_of(&self.service.key);
        let had_other = addresses.into_iter().any(|address| {
            let slot = self.ledger.slot(address);
            Family::of(address) == other && slot.is_some_and(|slot| slot.names(&self.service.key))
        });
        if !had_other {
            return None;
        }
        let order = self.order(wish).ok()?;
        self.take_first(&order.first, &Family::ALL, wish)
            .or_else(|| self.take_open(&order, &Family::ALL, wish))
    }

    /// One address of each family from one pool; nothing unless all are there.
    fn pick(&mut self, pool: &PoolName, families: &[Family], wish: &Wish) -> Option<Granted> {
        self.extend(Granted::new(), pool, families, wish)
    }

    /// One address more of each family from one pool; nothing unless all are there.
    fn extend(
        &mut self,
        mut granted: Granted,
        pool: &PoolName,
        families: &[Family],
        wish: &Wish,
    ) -> Option<Granted> {
        for family in families {
            let tied = self.tied(pool, *family, wish);
            let address = match tied.or_else(|| self.shared(pool, *family, wish)) {
                Some(address) => address,
                None => self.ledger.first_free(pool, *family)?,
            };
            granted.insert(address, pool.clone());
        }
        self.fits_quota(pool, &granted, wish).then_some(granted)
    }

    /// Whether the Service's namespace may hold these addresses of a pool beside what others of the
    /// namespace hold. What a person reserves for it no quota keeps from it.
    fn fits_quota(&self, pool: &PoolName, granted: &Granted, wish: &Wish) -> bool {
        let key = &self.service.key;
        let Some((others, most)) = self.ledger.quota(pool, key) else {
            return true;
        };
        let is_held_anyway = |address: &IpAddr| {
            let slot = self.ledger.slot(*address);
            slot.is_some_and(|slot| slot.is_kept_beside(key))
        };
        // What is reserved for it, it gets in any case.
        let counts = |address: &&IpAddr| !wish.reserved.contains(address) && !is_held_anyway(address);
        let more = granted.keys().filter(counts).count();
        more == 0 || u32::try_from(more).is_ok_and(|more| others.saturating_add(more) <= most)
    }

    fn is_candidate(&self, address: IpAddr) -> bool {
        self.candidates
            .iter()
            .any(|candidate| candidate.address == address)
    }
}
