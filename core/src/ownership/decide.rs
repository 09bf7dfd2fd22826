//! Looks at one VIP anew: who owns it, what this node has to do about it, and what it answers.

use std::net::IpAddr;

use super::Ownership;
use crate::candidate::Judge;
use crate::node::NodeName;
use crate::plan::Announcement;
use crate::reason::{MoveReason, Withheld};
use crate::record::Record;
use crate::table::Standing;
use crate::time::Time;

// === impl Ownership ===

impl Ownership {
    pub(super) fn decide(&mut self, now: Time, vip: IpAddr) {
        let greatest = self.greatest(vip);
        match &greatest {
            Some(record) if record.node == self.node => self.keep(now, vip),
            Some(record) if self.tenures.contains_key(&vip) => self.fall_silent(vip, &record.clone()),
            Some(_) | None => {}
        }
        // Keeping may have ended in giving up.
        let owner = self.greatest(vip);
        self.note_owner(now, vip, owner.as_ref());
        if owner.is_none() && self.facts.claims.contains_key(&vip) {
            self.note_orphan(now, vip);
        } else {
            self.forget_orphan(vip);
        }
        self.answer(vip);
    }

    /// The greatest record of a live member, this one included.
    pub(super) fn greatest(&self, vip: IpAddr) -> Option<Record> {
        let holders = self.vips.get(&vip).into_iter().flat_map(|state| &state.holders);
        let others = holders.filter_map(|node| self.record_of(vip, node));
        let own = self.tenures.get(&vip).map(|tenure| Record {
            epoch: tenure.epoch,
            slot: tenure.slot,
            node: self.node.clone(),
        });
        others.chain(own).max_by(|one, other| one.compare(other, vip))
    }

    /// What another member's table says about its ownership of a VIP.
    pub(super) fn record_of(&self, vip: IpAddr, node: &NodeName) -> Option<Record> {
        let entry = self.members.get(node)?.inbound.replica.get(vip)?;
        match entry.standing {
            Standing::Held { slot } => Some(Record {
                epoch: entry.epoch,
                slot,
                node: node.clone(),
            }),
            Standing::Released { .. } | Standing::Silent => None,
        }
    }

    fn note_owner(&mut self, now: Time, vip: IpAddr, owner: Option<&Record>) {
        let Some(state) = self.vips.get_mut(&vip) else {
            return;
        };
        if state.owner.as_ref() != owner {
            state.owner = owner.cloned();
            self.revision += 1;
        }
        let Some(owner) = owner else {
            self.note_abandoned(now, vip);
            return;
        };
        state.unowned_since = None;
        state.is_abandoned = false;
        state.was_named = false;
        state.was_cleared = false;
        state.defended_until = None;
        if owner.epoch < state.floor {
            self.unexplained.insert(vip);
        }
    }

    /// Finds out whether a VIP without owner is to be cleared from its claim's status.
    fn note_abandoned(&mut self, now: Time, vip: IpAddr) {
        let claim = self.facts.claims.get(&vip);
        let named = claim.map(|claim| claim.status_owner.is_some());
        let Some(state) = self.vips.get_mut(&vip) else {
            return;
        };
        let before = (state.is_abandoned, state.defended_until);
        let abandoned_at = *state.unowned_since.get_or_insert(now) + self.timing.abandon;
        state.is_abandoned = abandoned_at <= now;
        if named == Some(false) {
            state.was_cleared = state.is_abandoned && state.was_named;
            state.defended_until = None;
        } else if state.defended_until.is_some_and(|until| until <= now) {
            state.was_named = false;
            state.was_cleared = false;
            state.defended_until = None;
        } else if state.was_cleared && named == Some(true) {
            state.defended_until.get_or_insert(now + self.timing.defended);
        }
        state.was_named |= named == Some(true);
        if (state.is_abandoned, state.defended_until) != before {
            self.revision += 1;
        }
        let wakes = [Some(abandoned_at), state.defended_until];
        let wakes = wakes.into_iter().flatten().filter(|at| *at > now);
        self.agenda.extend(wakes.map(|at| (at, vip)));
    }

