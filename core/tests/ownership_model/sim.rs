//! Several real machines on a virtual network with a virtual clock and seeded faults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::facts::Facts;
use ferrolb_core::node::{Boot, NodeName};
use ferrolb_core::ownership::{Config, Duty, Effect, MemberEvent, Message, Ownership, Timing};
use ferrolb_core::time::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::oracle::Oracle;
use crate::swim::{Reality, Swim};
use crate::world::{World, is_candidate, mk_interface, mk_node};
use crate::{micros, millis};

/// Every message must fit into one datagram beside the envelope.
const MAX_MESSAGE: usize = 1_200;

/// How datagrams fare.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    /// Some are this much later than the others, which reorders them.
    pub(crate) delayed: f64,
}

/// Something that will happen.
#[derive(Debug)]
enum Event {
    Deliver {
        to: NodeName,
        from: NodeName,
        boot: Boot,
        bytes: Vec<u8>,
    },
    Facts {
        to: NodeName,
        boot: Boot,
        facts: Arc<Facts>,
    },
    Status {
        of: NodeName,
        boot: Boot,
    },
    Swim,
}

/// One node.
#[derive(Debug, Default)]
struct Host {
    machine: Option<Ownership>,
    boot: Boot,
    is_link_up: bool,
    is_api_up: bool,
    /// How much later than others it learns of changes.
    lag: Duration,
    /// The newest facts on their way, so that they arrive in order.
    facts_at: Time,
    /// What it was told last.
    facts: Arc<Facts>,
    revision: u64,
    plan_revision: u64,
}

/// The simulation. Whoever finds a rule broken notes it in `failure`, and time stops.
pub(crate) struct Sim {
    pub(crate) now: Time,
    pub(crate) rng: StdRng,
    pub(crate) world: World,
    pub(crate) link: Link,
    pub(crate) oracle: Oracle,
    pub(crate) failure: Option<String>,
    pub(crate) log: Vec<String>,
    /// Whether a member that membership holds Down can be sent to.
    pub(crate) is_down_reachable: bool,
    is_logging: bool,
    hosts: BTreeMap<NodeName, Host>,
    nodes: Vec<NodeName>,
    cuts: BTreeSet<(NodeName, NodeName)>,
    swim: Swim,
    queue: BTreeMap<(Time, u64), Event>,
    events: u64,
    trace: Sha256,
}

impl Sim {
    /// `nodes` nodes whose speakers start at once.
    pub(crate) fn new(nodes: usize, seed: u64) -> Self {
        let names: Vec<_> = (0..nodes).map(mk_node).collect();
        let mut sim = Self {
            now: Time::from_millis(1_000),
            rng: StdRng::seed_from_u64(seed),
            world: World::new(nodes),
            link: Link {
                loss: 0.0,
                duplication: 0.0,
                delayed: 0.0,
            },
            oracle: Oracle::new(millis(50)),
            failure: None,
            log: Vec::new(),
            is_down_reachable: true,
            is_logging: std::env::var_os("FERROLB_MODEL_LOG").is_some(),
            hosts: BTreeMap::new(),
            nodes: names.clone(),
            cuts: BTreeSet::new(),
            swim: Swim::default(),
            queue: BTreeMap::new(),
            events: 0,
            trace: Sha256::new(),
        };
        for node in names {
            let host = Host {
                is_link_up: true,
                is_api_up: true,
                ..Host::default()
            };
            sim.hosts.insert(node, host);
        }
        sim.at(sim.now, Event::Swim);
        sim
    }

    /// The same, with all speakers started and settled.
    pub(crate) fn settled(nodes: usize, seed: u64, prepare: impl FnOnce(&mut World)) -> Self {
        let mut sim = Self::new(nodes, seed);
        prepare(&mut sim.world);
        sim.start_all();
        sim.run_for(millis(5_000));
        sim
    }

    pub(crate) fn nodes(&self) -> Vec<NodeName> {
        self.nodes.clone()
    }

    pub(crate) fn machine(&self, node: &NodeName) -> &Ownership {
        self.hosts[node].machine.as_ref().expect("the speaker runs")
    }

    pub(crate) fn is_running(&self, node: &NodeName) -> bool {
        self.hosts[node].machine.is_some()
    }

