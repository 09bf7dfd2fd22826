//! Services that wait for an address, and what each of them waits for.
//!
//! Those that wait for the same thing stand in one queue by age, so that a freed address wakes as
//! many of them as it can serve, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use crate::address::Family;
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::sharing::Terms;
use crate::time::Timestamp;

/// What a Service waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A certain address.
    Address(IpAddr),
    /// Addresses of a pool.
    Pool(PoolName, FamilyNeed),
    /// Addresses of whichever pool lends to any Service without being asked, and without a quota.
    Open(FamilyNeed),
    /// An address that others hold and that it may share.
    Join(Box<Join>),
}

/// What decides which addresses a Service may share: those who wait for the same stand in one
/// queue, and if the first of them cannot be served, then none of them can.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Join {
    /// Its terms; the key comes first in their order.
    pub(super) terms: Arc<Terms>,
    /// Its namespace.
    pub(super) namespace: Arc<str>,
    /// The families.
    pub(super) need: FamilyNeed,
    /// The pools that it is served from, ...
    pub(super) pools: Vec<PoolName>,
    /// ... and whether those that lend to any Service come after them.
    pub(super) then_open: bool,
}

/// Which families a Service wants from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FamilyNeed {
    /// This one.
    One(Family),
    /// Both or nothing.
    Both,
    /// Both if possible; else the one given, else the other.
    Prefer(Family),
}

/// The queues.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    by_need: BTreeMap<Need, BTreeSet<(Timestamp, ServiceKey)>>,
    by_service: HashMap<ServiceKey, (Timestamp, Vec<Need>)>,
}

// === impl FamilyNeed ===

impl FamilyNeed {
    /// Every kind of queue that a pool can have.
    pub(super) const ALL: [Self; 5] = [
        Self::One(Family::V4),
        Self::One(Family::V6),
        Self::Both,
        Self::Prefer(Family::V4),
        Self::Prefer(Family::V6),
    ];

