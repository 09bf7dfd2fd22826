//! Decides which member owns each VIP, and what this node answers for: election without I/O.
//!
//! One [`Ownership`] per speaker. It is fed with time, membership, messages and facts, and asked
//! for effects, the next deadline and the plan:
//!
//! ```text
//!  membership ── handle_member ──►┌───────────┐── poll_effect ──► Send: to the gossip socket
//!  datagrams ─── handle_message ─►│           │                   Moved: log, metric, Event
//!  API, kernel ─ handle_facts ───►│ Ownership │── plan ─────────► announcer (when plan_revision changes)
//!  SIGTERM ───── handle_drain ───►│           │── duties ───────► claim status writer (revision)
//!  clock ─────── handle_timeout ─►└───────────┘── poll_timeout ─► the driver's timer
//! ```
//!
//! After every `handle_*` call the driver hands the plan on if [`Ownership::plan_revision`] changed,
//! and only then empties [`Ownership::poll_effect`] and arms its timer with
//! [`Ownership::poll_timeout`]: in this order a handover has no gap, because the new owner answers
//! before the old one can hear of it. After `handle_drain` it goes on until
//! [`Ownership::is_drained`], then leaves the group and exits. `Up` and `Down` carry the boot that the
//! sealed envelope carries; a renewed identity of the membership layer is no new boot. Messages of
//! members that membership does not know yet, or holds Down, are handed over too: who is heard is
//! live. An API outage needs no call at all.
//!
//! The machine is level-triggered. Whatever happens marks VIPs as dirty; `settle` looks at each of
//! them anew, in address order, and does what its situation asks for. The situations are:
//!
//! | a VIP | what happens | file |
//! |---|---|---|
//! | is owned here and a greater record is seen | silent at once | `rival` |
//! | is owned here and a smaller record or a higher floor is seen | refuted; taken above it | `rival` |
//! | is owned here by no candidate, or while draining | offered to the next | `handover` |
//! | is owned here without a claim, or nobody takes it | released | `handover` |
//! | is owned by no live member | taken, best rank first | `take` |
//! | is owned by another live member | nothing: sticky | |
//!
//! Not built yet, and what they will touch: heirs (`take`: who is slot 0), relayed records and
//! liveness (`liveness`, `sync`), wire claims and deferring (`rival`), pauses (`ownership`),
//! preferences and damping (`rank`, `handover`), facts from peers (`start`).

mod codec;
mod decide;
mod drain;
mod floors;
mod handover;
mod inputs;
mod liveness;
mod member;
mod message;
mod rival;
mod start;
mod sync;
mod take;
mod timing;
mod view;
mod vip;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::Facts;
use crate::node::{Boot, NodeName};
use crate::plan::Plan;
use crate::reason::MoveReason;
use crate::record::Epoch;
use crate::table::{Standing, Table, Version};
use crate::time::Time;

pub use self::message::{Digest, Floor, FloorsPage, Have, Message, Offer, Profile, Refusal, Stage};
pub use self::timing::Timing;
pub use self::view::{Duty, VipView};

use self::drain::Drain;
use self::handover::Handover;
use self::inputs::Lingering;
use self::member::Member;
use self::start::Start;
use self::take::Orphan;
use self::vip::{Lost, Tenure, VipState};

/// What a machine is built with.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// This run of the speaker.
    pub boot: Boot,
    /// How long to wait for what.
    pub timing: Timing,
}

/// What membership says about another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// It is there.
    Up {
        /// Its name.
        node: NodeName,
        /// Which run of its speaker.
        boot: Boot,
    },
    /// It is not there any more.
    Down {
        /// Its name.
        node: NodeName,
        /// Which run of its speaker.
        boot: Boot,
    },
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sends a message; it may be lost.
    Send {
        /// To which member.
        to: NodeName,
        /// What.
        message: Message,
    },
    /// Reports a change of ownership of a VIP that this node gained, lost or kept at a new epoch.
    Moved(Move),
}

