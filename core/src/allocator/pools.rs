//! The pools as they are stored, the order in which they are tried, and those that were deleted a
//! moment ago.
//!
//! A deleted pool keeps its claims for a grace, so that to delete and recreate it moves nothing.
//! It lends nothing meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::address::Family;
use crate::allocator::call::CallId;
use crate::allocator::ledger::Ledger;
use crate::allocator::retry::Retry;
use crate::allocator::slot::Slot;
use crate::pool::allocation::{Allocation, Applicant};
use crate::pool::{DEFAULT_QUARANTINE, Pool, PoolName, PoolStatus};
use crate::time::Time;

/// How long a deleted pool keeps its claims: longer than `kubectl replace --force` takes.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The pools.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    by_name: BTreeMap<PoolName, PoolEntry>,
    /// Those that lend without being asked, and only to some Services ...
    pinned: BTreeSet<Rank>,
    /// ... or to any.
    open: BTreeSet<Rank>,
    /// Those of the open ones that do not lend to everybody alike.
    open_with_quota: BTreeSet<Rank>,
    /// Those of the open ones that have a free address of a family: a decision must not cost more
    /// because many others are full.
    vacant_v4: BTreeSet<Rank>,
    vacant_v6: BTreeSet<Rank>,
    /// When the grace of each deleted pool ends.
    vanished: BTreeMap<PoolName, Time>,
}

/// Where a pool stands among those that lend without being asked: by priority, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    has_no_priority: bool,
    priority: u32,
    /// The pool.
    pub(super) pool: PoolName,
}

/// One pool, and the writing of its status.
#[derive(Clone, Debug)]
pub(super) struct PoolEntry {
    /// The pool as it is stored.
    pub(super) pool: Pool,
    /// The call under way.
    pub(super) call: Option<CallId>,
    /// When its status may be written again.
    pub(super) next_write: Option<Time>,
    /// Pauses after calls that did not work.
    pub(super) retry: Retry,
    /// The status that people have last heard of, while a write of another one is under way.
    pub(super) told: Option<Option<PoolStatus>>,
}

// === impl Rank ===

impl Rank {
    fn of(pool: &Pool) -> Self {
        let priority = pool.spec.allocation.priority;
        Self {
            has_no_priority: priority.is_none(),
            priority: priority.unwrap_or_default(),
            pool: pool.name.clone(),
        }
    }
}

// === impl Pools ===

impl Pools {
    /// Takes a pool in; answers whether what it lends may have changed.
    pub(super) fn apply(&mut self, pool: Pool) -> bool {
        self.vanished.remove(&pool.name);
        let name = pool.name.clone();
        let known = self.by_name.get(&name).map(|entry| &entry.pool);
        let is_stale = known.is_some_and(|known| {
            pool.uid == known.uid && pool.resource_version.is_older_than(&known.resource_version)
        });
        if is_stale {
            return false;
        }
        let is_same = known.is_some_and(|known| {
            known.spec == pool.spec
                && known.unreadable == pool.unreadable
                && known.uid == pool.uid
                && known.created == pool.created
        });
        if !is_same {
            self.unrank(&name);
        }
        match self.by_name.get_mut(&name) {
            Some(entry) => entry.pool = pool,
            None => {
                let entry = PoolEntry {
                    pool,
                    call: None,
                    next_write: None,
                    retry: Retry::default(),
                    told: None,
                };
                self.by_name.insert(name.clone(), entry);
            }
        }
        if !is_same {
            self.rank(&name);
        }
        !is_same
    }

    /// A pool is gone: answers when its grace ends, if it was there.
    pub(super) fn remove(&mut self, name: &PoolName, now: Time) -> Option<Time> {
        self.unrank(name);
        self.by_name.remove(name)?;
        Some(self.miss(name, now))
    }

    /// Begins the grace of a pool that claims name and that is not there.
    pub(super) fn miss(&mut self, name: &PoolName, now: Time) -> Time {
        *self.vanished.entry(name.clone()).or_insert(now + GRACE)
    }

    /// Ends the grace of a deleted pool if it is over; answers whether it was.
    pub(super) fn end_grace(&mut self, name: &PoolName, now: Time) -> bool {
        let is_over = self.vanished.get(name).is_some_and(|end| *end <= now);
        if is_over {
            self.vanished.remove(name);
        }
        is_over
    }

    /// When the grace of a deleted pool ends.
    pub(super) fn grace_of(&self, name: &PoolName) -> Option<Time> {
        self.vanished.get(name).copied()
    }

    /// Whether there is no pool.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many pools there are, and were a moment ago.
    pub(super) fn len(&self) -> usize {
        self.by_name.len() + self.vanished.len()
    }

    /// Whether a pool is there.
    pub(super) fn contains(&self, name: &PoolName) -> bool {
        self.by_name.contains_key(name)
    }

    /// One pool.
    pub(super) fn get(&self, name: &PoolName) -> Option<&PoolEntry> {
        self.by_name.get(name)
    }

    /// One pool, to be changed.
    pub(super) fn get_mut(&mut self, name: &PoolName) -> Option<&mut PoolEntry> {
        self.by_name.get_mut(name)
    }

