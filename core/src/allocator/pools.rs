//! The pools as they are stored, and those that were deleted a moment ago.
//!
//! A deleted pool keeps its claims for a grace, so that to delete and recreate it moves nothing.
//! It lends nothing meanwhile.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::allocator::call::CallId;
use crate::allocator::ledger::Ledger;
use crate::allocator::retry::Retry;
use crate::allocator::slot::Slot;
use crate::pool::{DEFAULT_QUARANTINE, Pool, PoolName, PoolStatus};
use crate::time::Time;

/// How long a deleted pool keeps its claims: longer than `kubectl replace --force` takes.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    by_name: BTreeMap<PoolName, PoolEntry>,
    /// When the grace of each deleted pool ends.
    vanished: BTreeMap<PoolName, Time>,
}

/// One pool, and the writing of its status.
#[derive(Debug)]
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

// === impl Pools ===

impl Pools {
    /// Takes a pool in; answers whether what it lends may have changed.
    pub(super) fn apply(&mut self, pool: Pool) -> bool {
        self.vanished.remove(&pool.name);
        match self.by_name.get_mut(&pool.name) {
            Some(entry) => {
                let is_same = entry.pool.spec == pool.spec
                    && entry.pool.uid == pool.uid
                    && entry.pool.created == pool.created;
                let is_stale = pool.uid == entry.pool.uid
                    && pool.resource_version.is_older_than(&entry.pool.resource_version);
                if !is_stale {
                    entry.pool = pool;
                }
                !is_same && !is_stale
            }
            None => {
                let entry = PoolEntry {
                    pool,
                    call: None,
                    next_write: None,
                    retry: Retry::default(),
                    told: None,
                };
                self.by_name.insert(entry.pool.name.clone(), entry);
                true
            }
        }
    }

    /// A pool is gone: answers when its grace ends, if it was there.
    pub(super) fn remove(&mut self, name: &PoolName, now: Time) -> Option<Time> {
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

    /// The pools that lend without being asked for, in the order in which they are tried.
    pub(super) fn automatic(&self) -> impl Iterator<Item = &PoolName> {
        self.by_name
            .iter()
            .filter(|(_, entry)| entry.pool.spec.auto_assign)
            .map(|(name, _)| name)
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

    /// The advertisements by which addresses of a pool are announced; `None` if the pool is gone.
    pub(super) fn advertisements(&self, pool: &PoolName) -> Option<&[String]> {
        self.get(pool)
            .map(|entry| entry.pool.spec.advertisements.as_slice())
    }
}