/// One change of ownership, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The VIP.
    pub vip: IpAddr,
    /// The epoch of the record that stands now; without a new owner, of the last one.
    pub epoch: Epoch,
    /// Why.
    pub reason: MoveReason,
    /// The owner before, as far as known.
    pub from: Option<NodeName>,
    /// The owner now.
    pub to: Option<NodeName>,
}

/// The ownership machine of one speaker.
#[derive(Debug)]
pub struct Ownership {
    node: NodeName,
    boot: Boot,
    timing: Timing,

    /// What is known from the API and the kernel, vanished pools included for a while.
    facts: Arc<Facts>,
    lingering: Lingering,
    members: BTreeMap<NodeName, Member>,
    start: Start,
    drain: Option<Drain>,

    /// What this member publishes.
    profile: Profile,
    table: Table,
    /// The versions that were sent to everybody at once.
    published: (Version, Version),

    /// What is known of each VIP; kept for an hour after its claim is gone.
    vips: BTreeMap<IpAddr, VipState>,
    /// VIPs that this node owns.
    tenures: BTreeMap<IpAddr, Tenure>,
    /// Offers that are under way.
    handovers: BTreeMap<IpAddr, Handover>,
    /// VIPs with a claim that no live member owns.
    orphans: BTreeMap<IpAddr, Orphan>,

    /// VIPs to look at anew.
    dirty: BTreeSet<IpAddr>,
    /// VIPs that must move away from this node, and why.
    leaving: BTreeMap<IpAddr, MoveReason>,
    /// Orphans whose place in the order of candidates is not known.
    unplaced: BTreeSet<IpAddr>,
    /// Orphans that this node's turn has come for.
    ripe: BTreeSet<IpAddr>,
    /// What places depend on has changed: all orphans are placed anew.
    is_order_stale: bool,
    /// VIPs that were taken a moment ago, here or by others: since when that is known.
    recent: BTreeMap<IpAddr, Time>,
    /// VIPs whose owner does not know the highest epoch.
    unexplained: BTreeSet<IpAddr>,

    /// When to look at a VIP anew.
    agenda: BTreeSet<(Time, IpAddr)>,
    digest_at: Time,
    offers_at: Option<Time>,
    /// When the wait for other members' tables ends.
    gate_at: Option<Time>,
    purge_at: Time,

    plan: Plan,
    plan_revision: u64,
    revision: u64,
    bursts: u64,
    effects: VecDeque<Effect>,
}

// === impl Ownership ===

