//! The pools that a wish may be served from, in their order, and the addresses that they give.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Decider, Denied, Granted, why};
use crate::address::Family;
use crate::allocator::pools::Rank;
use crate::allocator::sharers::Seeker;
use crate::allocator::slot::Slot;
use crate::allocator::tenancy::{Objection, Party};
use crate::allocator::waiting::FamilyNeed;
use crate::allocator::wish::Wish;
use crate::pool::PoolName;
use crate::pool::allocation::Unadmitted;

/// The pools that may serve a wish.
pub(super) struct Order {
    /// In the order in which they are tried.
    pub(super) first: Vec<PoolName>,
    /// Whether the pools for every Service come after these.
    pub(super) then_open: bool,
}

// === impl Decider ===

impl<'a> Decider<'a> {
    /// The pools that may serve a wish.
    pub(super) fn order(&self, wish: &Wish) -> Result<Order, Denied> {
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

    pub(super) fn unadmitted(&self, pool: &PoolName) -> Option<Unadmitted> {
        self.pools.allocation(pool)?.unadmitted(self.applicant)
    }

    /// Addresses for a Service that has none of them yet.
    pub(super) fn take_from(&mut self, order: &Order, wish: &Wish) -> Option<Granted> {
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
    pub(super) fn take_first(
        &mut self,
        pools: &[PoolName],
        families: &[Family],
        wish: &Wish,
    ) -> Option<Granted> {
        pools.iter().find_map(|pool| self.pick(pool, families, wish))
    }

    /// Addresses of one of the pools for every Service. Only those are tried that have a free
    /// address, or one that the Service has something to do with or might share.
    pub(super) fn take_open(&mut self, order: &Order, families: &[Family], wish: &Wish) -> Option<Granted> {
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
    pub(super) fn tied_open(&self, order: &Order) -> BTreeSet<&'a Rank> {
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

    /// One address of each family from one pool; nothing unless all are there.
    fn pick(&mut self, pool: &PoolName, families: &[Family], wish: &Wish) -> Option<Granted> {
        self.extend(Granted::default(), pool, families, wish)
    }

    /// One address more of each family from one pool; nothing unless all are there.
    pub(super) fn extend(
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
    pub(super) fn fits_quota(&self, pool: &PoolName, granted: &Granted, wish: &Wish) -> bool {
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

    /// The best address of a pool and family that the Service has something to do with.
    pub(super) fn tied(&self, pool: &PoolName, family: Family, wish: &Wish) -> Option<IpAddr> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.pool == *pool && Family::of(candidate.address) == family)
            .filter(|candidate| wish.allows(candidate.address, pool))
            .min()
            .map(|candidate| candidate.address)
    }

    /// The first address of a pool and family that the Service may share.
    pub(super) fn shared(&self, pool: &PoolName, family: Family, wish: &Wish) -> Option<IpAddr> {
        self.terms.key.as_ref()?;
        let seeker = Seeker {
            namespace: &self.service.key.namespace,
            terms: &self.terms,
        };
        let is_joinable = |address| {
            let slot = self.ledger.slot(address);
            let alone = Granted::from_iter([(address, pool.clone())]);
            slot.is_some_and(|slot| self.may_join(pool, slot).is_ok()) && self.fits_quota(pool, &alone, wish)
        };
        self.ledger.first_shared(pool, family, seeker, is_joinable)
    }

    pub(super) fn may_join(&self, pool: &PoolName, slot: &Slot) -> Result<(), Objection> {
        let share = self.ledger.layout().share(pool);
        let party = Party {
            key: &self.service.key,
            terms: &self.terms,
            sharing: share.map(|share| share.sharing).unwrap_or_default(),
        };
        slot.admits(party, self.neighbors)
    }
}