    /// Every pool as it is stored.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Pool> {
        self.by_name.values().map(|entry| &entry.pool)
    }

    /// The names of all pools.
    pub(super) fn names(&self) -> impl Iterator<Item = &PoolName> {
        self.by_name.keys()
    }

    /// What a pool says about whom it is for; `None` when it is gone.
    pub(super) fn allocation(&self, name: &PoolName) -> Option<&Allocation> {
        self.get(name).map(|entry| &entry.pool.spec.allocation)
    }

    /// Whether a pool gives addresses to a Service; one that is gone gives none.
    pub(super) fn admits(&self, name: &PoolName, applicant: Applicant<'_>) -> bool {
        self.allocation(name)
            .is_some_and(|allocation| allocation.admits(applicant))
    }

    /// Whether a Service may go on holding addresses of a pool. What nobody understands takes
    /// nothing away, and neither does a pool that was deleted a moment ago.
    pub(super) fn lets_keep(&self, name: &PoolName, applicant: Applicant<'_>) -> bool {
        self.allocation(name)
            .is_none_or(|allocation| allocation.admits(applicant) || allocation.invalid_selector().is_some())
    }

    /// The pools that lend without being asked for and only to some Services, in the order in
    /// which they are tried.
    pub(super) fn pinned(&self) -> impl Iterator<Item = &PoolName> {
        self.pinned.iter().map(|rank| &rank.pool)
    }

    /// The pools that lend to any Service without being asked for, in the order in which they are
    /// tried.
    pub(super) fn open(&self) -> impl Iterator<Item = &PoolName> + Clone {
        self.open.iter().map(|rank| &rank.pool)
    }

    /// Those of [`Self::open`] that lend a namespace a limited number of addresses.
    pub(super) fn open_with_quota(&self) -> impl Iterator<Item = &PoolName> {
        self.open_with_quota.iter().map(|rank| &rank.pool)
    }

    /// Those of [`Self::open`] that have a free address of a family, and where each stands.
    pub(super) fn vacant(&self, family: Family) -> impl Iterator<Item = &Rank> {
        self.vacancies(family).iter()
    }

    /// Where a pool stands among the open ones; `None` when it is none of them.
    pub(super) fn open_rank(&self, name: &PoolName) -> Option<&Rank> {
        self.open.get(&Rank::of(&self.get(name)?.pool))
    }

    /// Notes of which families a pool has free addresses.
    pub(super) fn note_vacancies(&mut self, name: &PoolName, v4: bool, v6: bool) {
        let Some(rank) = self.open_rank(name).cloned() else {
            return;
        };
        for (vacancies, is_vacant) in [(&mut self.vacant_v4, v4), (&mut self.vacant_v6, v6)] {
            if is_vacant {
                vacancies.insert(rank.clone());
            } else {
                vacancies.remove(&rank);
            }
        }
    }

    /// The pool that an address in use may be held from: the one it counts to, else a deleted
    /// one in its grace.
    pub(super) fn holding_pool<'a>(
        &'a self,
        ledger: &'a Ledger,
        address: IpAddr,
        slot: &'a Slot,
    ) -> Option<&'a PoolName> {
        ledger.pool_of(address).or_else(|| {
            slot.recorded_pool()
                .filter(|pool| self.vanished.contains_key(*pool))
        })
    }

    /// How long an address of a pool rests.
    pub(super) fn quarantine(&self, pool: Option<&PoolName>) -> Duration {
        pool.and_then(|pool| self.get(pool))
            .map_or(DEFAULT_QUARANTINE, |entry| entry.pool.spec.quarantine)
    }

    /// The advertisements by which addresses of a pool are announced; `None` if the pool is gone or
    /// nobody understands it.
    pub(super) fn advertisements(&self, pool: &PoolName) -> Option<&[String]> {
        self.get(pool)
            .filter(|entry| entry.pool.unreadable.is_none())
            .map(|entry| entry.pool.spec.advertisements.as_slice())
    }

    fn vacancies(&self, family: Family) -> &BTreeSet<Rank> {
        match family {
            Family::V4 => &self.vacant_v4,
            Family::V6 => &self.vacant_v6,
        }
    }

    /// Puts a pool into the order in which pools are tried.
    fn rank(&mut self, name: &PoolName) {
        let Some(entry) = self.by_name.get(name) else {
            return;
        };
        let (spec, rank) = (&entry.pool.spec, Rank::of(&entry.pool));
        if !spec.auto_assign {
            return;
        }
        if spec.allocation.is_pinned() {
            self.pinned.insert(rank);
            return;
        }
        if spec.allocation.max_per_namespace.is_some() {
            self.open_with_quota.insert(rank.clone());
        }
        self.open.insert(rank);
    }

    fn unrank(&mut self, name: &PoolName) {
        let Some(entry) = self.by_name.get(name) else {
            return;
        };
        let rank = Rank::of(&entry.pool);
        for ranks in [
            &mut self.pinned,
            &mut self.open,
            &mut self.open_with_quota,
            &mut self.vacant_v4,
            &mut self.vacant_v6,
        ] {
            ranks.remove(&rank);
        }
    }
}
