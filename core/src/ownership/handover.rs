//! Planned moves, make before break: the owner offers, goes on answering until the target has
//! taken, and rises above its own offer when nobody did.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::message::{Message, OFFERS_PER_MESSAGE, Offer, Refusal, Stage};
use super::take::Take;
use super::{Effect, Lost, Move, Ownership};
use crate::node::NodeName;
use crate::reason::MoveReason;
use crate::record::{Epoch, Record};
use crate::table::Standing;
use crate::time::Time;

/// How many members are asked before a VIP is given up for anybody to take: each that does not
/// take it costs two epochs, and that many refusals mean that the own view is wrong.
const TRIES: usize = 3;

/// One offer that is under way.
#[derive(Debug)]
pub(super) struct Handover {
    target: NodeName,
    epoch: Epoch,
    reason: MoveReason,
    deadline: Time,
}

// === impl Ownership ===

impl Ownership {
    /// Offers what must leave this node to the next candidate each; what has none is released.
    pub(super) fn start_handovers(&mut self, now: Time) {
        let leaving = std::mem::take(&mut self.leaving);
        if leaving.is_empty() {
            return;
        }
        let mut load = self.load();
        for handover in self.handovers.values() {
            load.add(&handover.target, 1);
        }
        for (vip, reason) in leaving {
            let Some(tenure) = self.tenures.get(&vip) else {
                continue;
            };
            let mut candidates = self.other_candidates(vip, Stage::Ready);
            candidates.retain(|node| !tenure.tried.contains(*node));
            let target = load
                .rank(vip, &candidates, &self.node)
                .filter(|_| tenure.tried.len() < TRIES);
            let Some(target) = target else {
                self.release(vip, reason);
                continue;
            };
            load.add(&target.first, 1);
            let epoch = tenure.epoch.next();
            self.handovers.insert(
                vip,
                Handover {
                    target: target.first,
                    epoch,
                    reason,
                    deadline: now + self.timing.offer,
                },
            );
            self.agenda.insert((now + self.timing.offer, vip));
        }
        self.send_offers(now);
    }

    /// Sends every offer that is under way, and notes when to do it again.
    pub(super) fn send_offers(&mut self, now: Time) {
        let mut by_target: BTreeMap<NodeName, Vec<Offer>> = BTreeMap::new();
        for (vip, handover) in &self.handovers {
            let offer = Offer {
                vip: *vip,
                epoch: handover.epoch,
                reason: handover.reason,
            };
            by_target.entry(handover.target.clone()).or_default().push(offer);
        }
        self.offers_at = (!by_target.is_empty()).then(|| now + self.timing.resend);
        for (target, offers) in by_target {
            for chunk in offers.chunks(OFFERS_PER_MESSAGE) {
                self.send(&target, Message::Offers(chunk.to_vec()));
            }
        }
    }

    /// Takes what another member offers, or refuses.
    pub(super) fn receive_offers(&mut self, now: Time, from: &NodeName, offers: &[Offer]) {
        let mut refusals = Vec::new();
        for Offer { vip, epoch, reason } in offers {
            let is_taken = self.tenures.get(vip).is_some_and(|tenure| tenure.epoch == *epoch);
            if is_taken {
                continue; // A repeated offer: the record is pushed until it is acknowledged.
            }
            let floor = self.vips.get(vip).map_or(Epoch::NONE, |state| state.floor);
            let take = Take {
                epoch: *epoch,
                slot: 0,
                reason: *reason,
                from: Some(from.clone()),
            };
            if *epoch <= floor || !self.start.is_synced() || !self.take(now, *vip, take) {
                refusals.push(Refusal {
                    vip: *vip,
                    epoch: *epoch,
                });
            }
        }
        if !refusals.is_empty() {
            self.send(from, Message::Refusals(refusals));
        }
    }

    pub(super) fn receive_refusals(&mut self, from: &NodeName, refusals: &[Refusal]) {
        for Refusal { vip, epoch } in refusals {
            let is_ours = self
                .handovers
                .get(vip)
                .is_some_and(|handover| handover.target == *from && handover.epoch == *epoch);
            if is_ours {
                self.fail_offer(*vip);
            }
        }
    }

    /// Ends an offer that nobody took in time, or whose target died.
    pub(super) fn expire_offer(&mut self, now: Time, vip: IpAddr) {
        let is_over = self
            .handovers
            .get(&vip)
            .is_some_and(|handover| handover.deadline <= now || !self.is_live(&handover.target));
        if is_over {
            self.fail_offer(vip);
        }
    }

    /// Voids an offer by rising above it. If the VIP must still leave, the next one is asked.
    fn fail_offer(&mut self, vip: IpAddr) {
        let (Some(handover), Some(tenure)) = (self.handovers.remove(&vip), self.tenures.get_mut(&vip)) else {
            return;
        };
        tenure.tried.insert(handover.target);
        self.restate(vip, handover.epoch.next(), MoveReason::OfferFailed);
    }

    /// Gives a VIP up without a new owner.
    pub(super) fn release(&mut self, vip: IpAddr, reason: MoveReason) {
        let Some(tenure) = self.tenures.remove(&vip) else {
            return;
        };
        self.handovers.remove(&vip);
        self.leaving.remove(&vip);
        let claim_version = match reason {
            MoveReason::Gone => tenure.claim_version,
            _ => 0,
        };
        self.state(
            vip,
            tenure.epoch,
            Standing::Released {
                reason,
                claim_version,
            },
        );
        let state = self.vips.entry(vip).or_default();
        state.gone_version = state.gone_version.max(claim_version);
        state.note_lost(Lost {
            epoch: tenure.epoch,
            node: Some(self.node.clone()),
            reason,
            is_superseded: false,
        });
        self.report(Move {
            vip,
            epoch: tenure.epoch,
            reason,
            from: Some(self.node.clone()),
            to: None,
        });
    }

    pub(super) fn report(&mut self, change: Move) {
        self.revision += 1;
        self.effects.push_back(Effect::Moved(change));
    }
}

// === impl Handover ===

impl Handover {
    /// Whether a record is the answer to this offer.
    pub(super) fn is_taken_by(&self, record: &Record) -> bool {
        self.target == record.node && self.epoch == record.epoch
    }

    pub(super) const fn target(&self) -> &NodeName {
        &self.target
    }

    pub(super) const fn reason(&self) -> MoveReason {
        self.reason
    }
}
