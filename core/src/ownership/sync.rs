//! Keeps what members publish the same everywhere: digests, pushes, acknowledgments.
//!
//! A change is pushed to every live member at once and again every 15 ms until acknowledged, a
//! bounded number of times; digests every 100 ms repair whatever is still missing then. A digest is
//! the acknowledgment too: whoever is heard at all tells what there is to be held of it. What a
//! member holds is what it said last: if it says less than before, it has lost it.

use super::message::{BUDGET, Digest, Have, Message, Profile};
use super::{Lost, Ownership};
use crate::node::NodeName;
use crate::reason::MoveReason;
use crate::table::{Changes, Entry, Standing};
use crate::time::Time;

/// How many unacknowledged datagrams of table changes one member is sent: 16 × 1.2 kB fit into
/// any socket's buffer, and a round trip in a LAN is far below the 15 ms after which they are
/// sent again.
const WINDOW: usize = 16;

/// How often the unacknowledged is sent again before it is left to the digests: 300 ms, after
/// which a member that is not Down has had three digests.
const RESENDS: u32 = 20;

// === impl Ownership ===

impl Ownership {
    /// First words to a member that has just become live, or that can be sent to only now: nothing
    /// that was said to it before counts as under way.
    pub(super) fn greet(&mut self, now: Time, node: &NodeName) {
        if let Some(member) = self.members.get_mut(node) {
            member.outbound.rewind();
            member.outbound.resends = 0;
        }
        self.send_digest(node);
        self.push(now, node);
        if !self.start.is_synced() {
            self.ask_floors(now, node);
        }
    }

    pub(super) fn send_digests(&mut self) {
        let nodes: Vec<_> = self.live().map(|(node, _)| node.clone()).collect();
        for node in nodes {
            self.send_digest(&node);
        }
    }

    fn send_digest(&mut self, to: &NodeName) {
        let Some(have) = self.members.get(to).map(super::member::Member::have) else {
            return;
        };
        let digest = Digest {
            profile: self.profile.version,
            table: self.table.version(),
            have,
        };
        self.send(to, Message::Digest(digest));
    }

    pub(super) fn receive_digest(&mut self, now: Time, from: &NodeName, digest: Digest) {
        if let Some(member) = self.members.get_mut(from) {
            let inbound = &mut member.inbound;
            inbound.advertise(now, digest.table);
            inbound.digest_heard = Some(now);
            let have = member.have();
            if have.table < digest.table || have.profile < digest.profile {
                self.send(from, Message::Have(have));
            }
        }
        self.note_have(now, from, digest.have);
    }

    /// A member asks for what it lacks: it hears this one, so that pushing to it has a sense again.
    pub(super) fn receive_have(&mut self, now: Time, from: &NodeName, have: Have) {
        if let Some(member) = self.members.get_mut(from) {
            member.outbound.resends = 0;
        }
        self.note_have(now, from, have);
    }

    fn note_have(&mut self, now: Time, from: &NodeName, have: Have) {
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        if have.boot != self.boot {
            return; // It was published by an earlier run of this speaker.
        }
        let (profile, table) = (self.profile.version, self.table.version());
        let outbound = &mut member.outbound;
        outbound.profile = have.profile.min(profile);
        outbound.table = have.table.min(table);
        outbound.sent = outbound.sent.max(outbound.table);
        while outbound.in_flight.front().is_some_and(|upto| *upto <= have.table) {
            outbound.in_flight.pop_front();
        }
        if outbound.profile == profile && outbound.table == table {
            outbound.resend_at = None;
        } else if outbound.resend_at.is_none() {
            // Nothing is under way, and it is missing something: send it once more.
            outbound.rewind();
            self.push(now, from);
        } else {
            self.push_table(from);
        }
    }

    pub(super) fn receive_profile(&mut self, now: Time, from: &NodeName, profile: Profile) {
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        let inbound = &mut member.inbound;
        if profile.version > inbound.profile_version() {
            inbound.profile = Some(profile);
            inbound.check_behind(now);
            self.is_order_stale = true;
        }
        self.send_digest(from);
    }

