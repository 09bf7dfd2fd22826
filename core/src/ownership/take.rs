//! Takes VIPs that no live member owns: who is first, how long others wait, and what must be known
//! before.

use std::net::IpAddr;
use std::time::Duration;

use super::{Move, Ownership, Tenure, VipState};
use crate::candidate::Judge;
use crate::node::NodeName;
use crate::rank::Load;
use crate::reason::MoveReason;
use crate::record::{Epoch, LAST_SLOT};
use crate::table::Standing;
use crate::time::Time;

/// A VIP with a claim that no live member owns.
#[derive(Debug, Default)]
pub(super) struct Orphan {
    /// A record that is not known here may stand: since when it is waited for.
    superseded_since: Option<Time>,
    /// The place of this node among the candidates; `None` while it is none.
    place: Option<Place>,
    /// Who is expected to take it.
    first: Option<NodeName>,
}

/// This node's turn to take an orphan.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: u8,
    /// Since when it is a candidate for it.
    since: Time,
}

/// How a VIP is taken.
#[derive(Debug)]
pub(super) struct Take {
    pub(super) epoch: Epoch,
    pub(super) slot: u8,
    pub(super) reason: MoveReason,
    pub(super) from: Option<NodeName>,
}

// === impl Ownership ===

impl Ownership {
    /// Notes that nobody owns a VIP that has a claim.
    pub(super) fn note_orphan(&mut self, now: Time, vip: IpAddr) {
        let state = self.vips.entry(vip).or_default();
        let version = self.facts.claims.get(&vip).map_or(0, |claim| claim.version);
        if state.is_outdated(version) {
            self.forget_orphan(vip);
            return;
        }
        let is_superseded = state.lost.as_ref().is_some_and(|lost| lost.is_superseded);
        let is_new = !self.orphans.contains_key(&vip);
        let orphan = self.orphans.entry(vip).or_default();
        if is_new {
            orphan.superseded_since = is_superseded.then_some(now);
            if is_superseded {
                self.agenda.insert((now + self.timing.sync, vip));
            }
        }
        match orphan.place {
            Some(place) if place.due(self.timing.slot) <= now => {
                self.ripe.insert(vip);
            }
            Some(_) => {}
            None => {
                self.unplaced.insert(vip);
            }
        }
    }

    pub(super) fn forget_orphan(&mut self, vip: IpAddr) {
        self.orphans.remove(&vip);
        self.unplaced.remove(&vip);
        self.ripe.remove(&vip);
    }

    /// Finds this node's place for orphans that have none, and takes those whose turn has come.
    pub(super) fn take_orphans(&mut self, now: Time) {
        if !self.start.is_synced() || self.drain.is_some() || self.orphans.is_empty() {
            self.gate_at = None;
            return;
        }
        self.gate_at = self.gate(now);
        if self.gate_at.is_some() {
            return;
        }
        if std::mem::take(&mut self.is_order_stale) {
            self.unplaced.extend(self.orphans.keys());
        }
        if !self.unplaced.is_empty() {
            self.place_orphans(now);
        }
        while let Some(vip) = self.ripe.pop_first() {
            self.take_orphan(vip);
        }
    }

    /// Until when tables of live members are waited for; `None` when all are held.
    fn gate(&self, now: Time) -> Option<Time> {
        self.live()
            .filter_map(|(_, member)| member.inbound.behind_since)
            .map(|since| since + self.timing.sync)
            .filter(|until| *until > now)
            .min()
    }

    /// Whether every live member has said what it owns since then.
    fn has_heard_all(&self, since: Time) -> bool {
        self.live()
            .all(|(_, member)| member.inbound.digest_heard.is_some_and(|heard| heard > since))
    }

