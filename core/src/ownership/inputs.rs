//! Takes in new facts: what of them changed, and which VIPs must be looked at because of it.
//!
//! A pool that vanishes keeps its last known advertisements for 10 s, so that deleting a pool and
//! creating it again moves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Ownership;
use super::message::{Profile, Stage};
use crate::facts::{Advertisement, Facts};
use crate::interface::Interface;
use crate::pattern;
use crate::time::Time;

/// Pools that vanished a short while ago.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    /// The facts as they were given.
    given: Arc<Facts>,
    /// Advertisements by pool, and until when they count.
    pools: BTreeMap<String, (Vec<Advertisement>, Time)>,
}

// === impl Ownership ===

impl Ownership {
    pub(super) fn take_in_facts(&mut self, now: Time, given: Arc<Facts>) {
        let until = now + self.timing.linger;
        for (pool, advertisements) in &self.lingering.given.pools {
            if !given.pools.contains_key(pool) {
                let vanished = (advertisements.clone(), until);
                self.lingering.pools.insert(pool.clone(), vanished);
            }
        }
        self.lingering
            .pools
            .retain(|pool, _| !given.pools.contains_key(pool));
        self.lingering.given = given;
        self.use_facts(now);
    }

    pub(super) fn expire_lingering(&mut self, now: Time) {
        if self.lingering_deadline().is_some_and(|at| at <= now) {
            self.lingering.pools.retain(|_, (_, until)| *until > now);
            self.use_facts(now);
        }
    }

    pub(super) fn lingering_deadline(&self) -> Option<Time> {
        self.lingering.pools.values().map(|(_, until)| *until).min()
    }

    /// Decides by the facts as given, and by pools that linger.
    fn use_facts(&mut self, now: Time) {
        let mut facts = self.lingering.given.clone();
        if !self.lingering.pools.is_empty() {
            let lingering = self
                .lingering
                .pools
                .iter()
                .map(|(pool, (advertisements, _))| (pool.clone(), advertisements.clone()));
            Arc::make_mut(&mut facts).pools.extend(lingering);
        }
        let old = std::mem::replace(&mut self.facts, facts);
        let is_new = |new: &Interface| old.interfaces.iter().all(|old| old.index != new.index);
        if self.announcing_interfaces().any(is_new) {
            self.start_anew(now);
        }
        self.mark_changed(&old);
        self.refresh_profile();
    }

    /// The interfaces that some advertisement announces on, or by default would. The others are the
    /// links of pods, which come and go all the time, can be many, and mean nothing here.
    fn announcing_interfaces(&self) -> impl Iterator<Item = &Interface> {
        let advertised = || self.facts.pools.values().flatten();
        self.facts.interfaces.iter().filter(move |interface| {
            let admits = |patterns: &[String]| pattern::admits(patterns, &interface.name);
            admits(&[]) || advertised().any(|advertisement| admits(&advertisement.interfaces))
        })
    }

    /// Marks the VIPs that a change of facts can matter to.
    fn mark_changed(&mut self, old: &Facts) {
        let new = &self.facts;
        let is_same_for_all = old.pools == new.pools
            && old.nodes == new.nodes
            && old.local_endpoints == new.local_endpoints
            && old.interfaces == new.interfaces
            && old.away == new.away;
        if is_same_for_all {
            let is_new = |(vip, claim): &(&_, &_)| old.claims.get(vip) != Some(*claim);
            self.dirty
                .extend(new.claims.iter().filter(is_new).map(|(vip, _)| *vip));
        } else {
            self.dirty.extend(new.claims.keys());
            self.is_order_stale = true;
        }
        let is_gone = |vip: &&_| !new.claims.contains_key(*vip);
        self.dirty.extend(old.claims.keys().filter(is_gone));
    }

    /// Publishes a new profile if this one is no longer true.
    pub(super) fn refresh_profile(&mut self) {
        let profile = Profile {
            version: self.profile.version,
            stage: if self.drain.is_some() {
                Stage::Draining
            } else if self.start.is_synced() {
                Stage::Ready
            } else if self.facts.complete {
                Stage::Syncing
            } else {
                Stage::Starting
            },
            interfaces: Profile::published_interfaces(self.announcing_interfaces()),
        };
        if profile != self.profile {
            self.profile = Profile {
                version: self.profile.version.next(),
                ..profile
            };
        }
    }
}
