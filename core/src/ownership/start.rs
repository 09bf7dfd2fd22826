//! Decides when a new boot knows enough to answer and to take.
//!
//! Nothing is persisted, so a restarted speaker knows neither who owns what nor how high epochs
//! had risen. It waits for the tables and floors of all live members: for 1 s at most once it has
//! met a member that is ready. If it meets none, the whole cluster starts, and it waits until the
//! speaker of every Ready node knows the facts, for 3 s at most: so that they begin together and
//! share the VIPs out, instead of the quickest one taking all.
//!
//! A node to which an interface comes back on which it announces begins anew too, since it may have
//! been cut off: what it held of the others is old then, and whoever it lost it has only just begun
//! to look for.

use super::Ownership;
use super::message::{Profile, Stage};
use crate::node::NodeName;
use crate::time::Time;

/// How far the start of this boot has come.
#[derive(Debug, Default)]
pub(super) struct Start {
    is_synced: bool,
    /// Since when the facts are complete: nobody can be met before Nodes are known.
    facts_since: Option<Time>,
    /// Since when a member is known that is ready.
    ready_member_since: Option<Time>,
    /// Until when members that still sync count as candidates: they are about to end a cold start
    /// too.
    begins_until: Option<Time>,
}

// === impl Start ===

impl Start {
    pub(super) const fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Whether the start is only just over.
    pub(super) fn is_beginning(&self, now: Time) -> bool {
        self.begins_until.is_some_and(|until| now < until)
    }
}

// === impl Ownership ===

impl Ownership {
    /// Whether this node answers and takes: its start is over.
    pub const fn is_synced(&self) -> bool {
        self.start.is_synced()
    }

    /// The nodes whose speakers this one is still waiting for: for `/readyz`.
    pub fn awaited(&self) -> Vec<NodeName> {
        if self.start.is_synced {
            return Vec::new();
        }
        let ready = self
            .facts
            .nodes
            .iter()
            .filter(|(_, facts)| facts.ready)
            .map(|(node, _)| node);
        let live = self.live().map(|(node, _)| node);
        let mut awaited: Vec<_> = ready
            .chain(live)
            .filter(|node| **node != self.node && !self.is_held(node))
            .cloned()
            .collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    pub(super) fn check_start(&mut self, now: Time) {
        if self.start.is_synced || !self.facts.complete {
            return;
        }
        self.start.facts_since.get_or_insert(now);
        if self
            .live()
            .any(|(_, member)| member.profile_in(Stage::Ready).is_some())
        {
            self.start.ready_member_since.get_or_insert(now);
        }
        let is_over = self.start_deadline().is_some_and(|deadline| deadline <= now);
        if is_over || self.awaited().is_empty() {
            self.start.is_synced = true;
            self.start.begins_until = Some(now + self.timing.sync);
            self.is_order_stale = true;
            self.refresh_profile();
            self.dirty.extend(self.facts.claims.keys());
        }
    }

    /// Begins anew when an interface has come back. What is still owned goes on being answered: others
    /// have taken it only if the interface was away for long, and then say so.
    pub(super) fn start_anew(&mut self, now: Time) {
        self.start = Start::default();
        for member in self.members.values_mut().filter(|member| member.is_live) {
            member.inbound.forget_advertised(now);
        }
    }

    /// When the start ends whatever is missing.
    pub(super) fn start_deadline(&self) -> Option<Time> {
        if self.start.is_synced {
            return None;
        }
        let cold = self.start.facts_since? + self.timing.cold_start;
        let warm = self
            .start
            .ready_member_since
            .map(|since| since + self.timing.sync);
        Some(warm.map_or(cold, |warm| warm.min(cold)))
    }

    /// Whether everything that a node published is held; in a cold start, whether it knows the
    /// facts too.
    fn is_held(&self, node: &NodeName) -> bool {
        let is_cold = self.start.ready_member_since.is_none();
        let is_far = |profile: &Profile| !is_cold || profile.stage != Stage::Starting;
        self.members.get(node).is_some_and(|member| {
            let inbound = &member.inbound;
            member.is_live
                && inbound.behind_since.is_none()
                && inbound.floors.is_done
                && inbound.profile.as_ref().is_some_and(is_far)
        })
    }
}
