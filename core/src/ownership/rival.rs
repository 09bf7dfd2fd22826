//! What an owner does about other records of its VIP: yields to a greater, refutes a smaller, and
//! rises above what is remembered of dead ones.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::message::Message;
use super::{Move, Ownership};
use crate::node::NodeName;
use crate::reason::MoveReason;
use crate::record::{Epoch, Record};
use crate::table::Standing;
use crate::time::Time;

/// After how many doublings the pause between two rises grows no more: about a minute.
const MOST_DOUBLINGS: u32 = 6;

// === impl Ownership ===

impl Ownership {
    /// Yields to a greater record of a live member, at once: it was offered the VIP, or two owners
    /// have met.
    pub(super) fn fall_silent(&mut self, vip: IpAddr, greater: &Record) {
        let handover = self.handovers.remove(&vip);
        let reason = handover
            .filter(|handover| handover.is_taken_by(greater))
            .map_or(MoveReason::Healed, |handover| handover.reason());
        self.tenures.remove(&vip);
        self.leaving.remove(&vip);
        self.state(vip, greater.epoch, Standing::Silent);
        self.report(Move {
            vip,
            epoch: greater.epoch,
            reason,
            from: Some(self.node.clone()),
            to: Some(greater.node.clone()),
        });
    }

    /// Answers smaller records of live members with the own one. Each is answered with a burst
    /// when it is seen, and with another when it is gone: its last frames may have come in between.
    pub(super) fn refute_rivals(&mut self, vip: IpAddr) {
        let rivals: BTreeMap<NodeName, Epoch> = self
            .vips
            .get(&vip)
            .into_iter()
            .flat_map(|state| &state.holders)
            .filter_map(|node| Some((node.clone(), self.record_of(vip, node)?.epoch)))
            .collect();
        let Some(tenure) = self.tenures.get_mut(&vip) else {
            return;
        };
        if tenure.refuted == rivals {
            return;
        }
        let news: Vec<_> = rivals
            .iter()
            .filter(|(node, epoch)| tenure.refuted.get(*node) != Some(*epoch))
            .map(|(node, _)| node.clone())
            .collect();
        tenure.refuted = rivals;
        let burst = self.next_burst();
        if let Some(tenure) = self.tenures.get_mut(&vip) {
            tenure.burst = burst;
        }
        for node in news {
            if let Some(change) = self.table.change_of(vip) {
                self.send(&node, Message::Changes(change));
            }
        }
    }

    /// Raises the own epoch above a higher one that no live record explains: after a second at
    /// first, and half as often each time, until members come or go. An owner that cannot be heard,
    /// but sees the claim's status or is told by others, would answer every rise with one of its own.
    pub(super) fn rise_above_floor(&mut self, now: Time, vip: IpAddr) {
        let status = self.status_floor(now, vip);
        let known = self.vips.get(&vip).map_or(Epoch::NONE, |state| state.floor);
        let Some(tenure) = self.tenures.get_mut(&vip) else {
            return;
        };
        let remembered = Some(known).filter(|floor| tenure.epoch < *floor);
        let Some(floor) = remembered.max(status) else {
            return;
        };
        if now < tenure.raise_after {
            self.agenda.insert((tenure.raise_after, vip));
            return;
        }
        tenure.raise_after = now + self.timing.raise * (1 << tenure.raises.min(MOST_DOUBLINGS));
        tenure.raises += 1;
        self.restate(vip, floor.next(), MoveReason::FloorRaised);
    }

    /// Members have come or gone: what is remembered may have another meaning now.
    pub(super) fn allow_raises(&mut self) {
        for (vip, tenure) in self.tenures.iter_mut().filter(|(_, tenure)| tenure.raises > 0) {
            tenure.raises = 0;
            self.dirty.insert(*vip);
        }
    }

    /// The epoch of the claim's status, once it has outdone the own record for a second: until then
    /// the record behind it may still come by gossip.
    fn status_floor(&mut self, now: Time, vip: IpAddr) -> Option<Epoch> {
        let is_outdone = self.is_outdone(vip);
        let status = Epoch(self.facts.claims.get(&vip)?.status_epoch);
        let tenure = self.tenures.get_mut(&vip)?;
        if !is_outdone {
            tenure.outdone_since = None;
            return None;
        }
        let counts_at = *tenure.outdone_since.get_or_insert(now) + self.timing.raise;
        if now < counts_at {
            self.agenda.insert((counts_at, vip));
            return None;
        }
        Some(status)
    }

    /// Whether the claim's status has a higher epoch than the own record, or the same with the name
    /// of a member that cannot be asked which of the two records is the greater.
    pub(super) fn is_outdone(&self, vip: IpAddr) -> bool {
        let (Some(claim), Some(tenure)) = (self.facts.claims.get(&vip), self.tenures.get(&vip)) else {
            return false;
        };
        let is_strange = |owner: &NodeName| !self.is_live(owner);
        match Epoch(claim.status_epoch).cmp(&tenure.epoch) {
            Ordering::Greater => true,
            Ordering::Equal => claim.status_owner.as_ref().is_some_and(is_strange),
            Ordering::Less => false,
        }
    }

    /// States the ownership of a VIP again at a higher epoch: nothing moves.
    pub(super) fn restate(&mut self, vip: IpAddr, epoch: Epoch, reason: MoveReason) {
        let burst = self.next_burst();
        let Some(tenure) = self.tenures.get_mut(&vip) else {
            return;
        };
        tenure.epoch = epoch;
        tenure.slot = 0;
        tenure.burst = burst;
        // The offered epoch may be known to others; whoever took it must find this one greater.
        self.handovers.remove(&vip);
        self.state(vip, epoch, Standing::Held { slot: 0 });
        self.report(Move {
            vip,
            epoch,
            reason,
            from: Some(self.node.clone()),
            to: Some(self.node.clone()),
        });
    }
}
