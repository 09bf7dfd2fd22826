//! What others may ask: who owns a VIP, why this node is silent, and what must be written into the
//! status of which claim.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::Ownership;
use crate::interface::IfIndex;
use crate::node::NodeName;
use crate::reason::{MoveReason, Withheld};

/// One VIP as this node sees it: for `/debug/state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VipView {
    /// The VIP.
    pub vip: IpAddr,
    /// The live member that owns it.
    pub owner: Option<NodeName>,
    /// The epoch of its record; 0 without an owner.
    pub epoch: u64,
    /// The highest epoch that is remembered.
    pub floor: u64,
    /// Why this node does not answer for it; `None` when it does, or when there is no claim.
    pub withheld: Option<Withheld>,
}

/// What this node has to see to in the status of a claim. The writer compares it with the status
/// that is there, whenever [`Ownership::revision`] or the claim changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// This node owns the VIP: owner, epoch and last move are written. Not while the status names
    /// an owner at the same or a higher epoch that is not heard: both would write it by turns.
    Own {
        /// The epoch.
        epoch: u64,
        /// Why the VIP came here.
        reason: MoveReason,
        /// Who had owned it.
        from: Option<NodeName>,
        /// Where it is answered.
        interfaces: BTreeSet<IfIndex>,
    },
    /// Nobody owns it: an owner named in the status is cleared if it is this node or, after a second
    /// in which nobody has taken it, by the lowest-named live speaker if it is not live.
    Clear {
        /// The highest epoch that is remembered: a status above it belongs to a newer owner.
        epoch: u64,
    },
}

// === impl Ownership ===

impl Ownership {
    /// Every VIP that is known here, by address.
    pub fn views(&self) -> impl Iterator<Item = VipView> {
        let silent = self
            .plan
            .withheld
            .keys()
            .filter(|vip| !self.vips.contains_key(vip));
        let mut known: Vec<_> = self.vips.keys().chain(silent).copied().collect();
        known.sort_unstable();
        known.into_iter().map(|vip| self.view(vip))
    }

    /// One VIP as this node sees it.
    pub fn view(&self, vip: IpAddr) -> VipView {
        let state = self.vips.get(&vip);
        let owner = state.and_then(|state| state.owner.as_ref());
        VipView {
            vip,
            owner: owner.map(|owner| owner.node.clone()),
            epoch: owner.map_or(0, |owner| owner.epoch.0),
            floor: state.map_or(0, |state| state.floor.0),
            withheld: self.plan.withheld.get(&vip).copied(),
        }
    }

    /// What this node has to see to in the status of a claim whose status names this owner now.
    ///
    /// Claims without holders are asked for too: that is how a withdrawal is completed.
    pub fn duty(&self, vip: IpAddr, status_owner: Option<&NodeName>) -> Option<Duty> {
        if let Some(tenure) = self.tenures.get(&vip) {
            return (!self.is_outdone(vip)).then(|| Duty::Own {
                epoch: tenure.epoch.0,
                reason: tenure.reason,
                from: tenure.from.clone(),
                interfaces: tenure.interfaces.clone(),
            });
        }
        let named = status_owner?;
        let state = self.vips.get(&vip);
        let is_owned = state.is_some_and(|state| state.owner.is_some());
        let is_abandoned = state.is_none_or(|state| state.is_abandoned && state.defended_until.is_none());
        let is_lowest = self.live().all(|(node, _)| self.node < *node);
        let is_released = self
            .table
            .get(vip)
            .is_some_and(|entry| entry.standing.is_released());
        let must_clear = if *named == self.node {
            is_released || is_abandoned
        } else {
            is_abandoned && is_lowest && !self.is_live(named)
        };
        (must_clear && !is_owned && self.start.is_synced()).then(|| Duty::Clear {
            epoch: self.status_epoch(vip).max(state.map_or(0, |state| state.floor.0)),
        })
    }

    fn status_epoch(&self, vip: IpAddr) -> u64 {
        self.facts.claims.get(&vip).map_or(0, |claim| claim.status_epoch)
    }

    /// The live members, this node included, by name.
    pub fn live_members(&self) -> BTreeSet<NodeName> {
        self.live()
            .map(|(node, _)| node)
            .chain([&self.node])
            .cloned()
            .collect()
    }
}
