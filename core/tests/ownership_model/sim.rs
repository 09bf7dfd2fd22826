//! Several real machines on a virtual network with a virtual clock and seeded faults.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::facts::Facts;
use ferrolb_core::node::{Boot, NodeName};
use ferrolb_core::ownership::{Config, Ownership, Timing};
use ferrolb_core::time::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::oracle::Oracle;
use crate::swim::{Reality, Swim};
use crate::world::{World, mk_node};
use crate::{micros, millis};

/// More datagrams, facts and writes than this are never under way: something answers itself.
const MOST_EVENTS: usize = 2_000;

/// How long a datagram takes: at least, at most when all is well, and what some take longer.
const LATENCY: (u64, u64) = (100, 1_500);
const DELAY: u64 = 40_000;

/// The longest that a datagram takes.
pub(crate) const SLOWEST: Duration = micros(LATENCY.1 + DELAY);

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
    is_draining: bool,
    /// It is about to write what claims' statuses should say.
    is_writing: bool,
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
    /// How often the API was written to.
    pub(crate) writes: u64,
    /// Whether a member that membership holds Down can be sent to.
    pub(crate) is_down_reachable: bool,
    is_logging: bool,
    hosts: BTreeMap<NodeName, Host>,
    nodes: Vec<NodeName>,
    cuts: BTreeSet<(NodeName, NodeName)>,
    /// Who was heard by whom since both run and nothing was cut, as (from, to).
    heard: BTreeSet<(NodeName, NodeName)>,
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
            writes: 0,
            is_down_reachable: true,
            is_logging: std::env::var_os("FERROLB_MODEL_LOG").is_some(),
            hosts: BTreeMap::new(),
            nodes: names.clone(),
            cuts: BTreeSet::new(),
            heard: BTreeSet::new(),
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
        (host.revision, host.plan_revision, host.is_writing) = (0, 0, false);
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
            self.end(node);
        }
    }

    fn end(&mut self, node: &NodeName) {
        self.host(node).machine = None;
        self.heard.retain(|(from, to)| from != node && to != node);
        self.host(node).is_draining = false;
        self.swim.forget(node);
        self.oracle.ended(node);
        self.look_who_is_apart();
    }

    pub(crate) fn terminate(&mut self, node: &NodeName) {
        if self.is_running(node) {
            self.note(&format!("{node} gets SIGTERM"));
            self.host(node).is_draining = true;
            self.with(node, Ownership::handle_drain);
        }
    }

    /// Datagrams from one to another are lost from now on.
    pub(crate) fn cut(&mut self, from: &NodeName, to: &NodeName) {
        if self.cuts.insert((from.clone(), to.clone())) {
            self.heard.remove(&(from.clone(), to.clone()));
            self.note(&format!("{from} is not heard by {to}"));
            self.look_who_is_apart();
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
            self.cuts.clear();
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
            self.look_who_is_apart();
            self.member(at, &event);
        }
    }

    pub(crate) fn set_link(&mut self, node: &NodeName, is_up: bool) {
        if self.hosts[node].is_link_up == is_up {
            return;
        }
        self.note(&format!("{node}'s interface is up: {is_up}"));
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
            let delay = millis(self.rng.random_range(10..500));
            self.tell(node, delay);
            self.write_status_soon(node);
        }
    }

    pub(crate) fn set_lag(&mut self, node: &NodeName, lag: Duration) {
        self.host(node).lag = lag;
    }

    /// Changes the API's objects; speakers learn of it in their own time.
    pub(crate) fn change(&mut self, what: &str, change: impl FnOnce(&mut World)) {
        self.note(what);
        change(&mut self.world);
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

    /// Tells the oracle who cannot rely on whom now; to be called before that is over, at the latest.
    pub(super) fn look_who_is_apart(&mut self) {
        let boots = self.boots();
        let is_linked = |one: &NodeName, other: &NodeName| is_linked(&self.cuts, &boots, one, other);
        let reality = Reality {
            now: self.now,
            boots: &boots,
            is_linked: &is_linked,
        };
        let is_synced = |node| {
            let machine = self.hosts.get(node).and_then(|host| host.machine.as_ref());
            machine.is_some_and(Ownership::is_synced)
        };
        for at in &self.nodes {
            for of in self.nodes.iter().filter(|of| *of != at) {
                let run = is_synced(at) && is_synced(of);
                if !run || !is_linked(at, of) {
                    self.oracle.causes.separate(self.now, at, of);
                }
                if !run || !reality.reaches(at, of) || !self.swim.is_up(at, of) {
                    self.oracle.causes.part(self.now, at, of);
                }
            }
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
        if self.queue.len() > MOST_EVENTS {
            self.fail_on(Err(format!("more than {MOST_EVENTS} events are under way")));
        }
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