    /// Why this node is no candidate for a VIP, or where it would answer.
    pub(super) fn judge_self(
        &self,
        vip: IpAddr,
    ) -> Result<std::collections::BTreeSet<crate::interface::IfIndex>, Withheld> {
        if self.drain.is_some() {
            return Err(Withheld::Draining);
        }
        self.judge().interfaces_of(vip, &self.node, self.facts.links())
    }

    /// Who may own a VIP by the facts and by who is live.
    pub(super) fn judge(&self) -> Judge<'_, impl Fn(&NodeName) -> bool> {
        Judge::new(&self.facts, |node| self.is_live(node))
    }

    /// Looks after a VIP that this node owns.
    fn keep(&mut self, now: Time, vip: IpAddr) {
        let Some(claim) = self.facts.claims.get(&vip) else {
            self.release(vip, MoveReason::Gone);
            return;
        };
        if let Some(tenure) = self.tenures.get_mut(&vip) {
            tenure.claim_version = claim.version;
        }
        self.refute_rivals(vip);
        self.expire_offer(now, vip);
        self.rise_above_floor(now, vip);

        let verdict = self.judge_self(vip);
        let usable = &self.facts.interfaces;
        let Some(tenure) = self.tenures.get_mut(&vip) else {
            return;
        };
        match verdict {
            Ok(interfaces) => {
                tenure.interfaces = interfaces;
                tenure.tried.clear();
            }
            Err(withheld) => {
                // It goes on answering until it is taken, where that is still possible.
                tenure
                    .interfaces
                    .retain(|index| usable.iter().any(|interface| interface.index == *index));
                let stays = withheld == Withheld::InvalidSelector && !tenure.interfaces.is_empty();
                if !stays && !self.handovers.contains_key(&vip) {
                    self.leaving.insert(vip, reason_of(withheld));
                }
            }
        }
    }

    /// Brings the plan up to date for one VIP.
    fn answer(&mut self, vip: IpAddr) {
        let announcement = self
            .tenures
            .get(&vip)
            .filter(|tenure| !tenure.interfaces.is_empty())
            .map(|tenure| Announcement {
                interfaces: tenure.interfaces.clone(),
                burst: tenure.burst,
                epoch: tenure.epoch.0,
                reason: tenure.reason,
                from: tenure.from.clone(),
            });
        let withheld = match announcement {
            Some(_) => None,
            None => self.withheld(vip),
        };
        let announcements = &mut self.plan.announcements;
        if announcements.get(&vip) != announcement.as_ref()
            || self.plan.withheld.get(&vip) != withheld.as_ref()
        {
            match announcement {
                Some(announcement) => announcements.insert(vip, announcement),
                None => announcements.remove(&vip),
            };
            match withheld {
                Some(withheld) => self.plan.withheld.insert(vip, withheld),
                None => self.plan.withheld.remove(&vip),
            };
            self.plan_revision += 1;
            self.revision += 1;
        }
    }

    /// Why this node is silent about a VIP; `None` when there is no claim for it.
    fn withheld(&self, vip: IpAddr) -> Option<Withheld> {
        let claim = self.facts.claims.get(&vip)?;
        if !self.start.is_synced() {
            return Some(Withheld::NotSynced);
        }
        if let Err(withheld) = self.judge_self(vip) {
            return Some(withheld);
        }
        let state = self.vips.get(&vip);
        Some(if state.is_some_and(|state| state.owner.is_some()) {
            Withheld::OtherOwner
        } else if state.is_some_and(|state| state.is_outdated(claim.version)) {
            Withheld::ViewOutdated
        } else {
            Withheld::Waiting
        })
    }
}

/// The reason for which an owner that is no candidate gives a VIP away.
const fn reason_of(withheld: Withheld) -> MoveReason {
    match withheld {
        Withheld::Draining => MoveReason::Leave,
        Withheld::NodeExcluded => MoveReason::Drain,
        Withheld::NoHolder => MoveReason::Gone,
        Withheld::NoAdvertisement
        | Withheld::NodeNotSelected
        | Withheld::InvalidSelector
        | Withheld::NodeUnknown
        | Withheld::NetworkUnavailable
        | Withheld::NoInterface
        | Withheld::NoLocalEndpoint
        | Withheld::NotSynced
        | Withheld::ViewOutdated
        | Withheld::Waiting
        | Withheld::OtherOwner => MoveReason::Ineligible,
    }
}
