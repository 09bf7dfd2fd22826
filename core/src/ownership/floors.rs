//! Remembers how high the epoch of each VIP has risen, and lets nobody fall below.
//!
//! A new boot asks every live member for all floors. Later they travel with the records
//! themselves; an owner whose record is below what somebody remembers is told so with every digest
//! until it has risen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use super::message::{BUDGET, Floor, FloorsPage, Message};
use super::{Ownership, VipState};
use crate::node::NodeName;
use crate::time::Time;

// === impl Ownership ===

impl Ownership {
    pub(super) fn ask_floors(&mut self, now: Time, of: &NodeName) {
        if let Some(member) = self.members.get_mut(of) {
            let floors = &mut member.inbound.floors;
            floors.asked_at = Some(now);
            let after = floors.after;
            self.send(of, Message::FloorsWanted { after });
        }
    }

    /// Answers with the floors after an address, as many as fit.
    pub(super) fn send_floors(&mut self, to: &NodeName, after: Option<IpAddr>) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut floors = Vec::new();
        let mut size = 0;
        let mut is_last = true;
        for (vip, state) in self.vips.range((start, Bound::Unbounded)) {
            let floor = state.floor(*vip);
            size += floor.wire_size();
            if size > BUDGET {
                is_last = false;
                break;
            }
            floors.push(floor);
        }
        let page = FloorsPage {
            after,
            floors,
            is_last,
        };
        self.send(to, Message::Floors(page));
    }

    pub(super) fn receive_floors(&mut self, now: Time, from: &NodeName, page: &FloorsPage) {
        self.raise_floors(&page.floors);
        let is_synced = self.start.is_synced();
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        let progress = &mut member.inbound.floors;
        if progress.is_done || progress.after != page.after {
            return; // A repeated answer.
        }
        progress.is_done = page.is_last;
        progress.after = page.floors.last().map(|floor| floor.vip).or(page.after);
        if !page.is_last && !is_synced {
            self.ask_floors(now, from);
        }
    }

    pub(super) fn raise_floors(&mut self, floors: &[Floor]) {
        for Floor {
            vip,
            epoch,
            gone_version,
        } in floors
        {
            let state = self.vips.entry(*vip).or_default();
            if state.floor < *epoch || state.gone_version < *gone_version {
                state.floor = state.floor.max(*epoch);
                state.gone_version = state.gone_version.max(*gone_version);
                self.dirty.insert(*vip);
            }
        }
    }

    /// Forgets VIPs whose claim has been gone for long, and members whose node is gone.
    pub(super) fn purge(&mut self, now: Time) {
        let memory = self.timing.memory;
        for (vip, state) in &mut self.vips {
            state.absent_since = if self.facts.claims.contains_key(vip) {
                None
            } else {
                state.absent_since.or(Some(now))
            };
        }
        let is_forgotten = |state: &VipState| {
            state.holders.is_empty() && state.absent_since.is_some_and(|since| since + memory <= now)
        };
        for (vip, _) in self.vips.extract_if(.., |_, state| is_forgotten(state)) {
            self.table.forget(vip);
        }
        let nodes = &self.facts.nodes;
        self.members
            .retain(|node, member| member.is_live || nodes.contains_key(node));
    }

    /// Tells owners about higher epochs than theirs that are remembered here.
    pub(super) fn send_corrections(&mut self) {
        let mut by_owner: BTreeMap<NodeName, Vec<Floor>> = BTreeMap::new();
        for vip in std::mem::take(&mut self.unexplained) {
            let Some(owner) = self.greatest(vip).filter(|owner| owner.node != self.node) else {
                continue;
            };
            let Some(state) = self.vips.get(&vip).filter(|state| owner.epoch < state.floor) else {
                continue;
            };
            by_owner.entry(owner.node).or_default().push(state.floor(vip));
            self.unexplained.insert(vip);
        }
        for (owner, floors) in by_owner {
            // What does not fit is sent with the next digest, when these are explained.
            let mut size = 0;
            let fitting = floors
                .into_iter()
                .take_while(|floor| {
                    size += floor.wire_size();
                    size <= BUDGET
                })
                .collect();
            self.send(&owner, Message::HigherFloors(fitting));
        }
    }
}

// === impl VipState ===

impl VipState {
    /// What is remembered, as it is told.
    pub(super) const fn floor(&self, vip: IpAddr) -> Floor {
        Floor {
            vip,
            epoch: self.floor,
            gone_version: self.gone_version,
        }
    }
}