    /// The walk: in address order, each counted for its first candidate before the next.
    fn place_orphans(&mut self, now: Time) {
        let mut load = self.load();
        let expected = self
            .orphans
            .iter()
            .filter(|(vip, _)| !self.unplaced.contains(vip));
        for first in expected.filter_map(|(_, orphan)| orphan.first.as_ref()) {
            load.add(first, 1);
        }
        for vip in std::mem::take(&mut self.unplaced) {
            let waits = self
                .orphans
                .get(&vip)
                .and_then(|orphan| orphan.superseded_since)
                .is_some_and(|since| now < since + self.timing.sync && !self.has_heard_all(since));
            if waits {
                self.unplaced.insert(vip);
                continue;
            }
            let rank = load.rank(vip, &self.candidates(vip), &self.node);
            let Some(orphan) = self.orphans.get_mut(&vip) else {
                continue;
            };
            orphan.superseded_since = None;
            orphan.first = rank.as_ref().map(|rank| rank.first.clone());
            if let Some(first) = &orphan.first {
                load.add(first, 1);
            }
            let since = orphan.place.map_or(now, |place| place.since);
            orphan.place = rank.and_then(|rank| rank.place).map(|place| Place {
                slot: u8::try_from(place).unwrap_or(LAST_SLOT).min(LAST_SLOT),
                since,
            });
            match orphan.place.map(|place| place.due(self.timing.slot)) {
                Some(due) if due <= now => {
                    self.ripe.insert(vip);
                }
                Some(due) => {
                    self.agenda.insert((due, vip));
                }
                None => {}
            }
        }
    }

    /// How many VIPs each live member holds.
    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        load.add(&self.node, self.table.held());
        for (node, member) in self.live() {
            load.add(node, member.inbound.replica.held());
        }
        load
    }

    /// The candidates for a VIP as this node sees them, itself included.
    fn candidates(&self, vip: IpAddr) -> Vec<&NodeName> {
        let others = self.other_candidates(vip);
        let own = self.judge_self(vip).is_ok().then_some(&self.node);
        others.into_iter().chain(own).collect()
    }

    /// The other members that seem to be candidates for a VIP.
    pub(super) fn other_candidates(&self, vip: IpAddr) -> Vec<&NodeName> {
        let judge = Judge::new(&self.facts);
        self.live()
            .filter(|(node, member)| {
                member
                    .willing_profile()
                    .is_some_and(|profile| judge.interfaces_of(vip, node, &profile.interfaces).is_ok())
            })
            .map(|(node, _)| node)
            .collect()
    }

    fn take_orphan(&mut self, vip: IpAddr) {
        let Some(slot) = self
            .orphans
            .get(&vip)
            .and_then(|orphan| orphan.place)
            .map(|place| place.slot)
        else {
            return;
        };
        let Some(claim) = self.facts.claims.get(&vip) else {
            return;
        };
        let state = self.vips.entry(vip).or_default();
        let lost = state
            .lost
            .as_ref()
            .filter(|lost| lost.reason != MoveReason::Gone)
            .map(|lost| (lost.node.clone(), lost.reason))
            .or_else(|| Some((claim.status_owner.clone()?, MoveReason::NodeDown)));
        let (from, reason) = lost.map_or((None, MoveReason::Unowned), |(from, reason)| (Some(from), reason));
        let take = Take {
            epoch: state.floor.max(Epoch(claim.status_epoch)).next(),
            slot,
            reason,
            from,
        };
        self.take(vip, take);
    }

    /// Becomes the owner of a VIP, if this node is a candidate. `false`: it is none.
    pub(super) fn take(&mut self, vip: IpAddr, take: Take) -> bool {
        let Ok(interfaces) = self.judge_self(vip) else {
            return false;
        };
        let Take {
            epoch,
            slot,
            reason,
            from,
        } = take;
        let burst = self.next_burst();
        self.tenures.insert(
            vip,
            Tenure {
                epoch,
                slot,
                reason,
                from: from.clone(),
                interfaces,
                burst,
                claim_version: 0,
                refuted: std::collections::BTreeMap::new(),
                has_answered_status: false,
                raise_after: Time::ZERO,
                tried: std::collections::BTreeSet::new(),
            },
        );
        self.state(vip, epoch, Standing::Held { slot });
        self.report(Move {
            vip,
            epoch,
            reason,
            from,
            to: Some(self.node.clone()),
        });
        true
    }
}

// === impl Place ===

impl Place {
    /// When this node's turn comes.
    fn due(self, slot: Duration) -> Time {
        self.since + slot * u32::from(self.slot)
    }
}

// === impl VipState ===

impl VipState {
    /// Whether a claim is known to have been gone in a view newer than this version of it.
    pub(super) const fn is_outdated(&self, claim_version: u64) -> bool {
        claim_version <= self.gone_version && self.gone_version > 0
    }
}
