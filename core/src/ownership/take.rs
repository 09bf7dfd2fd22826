//! Takes VIPs that no live member owns: who is first, how long others wait, and what must be known
//! before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::message::Stage;
use super::{Move, Ownership, Tenure, VipState};
use crate::facts::ClaimFacts;
use crate::node::NodeName;
use crate::rank::Load;
use crate::reason::MoveReason;
use crate::record::{Epoch, LAST_SLOT};
use crate::service::TrafficPolicy;
use crate::table::Standing;
use crate::time::Time;

/// A VIP with a claim that no live member owns.
#[derive(Debug)]
pub(super) struct Orphan {
    /// Since when it is known to be one.
    since: Time,
    /// A record that is not known here may stand: it is waited for.
    is_superseded: bool,
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
        if is_new && (is_superseded || self.awaits_endpoints(vip)) {
            self.agenda.insert((now + self.timing.sync, vip));
        }
        let orphan = self.orphans.entry(vip).or_insert(Orphan {
            since: now,
            is_superseded,
            place: None,
            first: None,
        });
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
            self.take_orphan(now, vip);
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
    ///
    /// What was taken a moment ago is counted where the walk comes to it, and not beforehand: so a
    /// member that walks a little later than others comes to the same answer as they did.
    fn place_orphans(&mut self, now: Time) {
        self.recent.retain(|_, taken| now < *taken + self.timing.wave());
        let mut load = self.load();
        for vip in self.recent.keys() {
            if let Some(owner) = self.owner_of(*vip) {
                load.remove(owner);
            }
        }
        let walked: BTreeSet<_> = self.orphans.keys().chain(self.recent.keys()).copied().collect();
        for vip in walked {
            if self.unplaced.contains(&vip) {
                self.place(now, vip, &load);
            }
            let expected = self.orphans.get(&vip).and_then(|orphan| orphan.first.as_ref());
            if let Some(node) = expected.or_else(|| self.owner_of(vip)) {
                load.add(node, 1);
            }
        }
    }

    /// Finds this node's place among the candidates of one orphan.
    fn place(&mut self, now: Time, vip: IpAddr, load: &Load) {
        if self.must_wait(now, vip) {
            return;
        }
        self.unplaced.remove(&vip);
        let rank = load.rank(vip, &self.candidates(now, vip), &self.node);
        let Some(orphan) = self.orphans.get_mut(&vip) else {
            return;
        };
        orphan.is_superseded = false;
        let since = orphan.place.map_or(now, |place| place.since);
        let place = rank.as_ref().and_then(|rank| rank.place).map(|place| Place {
            slot: u8::try_from(place).unwrap_or(LAST_SLOT).min(LAST_SLOT),
            since,
        });
        orphan.first = rank.map(|rank| rank.first);
        orphan.place = place;
        match place.map(|place| place.due(self.timing.slot)) {
            Some(due) if due <= now => {
                self.ripe.insert(vip);
            }
            Some(due) => {
                self.agenda.insert((due, vip));
            }
            None => {}
        }
    }

    /// Whether something that decides about an orphan is about to be known, for a second at most.
    fn must_wait(&self, now: Time, vip: IpAddr) -> bool {
        let Some(orphan) = self.orphans.get(&vip) else {
            return false;
        };
        if now >= orphan.since + self.timing.sync || orphan.place.is_some() {
            return false;
        }
        let lost = self.vips.get(&vip).and_then(|state| state.lost.as_ref());
        // Who fell silent heard a greater record; who stated it may be about to be met here too.
        let can_be_asked = lost.is_some_and(|lost| lost.node.is_some());
        let awaits_record = orphan.is_superseded && !(can_be_asked && self.has_heard_all(orphan.since));
        awaits_record || self.awaits_endpoints(vip)
    }

    /// Whether a new VIP is of policy Local and Kubernetes has yet to list its endpoints, as it does
    /// for every Service with a selector, also if it finds none.
    fn awaits_endpoints(&self, vip: IpAddr) -> bool {
        let is_old = self.vips.get(&vip).is_some_and(|state| state.floor > Epoch::NONE);
        let claim = self.facts.claims.get(&vip);
        let claim = claim.filter(|claim| claim.status_epoch == 0 && !is_old);
        claim.is_some_and(|claim| {
            let mut local = claim
                .holders
                .iter()
                .filter(|holder| holder.traffic_policy == TrafficPolicy::Local);
            local.any(|holder| self.facts.hosts_of(&holder.service, vip).is_none())
        })
    }

    /// The live member that owned a VIP when it was looked at last.
    fn owner_of(&self, vip: IpAddr) -> Option<&NodeName> {
        let owner = self.vips.get(&vip)?.owner.as_ref()?;
        Some(&owner.node)
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
    fn candidates(&self, now: Time, vip: IpAddr) -> Vec<&NodeName> {
        let mut candidates = self.other_candidates(vip, Stage::Ready);
        if self.start.is_beginning(now) {
            candidates.extend(self.other_candidates(vip, Stage::Syncing));
        }
        if self.judge_self(vip).is_ok() {
            candidates.push(&self.node);
        }
        candidates
    }

    /// The other members in a stage that seem to be candidates for a VIP.
    pub(super) fn other_candidates(&self, vip: IpAddr, stage: Stage) -> Vec<&NodeName> {
        let judge = self.judge();
        self.live()
            .filter(|(node, member)| {
                member
                    .profile_in(stage)
                    .is_some_and(|profile| judge.interfaces_of(vip, node, profile.links()).is_ok())
            })
            .map(|(node, _)| node)
            .collect()
    }

    fn take_orphan(&mut self, now: Time, vip: IpAddr) {
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
        let status_epoch = Epoch(claim.status_epoch);
        let (from, reason) = self.last_owner(vip, claim);
        let floor = self.vips.get(&vip).map_or(Epoch::NONE, |state| state.floor);
        let take = Take {
            epoch: floor.max(status_epoch).next(),
            slot,
            reason,
            from,
        };
        self.take(now, vip, take);
    }

    /// Who owned an orphan last, as far as that is known, and why nobody does now.
    fn last_owner(&self, vip: IpAddr, claim: &ClaimFacts) -> (Option<NodeName>, MoveReason) {
        let lost = self.vips.get(&vip).and_then(|state| state.lost.as_ref());
        if let Some(lost) = lost.filter(|lost| lost.reason != MoveReason::Gone) {
            return (lost.node.clone(), lost.reason);
        }
        // A live member that does not own it is not Down: its speaker has started anew, or it gave the
        // VIP up when the claim was gone.
        match &claim.status_owner {
            Some(named) if !self.is_live(named) => (Some(named.clone()), MoveReason::NodeDown),
            named => (named.clone(), MoveReason::Unowned),
        }
    }

    /// Becomes the owner of a VIP, if this node is a candidate. `false`: it is none.
    pub(super) fn take(&mut self, now: Time, vip: IpAddr, take: Take) -> bool {
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
                refuted: BTreeMap::new(),
                raises: 0,
                outdone_since: None,
                raise_after: Time::ZERO,
                tried: BTreeSet::new(),
            },
        );
        self.recent.insert(vip, now);
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
