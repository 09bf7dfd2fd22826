//! What this node has to say in the status of claims: the ownership machine's duties in the words
//! of the API, and only those that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::interface::IfIndex;
use ferrolb_core::node::NodeName;
use ferrolb_core::ownership::{Duty, Ownership};
use k8s_openapi::jiff::Timestamp;

use crate::api::Reports;
use crate::api::status::{Desired, LastMove, Owner};
use crate::netlink::Interfaces;

/// What was reported last, and since when it is so.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    reported: BTreeMap<IpAddr, Desired>,
}

/// What a report is made from.
pub(super) struct Present<'a> {
    pub(super) node: &'a NodeName,
    pub(super) ownership: &'a Ownership,
    pub(super) interfaces: &'a Interfaces,
    /// The nodes that claims name as their owners.
    pub(super) named_owners: &'a BTreeMap<IpAddr, NodeName>,
    pub(super) wall: Timestamp,
}

// === impl Reporter ===

impl Reporter {
    /// What changed since the last time.
    pub(super) fn changes(&mut self, present: &Present<'_>) -> Reports {
        let owned = present.ownership.plan().announcements.keys();
        let vips: BTreeSet<IpAddr> = owned.chain(present.named_owners.keys()).copied().collect();
        let mut reports = Reports::new();
        for vip in &vips {
            let named = present.named_owners.get(vip);
            let Some(duty) = present.ownership.duty(*vip, named) else {
                continue;
            };
            let desired = self.desired(*vip, duty, present);
            reports.insert(*vip, Some(desired));
        }
        let gone = self.reported.keys().filter(|vip| !reports.contains_key(*vip));
        let gone: Vec<_> = gone.map(|vip| (*vip, None)).collect();
        reports.extend(gone);
        reports.retain(|vip, desired| self.reported.get(vip) != desired.as_ref());
        for (vip, desired) in &reports {
            match desired {
                Some(desired) => self.reported.insert(*vip, desired.clone()),
                None => self.reported.remove(vip),
            };
        }
        reports
    }

    fn desired(&self, vip: IpAddr, duty: Duty, present: &Present<'_>) -> Desired {
        let (epoch, owner, last_move) = match duty {
            Duty::Clear { epoch } => (epoch, None, None),
            Duty::Own {
                epoch,
                reason,
                from,
                interfaces,
            } => (
                epoch,
                Some(owner(present, &interfaces)),
                Some(LastMove { from, reason }),
            ),
        };
        // The moment of a standing report is that of its epoch.
        let before = self.reported.get(&vip).filter(|before| before.epoch == epoch);
        let since = before.filter(|before| before.owner.is_some() == owner.is_some());
        Desired {
            epoch,
            owner,
            since: since.map_or(present.wall, |before| before.since),
            last_move,
        }
    }
}

fn owner(present: &Present<'_>, interfaces: &BTreeSet<IfIndex>) -> Owner {
    let known: Vec<_> = interfaces
        .iter()
        .filter_map(|index| present.interfaces.get(*index))
        .collect();
    Owner {
        node: present.node.clone(),
        interfaces: known.iter().map(|interface| interface.name.clone()).collect(),
        mac: known.first().map(|interface| interface.mac.to_string()),
    }
}
