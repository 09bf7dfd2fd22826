//! Whom a change may help: those who wait and might now be served are decided about again.
//!
//! As many as there is something for, oldest first; whoever turns out not to need it passes it on.

use crate::address::Family;
use crate::allocator::Allocator;
use crate::allocator::sharers::Seeker;
use crate::allocator::waiting::{FamilyNeed, Join, Need};
use crate::pool::PoolName;

// === impl Allocator ===

impl Allocator {
    /// Has as many waiting Services decided about as a pool can serve now, oldest first.
    pub(super) fn wake(&mut self, pool: &PoolName) {
        let (v4, v6) = self.ledger.available(pool);
        let has_quota = self
            .ledger
            .layout()
            .share(pool)
            .is_some_and(|share| share.quota.is_some());
        let is_open = !has_quota && self.pools.open_rank(pool).is_some();
        for need in FamilyNeed::ALL {
            let of_pool = Need::Pool(pool.clone(), need);
            let servable = need.servable(v4, v6);
            let mut woken = if has_quota {
                // Who comes first may be one whom the quota does not let.
                let room = |namespace: &str| self.ledger.quota_left(pool, namespace) / need.least();
                self.waiting.first_with_room(&of_pool, servable, room)
            } else {
                self.waiting.first(&of_pool, servable)
            };
            if is_open {
                woken.extend(self.waiting.first(&Need::Open(need), servable));
            }
            for key in woken {
                self.want_decision(&key);
            }
        }
    }

    /// Has as many of a namespace decided about who wait for a pool as its quota lets.
    pub(super) fn wake_namespace(&mut self, pool: &PoolName, namespace: &str) {
        let left = self.ledger.quota_left(pool, namespace);
        for need in FamilyNeed::ALL {
            let room = |other: &str| {
                if other == namespace {
                    left / need.least()
                } else {
                    0
                }
            };
            let of_pool = Need::Pool(pool.clone(), need);
            for key in self.waiting.first_with_room(&of_pool, u128::MAX, room) {
                self.want_decision(&key);
            }
        }
    }

    /// Has the first of each kind of Services decided about that wait to share under a key and now
    /// might.
    pub(super) fn wake_sharers(&mut self, key: &str) {
        let is_servable = |join: &&Join| {
            let is_in_reach = |pool: &&PoolName| {
                join.pools.contains(*pool) || join.then_open && self.pools.open_rank(pool).is_some()
            };
            let seeker = Seeker {
                namespace: &join.namespace,
                terms: &join.terms,
            };
            let mut pools = self.ledger.pools_of_key(key).filter(is_in_reach);
            pools.any(|pool| {
                let mut families = join.need.families().iter();
                families.any(|family| {
                    self.ledger
                        .first_shared(pool, *family, seeker, |_| true)
                        .is_some()
                })
            })
        };
        let servable = self.waiting.joins(key).filter(is_servable);
        let needs: Vec<Need> = servable.map(|join| Need::Join(Box::new(join.clone()))).collect();
        for need in needs {
            for key in self.waiting.first(&need, 1) {
                self.want_decision(&key);
            }
        }
    }

    /// Has the next one of a queue decided about, if there may be something for it: the one that
    /// was woken did not need it.
    pub(super) fn wake_next(&mut self, need: &Need) {
        match need {
            Need::Address(_) => {}
            Need::Pool(pool, _) => self.ledger.touch_pool(pool),
            Need::Join(join) => {
                if let Some(key) = &join.terms.key {
                    self.ledger.touch_key(key);
                }
            }
            Need::Open(families) => {
                let has_any = |family: &Family| self.pools.vacant(*family).next().is_some();
                if families.families().iter().any(has_any) {
                    for key in self.waiting.first(need, 1) {
                        self.want_decision(&key);
                    }
                }
            }
        }
    }

    pub(super) fn note_vacancies(&mut self, pool: &PoolName) {
        let (v4, v6) = self.ledger.available(pool);
        self.pools.note_vacancies(pool, v4 > 0, v6 > 0);
    }
}
