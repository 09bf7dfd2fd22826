//! Taking in what every decision depends on: pools, namespaces, Nodes, and that all lists are there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::pool::{Pool, PoolName};
use crate::selector::Labels;
use crate::service::ServiceKey;
use crate::time::Now;

// === impl Allocator ===

impl Allocator {
    /// Every list is complete: what is there is adopted first, since holders are decided about
    /// before those who show an address, and these before those who have nothing.
    pub(super) fn sync(&mut self, now: Now) {
        if self.is_synced {
            return;
        }
        self.is_synced = true;
        self.must_divide = true;
        self.agenda.push(Task::Leftovers);
        let lent = self
            .ledger
            .slots()
            .filter(|(_, slot)| !slot.is_idle_reservation());
        let recorded = lent.filter_map(|(_, slot)| slot.recorded_pool());
        for pool in recorded {
            if !self.pools.contains(pool) {
                let end = self.pools.miss(pool, now.time);
                self.agenda.set_alarm(Task::Vanished(pool.clone()), end);
            }
        }
    }

    /// A namespace has other labels than before: whom pools admit may have changed.
    pub(super) fn apply_namespace(&mut self, name: &str, labels: Option<Labels>) {
        if self.namespaces.get(name) == labels.as_ref() {
            return;
        }
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        let from = self.services.keys_from(ServiceKey::new(name, ""));
        let of_namespace = from.take_while(|key| *key.namespace == *name);
        let keys: Vec<ServiceKey> = of_namespace.cloned().collect();
        for key in keys {
            self.want_decision(&key);
        }
    }

    /// A Node has other addresses than before: pools may say so.
    pub(super) fn apply_node(&mut self, name: String, addresses: Option<BTreeSet<IpAddr>>) {
        if self.nodes.get(&name) == addresses.as_ref() {
            return;
        }
        match addresses {
            Some(addresses) => self.nodes.insert(name, addresses),
            None => self.nodes.remove(&name),
        };
        for pool in self.pools.names() {
            self.agenda.push(Task::Pool(pool.clone()));
        }
    }

    /// A pool is there, or another version of it.
    pub(super) fn apply_pool(&mut self, pool: Pool) {
        self.agenda.push(Task::Pool(pool.name.clone()));
        if self.pools.apply(pool) {
            self.must_divide = true;
        }
    }

    /// A pool is gone.
    pub(super) fn delete_pool(&mut self, name: &PoolName, now: Now) {
        if let Some(end) = self.pools.remove(name, now.time) {
            self.agenda.set_alarm(Task::Vanished(name.clone()), end);
            self.must_divide = true;
        }
    }
}