    /// The families that are taken when everything is there.
    pub(super) const fn families(self) -> &'static [Family] {
        match self {
            Self::One(Family::V4) => &[Family::V4],
            Self::One(Family::V6) => &[Family::V6],
            Self::Both | Self::Prefer(_) => &Family::ALL,
        }
    }

    /// Whether holding these families is enough.
    pub(super) fn is_met_by(self, held: &BTreeSet<Family>) -> bool {
        match self {
            Self::One(family) => held.contains(&family),
            Self::Both => held.len() == Family::ALL.len(),
            Self::Prefer(_) => !held.is_empty(),
        }
    }

    /// How many addresses are the least that is of any use.
    pub(super) const fn least(self) -> u32 {
        match self {
            Self::One(_) | Self::Prefer(_) => 1,
            Self::Both => 2,
        }
    }

    /// How many Services of this need so many free addresses can serve.
    pub(super) fn servable(self, v4: u128, v6: u128) -> u128 {
        match self {
            Self::One(Family::V4) => v4,
            Self::One(Family::V6) => v6,
            Self::Both => v4.min(v6),
            Self::Prefer(_) => v4.saturating_add(v6),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Puts a Service into the queues of its needs; answers which queues it has left by that.
    pub(super) fn insert(&mut self, key: &ServiceKey, since: Timestamp, needs: Vec<Need>) -> Vec<Need> {
        let mut left = self.remove(key);
        left.retain(|need| !needs.contains(need));
        if needs.is_empty() {
            return left;
        }
        for need in &needs {
            let queue = self.by_need.entry(need.clone()).or_default();
            queue.insert((since, key.clone()));
        }
        self.by_service.insert(key.clone(), (since, needs));
        left
    }

    /// Takes a Service out of every queue; answers what it waited for.
    pub(super) fn remove(&mut self, key: &ServiceKey) -> Vec<Need> {
        self.suspend(key);
        let before = self.by_service.remove(key);
        before.map(|(_, needs)| needs).unwrap_or_default()
    }

    /// Takes a Service out of every queue until it is decided about: what it waited for is known
    /// still, since it may not take it.
    pub(super) fn suspend(&mut self, key: &ServiceKey) {
        let Some((since, needs)) = self.by_service.get(key) else {
            return;
        };
        let place = (*since, key.clone());
        for need in needs {
            if let Some(queue) = self.by_need.get_mut(need) {
                queue.remove(&place);
                if queue.is_empty() {
                    self.by_need.remove(need);
                }
            }
        }
    }

    /// Those that wait longest for something, as many as `count`.
    pub(super) fn first(&self, need: &Need, count: u128) -> Vec<ServiceKey> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let queue = self.by_need.get(need).into_iter().flatten();
        queue.take(count).map(|(_, key)| key.clone()).collect()
    }

    /// Those that wait longest for something, as many as `count`, and of each namespace as many as
    /// it has room for.
    pub(super) fn first_with_room(
        &self,
        need: &Need,
        count: u128,
        room: impl Fn(&str) -> u32,
    ) -> Vec<ServiceKey> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut rooms: BTreeMap<&str, u32> = BTreeMap::new();
        let mut found = Vec::new();
        for (_, key) in self.by_need.get(need).into_iter().flatten() {
            if found.len() >= count {
                break;
            }
            let namespace = &*key.namespace;
            let left = rooms.entry(namespace).or_insert_with(|| room(namespace));
            if let Some(less) = left.checked_sub(1) {
                *left = less;
                found.push(key.clone());
            }
        }
        found
    }

    /// What Services wait for that are willing to share under a key.
    pub(super) fn joins(&self, key: &str) -> impl Iterator<Item = &Join> {
        let first = Join {
            terms: Arc::new(Terms {
                key: Some(key.to_owned()),
                ..Terms::default()
            }),
            namespace: "".into(),
            need: FamilyNeed::One(Family::V4),
            pools: Vec::new(),
            then_open: false,
        };
        let from = self.by_need.range(Need::Join(Box::new(first))..);
        from.map_while(move |(need, _)| match need {
            Need::Join(join) if join.terms.key.as_deref() == Some(key) => Some(&**join),
            Need::Join(_) | Need::Address(_) | Need::Pool(..) | Need::Open(_) => None,
        })
    }

    /// How many Services wait.
    pub(super) fn len(&self) -> usize {
        self.by_service.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("default", name)
    }

    fn mk_need(pool: &str) -> Need {
        Need::Pool(pool.into(), FamilyNeed::One(Family::V4))
    }

    #[test]
    fn who_waits_longest_comes_first_and_nobody_more_than_asked_for() {
        let mut waiting = Waiting::default();
        for (name, since) in [("c", 1), ("a", 3), ("b", 2)] {
            waiting.insert(&key(name), Timestamp(since), vec![mk_need("p")]);
        }
        assert_eq!(waiting.first(&mk_need("p"), 2), [key("c"), key("b")]);
        assert_eq!(waiting.first(&mk_need("p"), 0), []);
        assert_eq!(waiting.first(&mk_need("p"), u128::MAX).len(), 3);
        assert_eq!(waiting.first(&mk_need("q"), 1), []);
    }

    #[test]
    fn new_needs_replace_the_old_ones_and_no_empty_queue_stays() {
        let mut waiting = Waiting::default();
        waiting.insert(&key("a"), Timestamp(1), vec![mk_need("p"), mk_need("q")]);
        waiting.insert(&key("a"), Timestamp(1), vec![mk_need("q")]);
        assert_eq!(waiting.first(&mk_need("p"), 1), []);
        assert_eq!(waiting.first(&mk_need("q"), 1), [key("a")]);
        assert_eq!(waiting.len(), 1);
        waiting.insert(&key("a"), Timestamp(1), Vec::new());
        assert_eq!(waiting.len(), 0);
        assert!(waiting.by_need.is_empty());
    }

    #[test]
    fn as_many_are_servable_as_the_scarcer_family_allows() {
        let servable = |need: FamilyNeed| need.servable(3, 5);
        assert_eq!(servable(FamilyNeed::One(Family::V4)), 3);
        assert_eq!(servable(FamilyNeed::One(Family::V6)), 5);
        assert_eq!(servable(FamilyNeed::Both), 3);
        assert_eq!(servable(FamilyNeed::Prefer(Family::V4)), 8);
        assert_eq!(FamilyNeed::Prefer(Family::V6).servable(u128::MAX, 1), u128::MAX);
    }
}
