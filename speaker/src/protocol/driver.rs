//! One boot of a speaker: feeds membership and ownership, and carries out what they want.
//!
//! It decides nothing. What it must keep is an order: the socket is read until it is empty before
//! a timer fires (an answer that waits there must not count as silence), the announcer has its turn
//! with a new plan before anybody is told of it (an old owner falls silent when it hears that the
//! new one answers), and everything that the machines want is done before it waits again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::membership::{Membership, Output, Rejected};
use ferrolb_core::node::Boot;
use ferrolb_core::ownership::{Effect, MemberEvent, Message, Move, Ownership};
use ferrolb_core::time::Time;
use ferrolb_runtime::clock;
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::report::{Present, Reporter};
use super::world::World;
use super::{Ports, state};
use crate::api::{ApiFacts, Ask};
use crate::gossip::{Gossip, Sent};

/// Datagrams read before timers get their turn whatever is left: a flood must not stop the clock.
const BATCH: usize = 4096;

/// Reports are made at most this often.
const REPORT_INTERVAL: Duration = Duration::from_millis(10);

/// How often a datagram that cannot be opened is shown: whoever reaches the port can send them.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The goodbye of the group is said this often, this far apart: datagrams get lost.
const GOODBYES: u32 = 3;
const GOODBYE_INTERVAL: Duration = Duration::from_millis(5);

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has handed over and left, because it was asked to.
    Left,
    /// Others know a later boot under this name.
    Superseded(Boot),
    /// Others have to reach this speaker elsewhere now.
    Readdressed,
}

/// One boot at work.
pub(super) struct Driver<'a> {
    gossip: &'a mut Gossip,
    ports: &'a mut Ports,
    world: &'a mut World,
    advertised: SocketAddr,
    membership: Membership,
    ownership: Ownership,
    reporter: Reporter,
    /// When a report is to be made; `None` when nothing has changed.
    report_at: Option<Time>,
    reported_at: Time,
    plan_revision: Option<u64>,
    revision: Option<u64>,
    /// When a foreign datagram was shown last.
    warned_at: Option<Time>,
    is_draining: bool,
    end: Option<End>,
}

/// What ended a wait.
enum Wake {
    /// The socket has something, or it is time for something.
    Turn,
    Facts(ApiFacts),
    Interfaces,
    Ask(Ask),
    Shutdown,
}

// === impl Driver ===

impl<'a> Driver<'a> {
    pub(super) fn new(
        gossip: &'a mut Gossip,
        ports: &'a mut Ports,
        world: &'a mut World,
        (membership, ownership): (Membership, Ownership),
        advertised: SocketAddr,
    ) -> Self {
        Self {
            gossip,
            ports,
            world,
            advertised,
            membership,
            ownership,
            reporter: Reporter::default(),
            report_at: None,
            reported_at: Time::ZERO,
            plan_revision: None,
            revision: None,
            warned_at: None,
            is_draining: false,
            end: None,
        }
    }