    /// A summary of everything that has happened, byte by byte.
    pub(crate) fn fingerprint(&self) -> String {
        self.trace
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    // Faults and changes.

    pub(crate) fn start_all(&mut self) {
        for node in self.nodes() {
            self.start(&node);
        }
    }

    pub(crate) fn start(&mut self, node: &NodeName) {
        if self.is_running(node) {
            return;
        }
        self.note(&format!("{node} starts"));
        self.oracle.suspect(self.now, node);
        let millis_now = u64::try_from(self.now.since_origin().as_millis()).expect("a short history");
        let boot = Boot(millis_now.max(self.hosts[node].boot.0 + 1));
        let config = Config {
            node: node.clone(),
            boot,
            timing: Timing::default(),
        };
        let now = self.now;
        let host = self.host(node);
        host.boot = boot;
        host.machine = Some(Ownership::new(config, now));
        (host.revision, host.plan_revision) = (0, 0);
        host.facts = Arc::default();
        host.facts_at = now;
        if host.is_api_up {
            let delay = millis(self.rng.random_range(10..200));
            self.tell(node, delay);
        }
    }

    pub(crate) fn crash(&mut self, node: &NodeName) {
        if self.is_running(node) {
            self.note(&format!("{node} crashes"));
            self.oracle.suspect(self.now, node);
            self.end(node);
        }
    }

    fn end(&mut self, node: &NodeName) {
        self.host(node).machine = None;
        self.swim.forget(node);
        self.oracle.ended(node);
    }

    pub(crate) fn terminate(&mut self, node: &NodeName) {
        if self.is_running(node) {
            self.note(&format!("{node} gets SIGTERM"));
            self.oracle.suspect(self.now, node);
            self.with(node, |machine, now| machine.handle_drain(now));
        }
    }

    /// Datagrams from one to another are lost from now on.
    pub(crate) fn cut(&mut self, from: &NodeName, to: &NodeName) {
        if self.cuts.insert((from.clone(), to.clone())) {
            self.note(&format!("{from} is not heard by {to}"));
            self.oracle.suspect(self.now, from);
            self.oracle.suspect(self.now, to);
        }
    }

    pub(crate) fn partition(&mut self, side: &[NodeName]) {
        for one in self.nodes() {
            for other in self.nodes() {
                if side.contains(&one) != side.contains(&other) {
                    self.cut(&one, &other);
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        if !self.cuts.is_empty() {
            self.note("the network heals");
            for (from, to) in std::mem::take(&mut self.cuts) {
                self.oracle.suspect(self.now, &from);
                self.oracle.suspect(self.now, &to);
            }
        }
    }

    pub(crate) fn mistake(&mut self, at: &NodeName, of: &NodeName) {
        let boots = self.boots();
        let cuts = self.cuts.clone();
        let reality = Reality {
            now: self.now,
            boots: &boots,
            is_linked: &|one, other| is_linked(&cuts, &boots, one, other),
        };
        if let Some(event) = self.swim.mistake(&reality, at, of, &mut self.rng) {
            self.note(&format!("{at} wrongly believes {of} to be Down"));
            self.oracle.suspect(self.now, of);
            self.member(at, &event);
        }
    }

    pub(crate) fn set_link(&mut self, node: &NodeName, is_up: bool) {
        if self.hosts[node].is_link_up == is_up {
            return;
        }
        self.note(&format!("{node}'s interface is up: {is_up}"));
        self.oracle.disturb(self.now);
        self.host(node).is_link_up = is_up;
        // The kernel tells at once, whatever the API does.
        if self.hosts[node].facts.complete {
            let facts = self.hosts[node].facts.clone();
            let boot = self.hosts[node].boot;
            self.at(
                self.now,
                Event::Facts {
                    to: node.clone(),
                    boot,
                    facts,
                },
            );
        }
    }

    pub(crate) fn set_api(&mut self, node: &NodeName, is_up: bool) {
        if self.hosts[node].is_api_up == is_up {
            return;
        }
        self.note(&format!("{node} reaches the API: {is_up}"));
        self.host(node).is_api_up = is_up;
        if is_up {
            self.oracle.disturb(self.now);
            let delay = millis(self.rng.random_range(10..500));
            self.tell(node, delay);
            let boot = self.hosts[node].boot;
            let of = node.clone();
            self.at(self.now + delay, Event::Status { of, boot });
        }
    }

    pub(crate) fn set_lag(&mut self, node: &NodeName, lag: Duration) {
        self.host(node).lag = lag;
    }

    /// Changes the API's objects; speakers learn of it in their own time.
    pub(crate) fn change(&mut self, what: &str, change: impl FnOnce(&mut World)) {
        self.note(what);
        change(&mut self.world);
        self.oracle
            .disturb(self.now + self.hosts.values().map(|host| host.lag).max().unwrap_or_default());
        self.tell_all();
    }

    fn tell_all(&mut self) {
        for node in self.nodes() {
            let host = &self.hosts[&node];
            if host.is_api_up && host.machine.is_some() {
                let delay = host.lag + micros(self.rng.random_range(500..20_000));
                self.tell(&node, delay);
            }
        }
    }

    fn tell(&mut self, node: &NodeName, delay: Duration) {
        let facts = Arc::new(self.world.facts.clone());
        let at = (self.now + delay).max(self.hosts[node].facts_at);
        let host = self.host(node);
        host.facts_at = at;
        let boot = host.boot;
        self.at(
            at,
            Event::Facts {
                to: node.clone(),
                boot,
                facts,
            },
        );
    }

    // Time.

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.failure.is_none() && self.step(end) {}
        self.now = end.max(self.now);
    }

    /// Runs until something is true; a failure when it is not within the time.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        is_done: impl Fn(&Self) -> bool,
    ) -> Duration {
        let start = self.now;
        let end = start + limit;
        while !is_done(self) {
            if self.failure.is_some() {
                break;
            }
            if !self.step(end) {
                self.failure = Some(format!("not within {limit:?}: {what}"));
            }
        }
        self.now - start
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
            Some((_, node)) => self.with(&node, |machine, now| machine.handle_timeout(now)),
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
                self.with(&to, |machine, now| {
                    machine.handle_message(now, &from, boot, message)
                });
            }
            Event::Facts { to, boot, facts } => {
                if self.hosts[&to].boot == boot && self.is_running(&to) {
                    let host = self.host(&to);
                    host.facts = facts.clone();
                    let mut facts = Facts::clone(&facts);
                    facts.interfaces = Vec::from_iter(host.is_link_up.then(|| mk_interface(&to)));
                    self.with(&to, |machine, now| machine.handle_facts(now, Arc::new(facts)));
                }
            }
            Event::Status { of, boot } => {
                if self.hosts[&of].boot == boot && self.is_running(&of) && self.hosts[&of].is_api_up {
                    self.write_status(&of);
                }
            }
            Event::Swim => {
                self.at(self.now + millis(25), Event::Swim);
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

    fn member(&mut self, at: &NodeName, event: &MemberEvent) {
        self.debug(|| format!("{at} learns {event:?}"));
        self.with(at, |machine, now| machine.handle_member(now, event));
    }

    /// Lets a machine do something, and carries out what it wants done.
    fn with(&mut self, node: &NodeName, act: impl FnOnce(&mut Ownership, Time)) {
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
        let result = if is_plan_new || !moves.is_empty() {
            self.oracle.stepped(now, node, boot.0, machine.plan(), &moves)
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
        if is_revised && self.hosts[node].is_api_up {
            let at = self.now + micros(self.rng.random_range(2_000..30_000));
            self.at(
                at,
                Event::Status {
                    of: node.clone(),
                    boot,
                },
            );
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
            let mut delay = self.rng.random_range(100..1_500);
            if self.rng.random_bool(self.link.delayed) {
                delay += self.rng.random_range(0..40_000);
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

    /// The status writer of one speaker: level-triggered, best effort.
    fn write_status(&mut self, node: &NodeName) {
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
            self.tell_all();
        }
    }

    fn check(&mut self) {
        let (hosts, cuts, swim) = (&self.hosts, &self.cuts, &self.swim);
        let hears = |at: &NodeName, of: &NodeName| {
            !cuts.contains(&(of.clone(), at.clone()))
                && swim.is_up(at, of)
                && hosts[at]
                    .machine
                    .as_ref()
                    .is_some_and(|machine| machine.is_live(of))
        };
        let result = self.oracle.check_pairs(self.now, hears);
        self.fail_on(result);
        for node in self.nodes() {
            let host = &self.hosts[&node];
            if host.machine.is_none() {
                continue;
            }
            let is_fit = |vip| is_candidate(&host.facts, vip, &node, host.is_link_up);
            let result = self.oracle.check_fitness(self.now, &node, is_fit);
            self.fail_on(result);
        }
    }

    fn fail_on(&mut self, result: Result<(), String>) {
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
        }
    }

    fn boots(&self) -> BTreeMap<NodeName, Boot> {
        self.hosts
            .iter()
            .filter(|(_, host)| host.machine.is_some())
            .map(|(node, host)| (node.clone(), host.boot))
            .collect()
    }

    fn host(&mut self, node: &NodeName) -> &mut Host {
        self.hosts.get_mut(node).expect("a node of this simulation")
    }

    fn at(&mut self, at: Time, event: Event) {
        self.events += 1;
        self.queue.insert((at, self.events), event);
    }

    /// Writes down what happened; it is part of the fingerprint.
    pub(crate) fn note(&mut self, text: &str) {
        let line = format!("{:>9.3} {text}", self.now.since_origin().as_secs_f64());
        self.trace.update(line.as_bytes());
        self.log.push(line);
    }

    fn debug(&mut self, text: impl FnOnce() -> String) {
        if self.is_logging {
            let line = format!("{:>9.3}   {}", self.now.since_origin().as_secs_f64(), text());
            self.log.push(line);
        }
    }
}

fn is_linked(
    cuts: &BTreeSet<(NodeName, NodeName)>,
    boots: &BTreeMap<NodeName, Boot>,
    one: &NodeName,
    other: &NodeName,
) -> bool {
    boots.contains_key(one)
        && boots.contains_key(other)
        && !cuts.contains(&(one.clone(), other.clone()))
        && !cuts.contains(&(other.clone(), one.clone()))
}
