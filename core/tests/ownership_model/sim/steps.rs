//! How time passes: what happens next, what the machines want done, and what must be true then.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::facts::Facts;
use ferrolb_core::membership::MAX_MESSAGE;
use ferrolb_core::node::{Boot, NodeName};
use ferrolb_core::ownership::{Duty, Effect, MemberEvent, Message, Ownership};
use ferrolb_core::reason::MoveReason;
use ferrolb_core::time::Time;
use rand::RngExt;
use sha2::Digest;

use super::{DELAY, Event, Host, LATENCY, Sim, is_linked};
use crate::micros;
use crate::oracle::Step;
use crate::swim::{Reality, TICK};
use crate::world::{mk_interface, objections};

// === impl Sim ===

impl Sim {
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.failure.is_none() && self.step(end) {}
        self.now = end.max(self.now);
    }

    /// Does the next thing if it happens before the end.
    fn step(&mut self, end: Time) -> bool {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self
            .hosts
            .iter()
            .filter_map(|(node, host)| Some((host.machine.as_ref()?.poll_timeout()?, node)))
            .min()
            .map(|(at, node)| (at, node.clone()));
        let is_timer_first = match (&timer, queued) {
            (Some((at, _)), Some(queued)) => *at < queued,
            (timer, _) => timer.is_some(),
        };
        let next = if is_timer_first {
            timer.as_ref().map(|(at, _)| *at)
        } else {
            queued
        };
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        match timer.filter(|_| is_timer_first) {
            Some((_, node)) => self.with(&node, Ownership::handle_timeout),
            None => {
                let (_, event) = self.queue.pop_first().expect("it was looked at");
                self.happen(event);
            }
        }
        self.check();
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver {
                to,
                from,
                boot,
                bytes,
            } => {
                self.trace.update(&bytes);
                let message: Message = postcard::from_bytes(&bytes).expect("it was encoded");
                let is_cut = self.cuts.contains(&(from.clone(), to.clone()));
                if !is_cut && self.hosts[&from].boot == boot && self.is_running(&from) && self.is_running(&to)
                {
                    self.heard.insert((from.clone(), to.clone()));
                }
                self.with(&to, |machine, now| {
                    machine.handle_message(now, &from, boot, message);
                });
            }
            Event::Facts { to, boot, facts } => {
                if self.hosts[&to].boot == boot && self.is_running(&to) {
                    let host = self.host(&to);
                    host.facts = facts.clone();
                    let mut facts = Facts::clone(&facts);
                    facts.interfaces = Vec::from_iter(host.is_link_up.then(|| mk_interface(&to)));
                    self.with(&to, |machine, now| machine.handle_facts(now, Arc::new(facts)));
                    self.write_status_soon(&to);
                }
            }
            Event::Status { of, boot } => {
                if self.hosts[&of].boot == boot && self.is_running(&of) {
                    self.host(&of).is_writing = false;
                    self.write_status(&of);
                }
            }
            Event::Swim => {
                self.at(self.now + TICK, Event::Swim);
                self.look_who_is_apart();
                let boots = self.boots();
                let cuts = self.cuts.clone();
                let reality = Reality {
                    now: self.now,
                    boots: &boots,
                    is_linked: &|one, other| is_linked(&cuts, &boots, one, other),
                };
                for (at, event) in self.swim.tick(&reality, &self.nodes, &mut self.rng) {
                    self.member(&at, &event);
                }
            }
        }
    }

    pub(super) fn member(&mut self, at: &NodeName, event: &MemberEvent) {
        self.debug(|| format!("{at} learns {event:?}"));
        self.with(at, |machine, now| machine.handle_member(now, event));
    }

    /// Lets a machine do something, and carries out what it wants done.
    pub(super) fn with(&mut self, node: &NodeName, act: impl FnOnce(&mut Ownership, Time)) {
        let now = self.now;
        let host = self.hosts.get_mut(node).expect("a node of this simulation");
        let Some(machine) = host.machine.as_mut() else {
            return;
        };
        act(machine, now);
        let mut sends = Vec::new();
        let mut moves = Vec::new();
        while let Some(effect) = machine.poll_effect() {
            match effect {
                Effect::Send { to, message } => sends.push((to, message)),
                Effect::Moved(change) => moves.push(change),
            }
        }
        let is_drained = machine.is_drained();
        let boot = host.boot;
        let is_plan_new = host.plan_revision != machine.plan_revision();
        let is_revised = host.revision != machine.revision();
        (host.revision, host.plan_revision) = (machine.revision(), machine.plan_revision());
        let host = &self.hosts[node];
        let owned = self.oracle.causes.owned_by(node).into_keys();
        for vip in owned.chain(moves.iter().map(|change| change.vip)) {
            for reason in host.objections(node, vip) {
                self.oracle.causes.object(now, vip, node, reason);
            }
        }
        let Some(machine) = &host.machine else {
            return;
        };
        let result = if is_plan_new || !moves.is_empty() {
            self.oracle.stepped(&Step {
                now,
                node,
                boot: boot.0,
                plan: machine.plan(),
                moves: &moves,
            })
        } else if self.oracle.plan(node).is_some_and(|seen| seen != machine.plan()) {
            Err(format!("{node}'s plan changed without its revision"))
        } else {
            Ok(())
        };
        for change in &moves {
            self.note(&format!("{node}: {change:?}"));
        }
        self.fail_on(result);
        for (to, message) in sends {
            self.transmit(node, boot, &to, &message);
        }
        if is_revised {
            self.write_status_soon(node);
        }
        if is_drained {
            self.note(&format!("{node} has left"));
            self.end(node);
            self.swim.leave(self.now, node, &mut self.rng);
        }
    }

    fn transmit(&mut self, from: &NodeName, boot: Boot, to: &NodeName, message: &Message) {
        let bytes = postcard::to_allocvec(message).expect("it is plain data");
        if bytes.len() > MAX_MESSAGE {
            self.fail_on(Err(format!("a message of {} bytes: {message:?}", bytes.len())));
        }
        self.debug(|| format!("{from} to {to}: {message:?}"));
        let is_sent = self.is_down_reachable || self.swim.is_up(from, to);
        if !is_sent || self.cuts.contains(&(from.clone(), to.clone())) || self.rng.random_bool(self.link.loss)
        {
            return;
        }
        let copies = 1 + u32::from(self.rng.random_bool(self.link.duplication));
        for _ in 0..copies {
            let mut delay = self.rng.random_range(LATENCY.0..LATENCY.1);
            if self.rng.random_bool(self.link.delayed) {
                delay += self.rng.random_range(0..DELAY);
            }
            let at = self.now + micros(delay);
            let event = Event::Deliver {
                to: to.clone(),
                from: from.clone(),
                boot,
                bytes: bytes.clone(),
            };
            self.at(at, event);
        }
    }

    pub(super) fn write_status_soon(&mut self, node: &NodeName) {
        let boot = self.hosts[node].boot;
        let host = self.host(node);
        if host.is_api_up && host.machine.is_some() && !std::mem::replace(&mut host.is_writing, true) {
            let at = self.now + micros(self.rng.random_range(2_000..30_000));
            let of = node.clone();
            self.at(at, Event::Status { of, boot });
        }
    }

    /// The status writer of one speaker: level-triggered, best effort.
    fn write_status(&mut self, node: &NodeName) {
        if !self.hosts[node].is_api_up {
            return;
        }
        let claims = self.world.facts.claims.iter().chain(&self.world.resting);
        let owners: Vec<(IpAddr, Option<NodeName>)> = claims
            .map(|(vip, claim)| (*vip, claim.status_owner.clone()))
            .collect();
        let mut has_changed = false;
        for (vip, named) in owners {
            has_changed |= match self.machine(node).duty(vip, named.as_ref()) {
                Some(Duty::Own { epoch, .. }) => self.world.write_status(vip, epoch, Some(node.clone())),
                Some(Duty::Clear { epoch }) => self.world.write_status(vip, epoch, None),
                None => false,
            };
        }
        if has_changed {
            self.writes += 1;
            self.tell_all();
        }
    }

    fn check(&mut self) {
        let (hosts, heard, swim) = (&self.hosts, &self.heard, &self.swim);
        let hears = |at: &NodeName, of: &NodeName| {
            heard.contains(&(of.clone(), at.clone()))
                && swim.is_up(at, of)
                && hosts[at]
                    .machine
                    .as_ref()
                    .is_some_and(|machine| machine.is_live(of))
        };
        let result = self.oracle.check_pairs(self.now, hears);
        self.oracle.causes.listen(self.now, &self.nodes, hears);
        self.fail_on(result);
        for node in self.nodes() {
            let owned = self.oracle.causes.owned_by(&node);
            let host = &self.hosts[&node];
            let objections: Vec<_> = owned
                .keys()
                .map(|vip| (*vip, host.objections(&node, *vip)))
                .collect();
            let result = self.oracle.check_fitness(self.now, &node, &objections);
            self.fail_on(result);
        }
    }
}

// === impl Host ===

impl Host {
    /// What is against its ownership of a VIP in its own view.
    fn objections(&self, node: &NodeName, vip: IpAddr) -> BTreeSet<MoveReason> {
        let is_live = |member: &NodeName| {
            let machine = self.machine.as_ref();
            machine.is_some_and(|machine| machine.is_live(member))
        };
        let mut objections = objections(&self.facts, vip, node, self.is_link_up, is_live);
        if self.is_draining {
            objections.insert(MoveReason::Leave);
        }
        objections
    }
}
