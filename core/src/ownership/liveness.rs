//! Decides which members are live, and what follows when that changes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::member::{Inbound, Member, Outbound};
use super::{Lost, Ownership};
use crate::facts::HolderFacts;
use crate::node::{Boot, NodeName};
use crate::reason::MoveReason;
use crate::service::TrafficPolicy;
use crate::table::Version;
use crate::time::Time;

// === impl Ownership ===

impl Ownership {
    /// The live members, without this node.
    pub(super) fn live(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_live)
    }

    /// Whether a member counts as live here.
    pub fn is_live(&self, node: &NodeName) -> bool {
        *node == self.node || self.members.get(node).is_some_and(|member| member.is_live)
    }

    pub(super) fn note_up(&mut self, now: Time, node: &NodeName, boot: Boot) {
        let Some(member) = self.meet(node, boot) else {
            return;
        };
        let was_only_heard = member.is_live && !member.is_up;
        member.is_up = true;
        self.review(now, node, MoveReason::NodeDown);
        if was_only_heard {
            // What was said to it so far may not have been sent: membership knew no way to it.
            self.greet(now, node);
        }
    }

    pub(super) fn note_down(&mut self, now: Time, node: &NodeName, boot: Boot) {
        if let Some(member) = self.members.get_mut(node)
            && member.boot <= boot
        {
            member.is_up = false;
            self.review(now, node, MoveReason::NodeDown);
        }
    }

    /// Notes a message of a member. `false`: it is of no use.
    pub(super) fn note_heard(&mut self, now: Time, node: &NodeName, boot: Boot) -> bool {
        let Some(member) = self.meet(node, boot) else {
            return false;
        };
        if member.has_left {
            return false;
        }
        member.heard = Some(now);
        self.review(now, node, MoveReason::NodeDown);
        true
    }

    pub(super) fn note_leave(&mut self, now: Time, node: &NodeName, table: Version) {
        let Some(member) = self.members.get_mut(node) else {
            return;
        };
        member.has_left = true;
        // What it gave away last may not be known here: then others are asked before it is taken.
        let is_behind = member.inbound.replica.version() < table;
        let vips: Vec<_> = member.inbound.replica.vips().collect();
        self.review(now, node, MoveReason::Leave);
        for vip in vips.into_iter().filter(|_| is_behind) {
            let lost = self.vips.get_mut(&vip).and_then(|state| state.lost.as_mut());
            if let Some(lost) = lost.filter(|lost| lost.node.as_ref() == Some(node)) {
                lost.is_superseded = true;
            }
        }
    }

    /// Ends the liveness of members that were only heard, and not lately.
    pub(super) fn expire_liveness(&mut self, now: Time) {
        let heard_for = self.timing.heard;
        let silent: Vec<_> = self
            .live()
            .filter(|(_, member)| !member.counts_as_live(now, heard_for))
            .map(|(node, _)| node.clone())
            .collect();
        for node in silent {
            self.review(now, &node, MoveReason::NodeDown);
        }
    }

    pub(super) fn liveness_deadline(&self) -> Option<Time> {
        self.members
            .values()
            .filter_map(|member| member.live_until(self.timing.heard))
            .min()
    }

    /// The member of this name with this boot; a newer boot voids all that the older one said.
    /// `None` for this node itself and for outdated boots.
    fn meet(&mut self, node: &NodeName, boot: Boot) -> Option<&mut Member> {
        if *node == self.node {
            return None;
        }
        let known = self.members.get(node).map(|member| member.boot);
        if known.is_some_and(|known| known > boot) {
            return None;
        }
        if known.is_some_and(|known| known < boot) {
            self.end(node, MoveReason::NodeDown);
            self.members.insert(node.clone(), Member::new(boot));
            self.is_order_stale = true;
        }
        Some(
            self.members
                .entry(node.clone())
                .or_insert_with(|| Member::new(boot)),
        )
    }

    /// Brings `is_live` up to date.
    fn review(&mut self, now: Time, node: &NodeName, reason: MoveReason) {
        let heard_for = self.timing.heard;
        let Some(member) = self.members.get_mut(node) else {
            return;
        };
        let is_live = member.counts_as_live(now, heard_for);
        if is_live == member.is_live {
            return;
        }
        if is_live {
            member.is_live = true;
            member.inbound = Inbound {
                behind_since: Some(now),
                ..Inbound::default()
            };
            member.outbound = Outbound::default();
            self.is_order_stale = true;
            self.allow_raises();
            // A status may be written over the name of a member that can be heard.
            self.revision += 1;
            self.review_hosted(node);
            self.greet(now, node);
        } else {
            self.end(node, reason);
        }
    }

    /// Drops what a member published: what it owned has lost its owner.
    fn end(&mut self, node: &NodeName, reason: MoveReason) {
        let Some(member) = self.members.get_mut(node) else {
            return;
        };
        member.is_live = false;
        let inbound = std::mem::take(&mut member.inbound);
        member.outbound = Outbound::default();
        let records: BTreeMap<_, _> = inbound
            .replica
            .vips()
            .filter_map(|vip| Some((vip, inbound.replica.get(vip)?.epoch)))
            .collect();
        for (vip, epoch) in records {
            let state = self.vips.entry(vip).or_default();
            state.holders.remove(node);
            state.note_lost(Lost {
                epoch,
                node: Some(node.clone()),
                reason,
                is_superseded: false,
            });
            self.dirty.insert(vip);
        }
        let offered = self
            .handovers
            .iter()
            .filter(|(_, handover)| handover.target() == node);
        self.dirty.extend(offered.map(|(vip, _)| *vip));
        self.allow_raises();
        self.is_order_stale = true;
        self.revision += 1;
    }

    /// Looks anew at the VIPs of policy Local that a member hosts an endpoint for: now that it is
    /// live, owners that host none are no candidates any more. When it ends nothing is owned by less
    /// of a candidate than before.
    fn review_hosted(&mut self, node: &NodeName) {
        let facts = &self.facts;
        let is_hosted = |vip: IpAddr, holder: &HolderFacts| {
            let hosts = facts.hosts_of(&holder.service, vip);
            holder.traffic_policy == TrafficPolicy::Local && hosts.is_some_and(|hosts| hosts.contains(node))
        };
        let hosted = facts
            .claims
            .iter()
            .filter(|(vip, claim)| claim.holders.iter().any(|holder| is_hosted(**vip, holder)));
        self.dirty.extend(hosted.map(|(vip, _)| *vip));
    }
}

// === impl VipState ===

impl super::VipState {
    /// Remembers who lost the VIP last: the one with the highest epoch. Of the same epoch are a record
    /// and the silence before it: then it is known whose record it was.
    pub(super) fn note_lost(&mut self, lost: Lost) {
        let is_older =
            |known: &Lost| lost.epoch < known.epoch || lost.epoch == known.epoch && lost.node.is_none();
        if !self.lost.as_ref().is_some_and(is_older) {
            self.lost = Some(lost);
        }
    }
}