    /// Works until the boot ends.
    pub(super) async fn run(mut self) -> End {
        self.take_in_world();
        loop {
            self.turn().await;
            if let Some(end) = self.end {
                if end == End::Left {
                    self.say_goodbye().await;
                }
                return end;
            }
            match self.wait().await {
                Wake::Turn => {}
                Wake::Facts(api) => {
                    self.world.take_in_api(api);
                    self.take_in_world();
                }
                Wake::Interfaces => {
                    let interfaces = self.ports.interfaces.borrow_and_update().clone();
                    let unserved = self.ports.unserved.borrow_and_update().clone();
                    self.world.take_in_interfaces(interfaces, unserved);
                    self.take_in_world();
                }
                Wake::Ask(ask) => {
                    // Who does not wait any more has gone away.
                    let _gone = ask.send(self.state());
                }
                Wake::Shutdown => {
                    self.is_draining = true;
                    self.ownership.handle_drain(now());
                }
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = [
            self.membership.poll_timeout(),
            self.ownership.poll_timeout(),
            self.report_at,
        ];
        let deadline = deadline.into_iter().flatten().min();
        let pause = deadline.map_or(Duration::MAX, |at| at.saturating_since(now()));
        let Ports {
            facts,
            interfaces,
            unserved,
            asks,
            shutdown,
            ..
        } = &mut *self.ports;
        tokio::select! {
            () = shutdown.requested(), if !self.is_draining => Wake::Shutdown,
            // A broken socket shows as silence, and a turn is all that it can get.
            _ = self.gossip.readable() => Wake::Turn,
            api = facts.take() => Wake::Facts(api),
            Ok(()) = interfaces.changed() => Wake::Interfaces,
            Ok(()) = unserved.changed() => Wake::Interfaces,
            Some(ask) = asks.recv() => Wake::Ask(ask),
            () = sleep(pause) => Wake::Turn,
        }
    }

    /// Reads everything, fires what is due, and does what the machines want.
    async fn turn(&mut self) {
        for _ in 0..BATCH {
            if !self.read_one() {
                break;
            }
        }
        if self.membership.poll_timeout().is_some_and(|at| at <= now()) {
            self.membership.handle_timeout(now());
            self.carry_out_membership();
        }
        if self.ownership.poll_timeout().is_some_and(|at| at <= now()) {
            self.ownership.handle_timeout(now());
        }
        self.carry_out().await;
        self.publish();
        if self.is_draining && self.ownership.is_drained() {
            self.end = self.end.or(Some(End::Left));
        }
    }

    fn read_one(&mut self) -> bool {
        let Some((from, datagram)) = self.gossip.receive() else {
            return false;
        };
        self.ports.metrics.received.inc();
        let result = self.membership.handle_datagram(from, datagram, now());
        if let Err(rejected) = result {
            self.ports.metrics.rejected(rejected);
            self.log_rejected(from, rejected);
        }
        self.carry_out_membership();
        true
    }

    /// Empties both machines, which feed each other.
    async fn carry_out(&mut self) {
        loop {
            self.carry_out_membership();
            if self.publish_plan() {
                // The announcer runs on this thread.
                yield_now().await;
            }
            let Some(effect) = self.ownership.poll_effect() else {
                return;
            };
            self.carry_out_effect(effect);
        }
    }

    fn carry_out_membership(&mut self) {
        while let Some(output) = self.membership.poll_output() {
            self.carry_out_output(output);
        }
    }

    fn carry_out_output(&mut self, output: Output) {
        match output {
            Output::Send { to, datagram } => {
                self.ports.metrics.sent.inc();
                if let Sent::Lost(error) = self.gossip.send(to, &datagram) {
                    self.ports.metrics.unsent();
                    tracing::debug!(%to, %error, "Gossip datagram not sent");
                }
            }
            Output::Up(member) => {
                let (node, boot) = (member.name, member.boot);
                tracing::info!(member = %node, boot = boot.0, address = %member.address, "Member up");
                self.ownership
                    .handle_member(now(), &MemberEvent::Up { node, boot });
            }
            Output::Down {
                name: node,
                boot,
                departure,
            } => {
                self.ports.metrics.departed(departure);
                tracing::info!(member = %node, boot = boot.0, reason = departure.as_str(), "Member down");
                self.ownership
                    .handle_member(now(), &MemberEvent::Down { node, boot });
            }
            Output::Message { from, boot, bytes } => match Message::decode(&bytes) {
                Some(message) => self.ownership.handle_message(now(), &from, boot, message),
                None => {
                    self.ports.metrics.rejected(Rejected::Malformed);
                    tracing::debug!(member = %from, "Ownership message is malformed");
                }
            },
            Output::Superseded { known } => {
                self.end = self.end.or(Some(End::Superseded(known)));
            }
        }
    }

    fn carry_out_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                if !self.membership.send(&to, &message.encode()) {
                    tracing::debug!(member = %to, "Ownership message not sent");
                }
            }
            Effect::Moved(Move {
                vip,
                epoch,
                reason,
                from,
                to,
            }) => {
                self.ports.metrics.moved(reason);
                let [from, to] = [&from, &to].map(|node| node.as_ref().map(tracing::field::display));
                tracing::info!(%vip, epoch = epoch.0, reason = reason.as_str(), from, to, "Owner changed");
            }
        }
    }

    /// Hands out the plan if it is new.
    fn publish_plan(&mut self) -> bool {
        let revision = Some(self.ownership.plan_revision());
        if self.plan_revision == revision {
            return false;
        }
        self.plan_revision = revision;
        let plan = self.ownership.plan().clone();
        let announced = i64::try_from(plan.announcements.len()).unwrap_or(i64::MAX);
        self.ports.metrics.announced.set(announced);
        self.ports.plan.send_replace(Arc::new(plan));
        true
    }

    /// Hands out what else is new: reports a little later, readiness when it is there.
    fn publish(&mut self) {
        let now = now();
        if self.revision != Some(self.ownership.revision()) {
            self.revision = Some(self.ownership.revision());
            self.report_soon();
        }
        if self.report_at.is_some_and(|at| at <= now) {
            self.report(now);
        }
        let members = self.membership.members().count();
        self.ports
            .metrics
            .members
            .set(i64::try_from(members).unwrap_or(i64::MAX));
        self.ports.guards.show(&self.membership, &self.ownership, now);
    }

    fn report_soon(&mut self) {
        let earliest = self.reported_at + REPORT_INTERVAL;
        self.report_at = Some(self.report_at.map_or(earliest, |at| at.min(earliest)));
    }

    fn report(&mut self, now: Time) {
        self.reported_at = now;
        let facts = self.world.facts();
        let changes = self.reporter.changes(&Present {
            node: &self.ports.addresses.node,
            ownership: &self.ownership,
            interfaces: self.world.interfaces(),
            facts: &facts,
            named_owners: self.world.named_owners(),
            wall: clock::timestamp(),
        });
        self.report_at = None;
        if !changes.is_empty() {
            self.ports.reports.merge(|reports| reports.extend(changes));
        }
    }

    /// The world has changed.
    fn take_in_world(&mut self) {
        let facts = self.world.facts();
        self.membership
            .set_seeds(self.ports.addresses.seeds(&facts), now());
        let advertised = self.ports.addresses.advertised(&facts);
        if advertised.is_some_and(|advertised| advertised != self.advertised) {
            self.end = self.end.or(Some(End::Readdressed));
            return;
        }
        if self.world.has_interfaces() {
            self.ports.guards.netlink();
            self.ownership.handle_facts(now(), facts);
        }
        self.report_soon();
    }

    /// Leaves the group, so that nobody waits for this member to fall silent.
    async fn say_goodbye(&mut self) {
        for _ in 0..GOODBYES {
            self.membership.leave();
            self.carry_out().await;
            sleep(GOODBYE_INTERVAL).await;
        }
    }

    /// A wrong secret is for an operator to see; everything else is for the counter alone.
    fn log_rejected(&mut self, peer: SocketAddr, rejected: Rejected) {
        let reason = rejected.as_str();
        let is_foreign = match rejected {
            Rejected::Version(_) | Rejected::UnknownKey(_) | Rejected::Unauthentic => true,
            Rejected::Truncated
            | Rejected::FromOurselves { .. }
            | Rejected::StaleBoot { .. }
            | Rejected::Stale
            | Rejected::Replayed
            | Rejected::Malformed => false,
        };
        let now = now();
        if is_foreign && self.warned_at.is_none_or(|at| now >= at + WARN_INTERVAL) {
            self.warned_at = Some(now);
            tracing::warn!(
                %peer,
                reason,
                "Gossip datagram cannot be opened; if the peer is a speaker of this cluster, its secret \
                 or version differs (shown at most once a minute)"
            );
        } else {
            tracing::debug!(%peer, reason, "Gossip datagram rejected");
        }
    }

    fn state(&self) -> Value {
        state::state(&self.membership, &self.ownership, &self.ports.answering.borrow())
    }
}

fn now() -> Time {
    Time::from_origin(clock::boottime())
}
