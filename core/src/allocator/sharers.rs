//! Which addresses are held under which sharing key, and which of them another Service may join.
//!
//! Kept by runs of addresses, so that to find the first one whose ports are free does not depend on
//! how many there are: a run in which a port is used is passed in one step.

use std::collections::BTreeMap;

use rangemap::RangeInclusiveSet;

use crate::address::Family;
use crate::pool::{PoolName, Sharing};
use crate::selector::Labels;
use crate::service::{ServicePort, TrafficPolicy};
use crate::sharing::Terms;

/// What an address that is held under a key offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The key of all its holders.
    pub(super) key: String,
    /// Their namespace; `None` when there are several.
    pub(super) namespace: Option<String>,
    /// The traffic policy of all of them.
    pub(super) policy: TrafficPolicy,
    /// The selector of all of them, under policy Local.
    pub(super) selector: Labels,
    /// All their ports.
    pub(super) ports: Vec<ServicePort>,
}

/// A Service that looks for an address to share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeker<'a> {
    /// Its namespace.
    pub(super) namespace: &'a str,
    /// Its terms.
    pub(super) terms: &'a Terms,
}

/// The index.
#[derive(Clone, Debug, Default)]
pub(super) struct Sharers {
    by_key: BTreeMap<String, BTreeMap<PoolName, BTreeMap<Class, Runs>>>,
}

/// Addresses of one pool and key that differ in their ports only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    family: Family,
    policy: TrafficPolicy,
    selector: Labels,
    /// Of this namespace alone; `None` = of any.
    namespace: Option<String>,
}

/// Addresses as their numbers in the pool's order.
#[derive(Clone, Debug, Default)]
struct Runs {
    all: RangeInclusiveSet<u128>,
    used: BTreeMap<ServicePort, RangeInclusiveSet<u128>>,
}

// === impl Offer ===

impl Offer {
    /// What holders of these namespaces and terms offer together; `None` if they do not let anybody
    /// join them.
    pub(super) fn of<'a>(holders: impl Iterator<Item = (&'a str, &'a Terms)>) -> Option<Self> {
        let mut offer: Option<Self> = None;
        for (namespace, terms) in holders {
            let key = terms.key.as_ref()?;
            match &mut offer {
                None => {
                    offer = Some(Self {
                        key: key.clone(),
                        namespace: Some(namespace.to_owned()),
                        policy: terms.policy,
                        selector: selector_of(terms),
                        ports: terms.ports.clone(),
                    });
                }
                Some(offer) => {
                    let is_like = offer.key == *key
                        && offer.policy == terms.policy
                        && (offer.policy == TrafficPolicy::Cluster || offer.selector == terms.selector);
                    if !is_like {
                        return None;
                    }
                    if offer.namespace.as_deref() != Some(namespace) {
                        offer.namespace = None;
                    }
                    offer.ports.extend(&terms.ports);
                }
            }
        }
        offer
    }

    /// The classes that an address of this offer is in.
    fn classes(&self, family: Family) -> impl Iterator<Item = Class> {
        let class = |namespace| Class {
            family,
            policy: self.policy,
            selector: self.selector.clone(),
            namespace,
        };
        let own = self.namespace.clone().map(|namespace| class(Some(namespace)));
        [class(None)].into_iter().chain(own)
    }
}

// === impl Sharers ===

impl Sharers {
    /// An address is held on these terms.
    pub(super) fn insert(&mut self, pool: &PoolName, family: Family, number: u128, offer: &Offer) {
        let pools = self.by_key.entry(offer.key.clone()).or_default();
        let by_class = pools.entry(pool.clone()).or_default();
        for class in offer.classes(family) {
            let runs = by_class.entry(class).or_default();
            runs.all.insert(number..=number);
            for port in &offer.ports {
                runs.used.entry(*port).or_default().insert(number..=number);
            }
        }
    }

    /// An address is not held on these terms any more.
    pub(super) fn remove(&mut self, pool: &PoolName, family: Family, number: u128, offer: &Offer) {
        let Some(pools) = self.by_key.get_mut(&offer.key) else {
            return;
        };
        if let Some(by_class) = pools.get_mut(pool) {
            for class in offer.classes(family) {
                if let Some(runs) = by_class.get_mut(&class) {
                    runs.remove(number, &offer.ports);
                    if runs.all.is_empty() {
                        by_class.remove(&class);
                    }
                }
            }
            if by_class.is_empty() {
                pools.remove(pool);
            }
        }
        if pools.is_empty() {
            self.by_key.remove(&offer.key);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
    }

    /// The pools of which an address is held under a key.
    pub(super) fn pools(&self, key: &str) -> impl Iterator<Item = &PoolName> {
        self.by_key.get(key).into_iter().flat_map(BTreeMap::keys)
    }

    /// The first address from a number on that a Service may join, and how many steps that took.
    pub(super) fn first(
        &self,
        pool: &PoolName,
        family: Family,
        (seeker, sharing): (Seeker<'_>, Sharing),
        from: u128,
    ) -> (Option<u128>, u64) {
        let Seeker { namespace, terms } = seeker;
        let class = Class {
            family,
            policy: terms.policy,
            selector: selector_of(terms),
            namespace: match sharing {
                Sharing::SameNamespace => Some(namespace.to_owned()),
                Sharing::CrossNamespace => None,
            },
        };
        let pools = terms.key.as_ref().and_then(|key| self.by_key.get(key));
        let runs = pools
            .and_then(|pools| pools.get(pool))
            .and_then(|by_class| by_class.get(&class));
        runs.map_or((None, 0), |runs| runs.first(&terms.ports, from))
    }
}

// === impl Runs ===

impl Runs {
    fn first(&self, ports: &[ServicePort], from: u128) -> (Option<u128>, u64) {
        let (mut from, mut steps) = (from, 0);
        loop {
            steps += 1;
            let Some(run) = self.all.overlapping(from..=u128::MAX).next() else {
                return (None, steps);
            };
            let number = from.max(*run.start());
            let used = ports.iter().filter_map(|port| self.used.get(port)?.get(&number));
            match used.map(|run| *run.end()).max().map(|end| end.checked_add(1)) {
                None => return (Some(number), steps),
                Some(Some(next)) => from = next,
                Some(None) => return (None, steps),
            }
        }
    }

    fn remove(&mut self, number: u128, ports: &[ServicePort]) {
        self.all.remove(number..=number);
        for port in ports {
            if let Some(used) = self.used.get_mut(port) {
                used.remove(number..=number);
                if used.is_empty() {
                    self.used.remove(port);
                }
            }
        }
    }
}

/// The selector as far as it decides.
fn selector_of(terms: &Terms) -> Labels {
    match terms.policy {
        TrafficPolicy::Cluster => Labels::new(),
        TrafficPolicy::Local => terms.selector.clone(),
    }
}

#[cfg(test)]
mod tests;