    pub(super) fn receive_changes(&mut self, now: Time, from: &NodeName, changes: &Changes) {
        let Some(member) = self.members.get_mut(from) else {
            return;
        };
        // What a member has just taken, as opposed to what is learned of it for the first time.
        let is_recent = member.inbound.behind_since.is_none();
        let news = member.inbound.replica.apply(changes);
        member.inbound.advertise(now, changes.upto);
        for entry in news {
            if is_recent && entry.standing.is_held() {
                self.recent.insert(entry.vip, now);
            }
            self.take_in(from, entry);
        }
        self.send_digest(from);
    }

    /// Takes in what another live member says about one VIP.
    fn take_in(&mut self, from: &NodeName, entry: Entry) {
        let Entry {
            vip, epoch, standing, ..
        } = entry;
        let state = self.vips.entry(vip).or_default();
        state.floor = state.floor.max(epoch);
        let mut lost = |node: Option<NodeName>, reason| {
            state.holders.remove(from);
            state.note_lost(Lost {
                epoch,
                is_superseded: node.is_none(),
                node,
                reason,
            });
        };
        match standing {
            Standing::Held { .. } => {
                state.holders.insert(from.clone());
            }
            Standing::Released {
                reason,
                claim_version,
            } => {
                lost(Some(from.clone()), reason);
                state.gone_version = state.gone_version.max(claim_version);
            }
            // Whose record it fell silent before is not said; if nobody shows it, that one is Down.
            Standing::Silent => lost(None, MoveReason::NodeDown),
        }
        self.dirty.insert(vip);
    }

    /// Tells every live member what has changed since the last time.
    pub(super) fn publish(&mut self, now: Time) {
        let version = (self.profile.version, self.table.version());
        if self.published == version {
            return;
        }
        self.published = version;
        let nodes: Vec<_> = self.live().map(|(node, _)| node.clone()).collect();
        for node in nodes {
            if let Some(member) = self.members.get_mut(&node) {
                member.outbound.resends = 0;
            }
            self.push(now, &node);
        }
    }

    /// Sends a member what it does not hold and was not sent, and notes when to do it again.
    fn push(&mut self, now: Time, to: &NodeName) {
        let again = now + self.timing.resend;
        let profile = self.profile.version;
        let Some(member) = self.members.get_mut(to) else {
            return;
        };
        member.outbound.resend_at.get_or_insert(again);
        if member.outbound.profile < profile {
            let message = Message::Profile(self.profile.clone());
            self.send(to, message);
        }
        self.push_table(to);
    }

    fn push_table(&mut self, to: &NodeName) {
        loop {
            let Some(member) = self.members.get_mut(to) else {
                return;
            };
            let outbound = &mut member.outbound;
            if outbound.in_flight.len() >= WINDOW {
                return;
            }
            let Some(changes) = self.table.changes_after(outbound.sent, BUDGET) else {
                return;
            };
            outbound.sent = changes.upto;
            outbound.in_flight.push_back(changes.upto);
            self.send(to, Message::Changes(changes));
        }
    }

    /// Sends again what was not acknowledged in time.
    pub(super) fn resend(&mut self, now: Time) {
        let period = self.timing.resend;
        let is_starting = !self.start.is_synced();
        let nodes: Vec<_> = self.live().map(|(node, _)| node.clone()).collect();
        for node in nodes {
            let Some(member) = self.members.get_mut(&node) else {
                continue;
            };
            let floors = &member.inbound.floors;
            let is_overdue = floors.asked_at.is_none_or(|asked| asked + period <= now);
            let must_ask = is_starting && !floors.is_done && is_overdue;
            if member.outbound.resend_at.is_some_and(|at| at <= now) {
                member.outbound.rewind();
                member.outbound.resends += 1;
                if member.outbound.resends <= RESENDS {
                    self.push(now, &node);
                }
            }
            if must_ask {
                self.ask_floors(now, &node);
            }
        }
    }

    pub(super) fn resend_deadline(&self) -> Option<Time> {
        let is_starting = !self.start.is_synced();
        self.live()
            .flat_map(|(_, member)| {
                let floors = &member.inbound.floors;
                let asked_at = floors
                    .asked_at
                    .filter(|_| is_starting && !floors.is_done)
                    .map(|asked| asked + self.timing.resend);
                [member.outbound.resend_at, asked_at]
            })
            .flatten()
            .min()
    }
}

// === impl Outbound ===

impl super::member::Outbound {
    /// Starts again from what is acknowledged.
    fn rewind(&mut self) {
        self.sent = self.table;
        self.in_flight.clear();
        self.resend_at = None;
    }
}
