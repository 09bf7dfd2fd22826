//! Deciding whatever is undecided, until what has changed concerns nobody any more.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::waiting::Need;
use crate::pool::PoolName;
use crate::pool::layout::Layout;
use crate::service::ServiceKey;

// === impl Allocator ===

impl Allocator {
    /// Decides whatever is undecided.
    pub(super) fn settle(&mut self) {
        loop {
            if std::mem::take(&mut self.must_divide) {
                self.divide();
            }
            let changes = self.ledger.take_changes();
            for pool in changes.pools {
                self.note_vacancies(&pool);
                self.wake(&pool);
                self.agenda.push(Task::Pool(pool));
            }
            for (pool, namespace) in changes.quotas {
                self.wake_namespace(&pool, &namespace);
            }
            for key in changes.keys {
                self.wake_sharers(&key);
            }
            for address in changes.addresses {
                for key in self.waiting.first(&Need::Address(address), u128::MAX) {
                    self.want_decision(&key);
                }
                for key in self.ledger.shown().by(address) {
                    self.agenda.push(Task::Service(key.clone()));
                }
            }
            match self.agenda.next_undecided() {
                Some(key) => {
                    self.work.decisions += 1;
                    self.decide_service(&key);
                }
                None => return,
            }
        }
    }

    /// Divides the addresses among the pools anew and decides about everything again. The one
    /// place where an event costs as much as there are objects: people edit pools, not machines.
    fn divide(&mut self) {
        self.ledger.set_layout(Layout::compile(self.pools.stored()));
        let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
        for key in keys {
            self.want_decision(&key);
        }
        let is_start = !std::mem::replace(&mut self.has_divided, true);
        let addresses: Vec<IpAddr> = self.ledger.slots().map(|(address, _)| address).collect();
        for address in addresses {
            if is_start {
                self.check_reservation(address, true);
            }
            self.agenda.push(Task::Claim(address));
        }
        let names: Vec<PoolName> = self.pools.names().cloned().collect();
        for name in names {
            self.note_vacancies(&name);
            self.agenda.push(Task::Pool(name));
        }
    }

    /// More work than one poll can need, however much has changed since the last one: each object
    /// has a few others that it may call upon, and nothing calls upon itself.
    pub(super) fn enough_work(&self) -> u64 {
        let objects = self.services.len() + self.departed.len() + self.ledger.len() + self.pools.len();
        let per_object = 16;
        self.work.looks + self.work.decisions + per_object * (objects as u64 + 8)
    }
}