impl Ownership {
    /// A machine that knows nothing yet, and answers and takes nothing until it does.
    pub fn new(config: Config, now: Time) -> Self {
        let Config { node, boot, timing } = config;
        Self {
            digest_at: now + timing.digest,
            purge_at: now + timing.purge,
            node,
            boot,
            timing,
            facts: Arc::default(),
            lingering: Lingering::default(),
            members: BTreeMap::new(),
            start: Start::default(),
            drain: None,
            profile: Profile {
                version: Version(1),
                stage: Stage::Starting,
                interfaces: Vec::new(),
            },
            table: Table::default(),
            published: (Version(1), Version::NONE),
            vips: BTreeMap::new(),
            tenures: BTreeMap::new(),
            handovers: BTreeMap::new(),
            orphans: BTreeMap::new(),
            dirty: BTreeSet::new(),
            leaving: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            ripe: BTreeSet::new(),
            is_order_stale: false,
            recent: BTreeMap::new(),
            unexplained: BTreeSet::new(),
            agenda: BTreeSet::new(),
            offers_at: None,
            gate_at: None,
            plan: Plan::default(),
            plan_revision: 0,
            revision: 0,
            bursts: 0,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what membership says. Repetitions and outdated boots change nothing.
    pub fn handle_member(&mut self, now: Time, event: &MemberEvent) {
        if self.has_left() {
            return;
        }
        match event {
            MemberEvent::Up { node, boot } => self.note_up(now, node, *boot),
            MemberEvent::Down { node, boot } => self.note_down(now, node, *boot),
        }
        self.settle(now);
    }

    /// Takes in a message from another member. Messages of an older boot change nothing.
    pub fn handle_message(&mut self, now: Time, from: &NodeName, boot: Boot, message: Message) {
        if self.has_left() || !self.note_heard(now, from, boot) {
            return;
        }
        match message {
            Message::Digest(digest) => self.receive_digest(now, from, digest),
            Message::Have(have) => self.receive_have(now, from, have),
            Message::Profile(profile) => self.receive_profile(now, from, profile),
            Message::Changes(changes) => self.receive_changes(now, from, &changes),
            Message::FloorsWanted { after } => self.send_floors(from, after),
            Message::Floors(page) => self.receive_floors(now, from, &page),
            Message::HigherFloors(floors) => self.raise_floors(&floors),
            Message::Offers(offers) => self.receive_offers(now, from, &offers),
            Message::Refusals(refusals) => self.receive_refusals(from, &refusals),
            Message::Leave { table } => self.note_leave(now, from, table),
        }
        self.settle(now);
    }

    /// Takes in new facts, complete. Facts from incomplete first lists are not looked at.
    pub fn handle_facts(&mut self, now: Time, facts: Arc<Facts>) {
        if self.has_left() || !facts.complete {
            return;
        }
        self.take_in_facts(now, facts);
        self.settle(now);
    }

    /// Begins to leave: offers everything to others, for a bounded time, and then says goodbye.
    pub fn handle_drain(&mut self, now: Time) {
        if self.has_left() {
            return;
        }
        self.begin_drain(now);
        self.settle(now);
    }

    /// Does what is due; to be called at [`Self::poll_timeout`], and harmless at any other time.
    pub fn handle_timeout(&mut self, now: Time) {
        self.continue_drain(now);
        if self.has_left() {
            return;
        }
        self.expire_liveness(now);
        self.expire_lingering(now);
        while let Some((_, vip)) = self.agenda.first().filter(|(at, _)| *at <= now).copied() {
            self.agenda.pop_first();
            self.dirty.insert(vip);
        }
        if self.digest_at <= now {
            self.digest_at = now + self.timing.digest;
            self.send_digests();
            self.send_corrections();
        }
        if self.offers_at.is_some_and(|at| at <= now) {
            self.send_offers(now);
        }
        if self.purge_at <= now {
            self.purge_at = now + self.timing.purge;
            self.purge(now);
        }
        self.resend(now);
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] is due; `None` once drained.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.has_left() {
            return self.drain_deadline();
        }
        [
            Some(self.digest_at),
            Some(self.purge_at),
            self.agenda.first().map(|(at, _)| *at),
            self.offers_at,
            self.gate_at,
            self.liveness_deadline(),
            self.lingering_deadline(),
            self.resend_deadline(),
            self.start_deadline(),
            self.drain_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing for the driver to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What this node should answer for.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Changes whenever the plan does.
    pub const fn plan_revision(&self) -> u64 {
        self.plan_revision
    }

    /// Changes whenever [`Self::view`] or [`Self::duty`] may have changed.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Looks at everything that changed until nothing is left to do, then tells the others.
    fn settle(&mut self, now: Time) {
        self.check_start(now);
        loop {
            while let Some(vip) = self.dirty.pop_first() {
                self.decide(now, vip);
            }
            self.start_handovers(now);
            if self.dirty.is_empty() {
                self.take_orphans(now);
            }
            if self.dirty.is_empty() {
                break;
            }
        }
        self.finish_drain(now);
        self.publish(now);
    }

    fn send(&mut self, to: &NodeName, message: Message) {
        self.effects.push_back(Effect::Send {
            to: to.clone(),
            message,
        });
    }

    /// Says something about a VIP, and remembers its epoch.
    fn state(&mut self, vip: IpAddr, epoch: Epoch, standing: Standing) {
        self.table.set(vip, epoch, standing);
        let known = self.vips.entry(vip).or_default();
        known.floor = known.floor.max(epoch);
        self.dirty.insert(vip);
    }

    fn next_burst(&mut self) -> u64 {
        self.bursts += 1;
        self.bursts
    }
}

#[cfg(test)]
mod tests;
