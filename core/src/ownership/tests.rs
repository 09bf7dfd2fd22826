//! One file of tests per rule, on whole machines that talk over a network without chance: what is
//! sent arrives a millisecond later, in order, unless a test cuts the path.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod drain;
mod floors;
mod handover;
mod inputs;
mod rival;
mod start;
mod status;
mod sticky;
mod sync;
mod take;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::facts::{Advertisement, ClaimFacts, HolderFacts, NodeFacts};
use crate::interface::{IfIndex, Interface, MacAddress};
use crate::plan::Announcement;
use crate::service::{ServiceKey, TrafficPolicy};

const LATENCY: Duration = Duration::from_millis(1);

/// A datagram under way.
struct Datagram {
    at: Time,
    from: NodeName,
    boot: Boot,
    to: NodeName,
    message: Message,
}

/// Several speakers, without chance.
pub(super) struct Group {
    pub(super) now: Time,
    machines: BTreeMap<NodeName, Ownership>,
    /// What the API holds; told to speakers by [`Group::tell`].
    pub(super) facts: Facts,
    /// Nodes whose interface is down.
    pub(super) unplugged: BTreeSet<NodeName>,
    under_way: VecDeque<Datagram>,
    cuts: BTreeSet<(NodeName, NodeName)>,
    pub(super) moves: Vec<(Time, Move)>,
    /// Everything that was sent, cut or not.
    pub(super) sent: Vec<(Time, NodeName, NodeName, Message)>,
    /// Who announced a VIP after which step, whenever that changed.
    announced: BTreeMap<IpAddr, Vec<(Time, BTreeSet<NodeName>)>>,
}

pub(super) fn vip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, 100 + last])
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn mk_interface(node: &str) -> Interface {
    let host: u8 = node
        .trim_start_matches('n')
        .parse()
        .expect("a node called n1 to n9");
    Interface {
        index: IfIndex(2),
        name: "eth0".to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, host]),
        addresses: vec![format!("192.0.2.{host}/24").parse().expect("a literal subnet")],
        default_routes: Vec::new(),
    }
}

pub(super) fn mk_service(vip: IpAddr) -> ServiceKey {
    ServiceKey::new("default", format!("web-{vip}"))
}

pub(super) fn mk_claim(vip: IpAddr) -> ClaimFacts {
    ClaimFacts {
        version: 10,
        pool: "home".to_owned(),
        holders: vec![HolderFacts {
            service: mk_service(vip),
            traffic_policy: TrafficPolicy::Cluster,
            advertisements: vec!["all".to_owned()],
        }],
        status_epoch: 0,
        status_owner: None,
    }
}

/// What a member says that owns a VIP: the first change of its table.
pub(super) fn mk_record(vip: IpAddr, epoch: u64, slot: u8) -> Message {
    let mut table = Table::default();
    table.set(vip, Epoch(epoch), Standing::Held { slot });
    Message::Changes(table.changes_after(Version::NONE, 1_000).expect("one change"))
}

// === impl Group ===

impl Group {
    /// Speakers of Ready nodes that know nothing yet, and as many claims.
    pub(super) fn new(nodes: &[&str], claims: u8) -> Self {
        let now = Time::from_millis(1_000);
        let advertisement = Advertisement {
            name: "all".to_owned(),
            node_selectors: Vec::new(),
            interfaces: Vec::new(),
        };
        let ready = NodeFacts {
            ready: true,
            ..NodeFacts::default()
        };
        let mut group = Self {
            now,
            machines: BTreeMap::new(),
            facts: Facts {
                complete: true,
                claims: (0..claims).map(|last| (vip(last), mk_claim(vip(last)))).collect(),
                pools: BTreeMap::from([("home".to_owned(), vec![advertisement])]),
                nodes: nodes.iter().map(|node| ((*node).into(), ready.clone())).collect(),
                ..Facts::default()
            },
            unplugged: BTreeSet::new(),
            under_way: VecDeque::new(),
            cuts: BTreeSet::new(),
            moves: Vec::new(),
            sent: Vec::new(),
            announced: BTreeMap::new(),
        };
        for node in nodes {
            group.boot(node, 1);
        }
        group
    }

    /// Speakers that have come to rest.
    pub(super) fn settled(nodes: &[&str], claims: u8) -> Self {
        let mut group = Self::new(nodes, claims);
        group.tell_all();
        group.meet();
        group.run(millis(1_000));
        group
    }

    /// A speaker begins; it is told nothing.
    pub(super) fn boot(&mut self, node: &str, boot: u64) {
        let config = Config {
            node: node.into(),
            boot: Boot(boot),
            timing: Timing::default(),
        };
        self.machines
            .insert(node.into(), Ownership::new(config, self.now));
    }

    /// A speaker ends, and nobody is told.
    pub(super) fn kill(&mut self, node: &str) {
        self.machines.remove(&NodeName::from(node));
        self.look();
    }

    /// A speaker ends, and membership says so to all others.
    pub(super) fn bury(&mut self, node: &str) {
        self.kill(node);
        for at in self.names() {
            self.down(at.as_str(), node);
        }
    }

    pub(super) fn names(&self) -> Vec<NodeName> {
        self.machines.keys().cloned().collect()
    }

    pub(super) fn machine(&mut self, node: &str) -> &mut Ownership {
        self.machines
            .get_mut(&NodeName::from(node))
            .expect("its speaker runs")
    }

    /// Tells one speaker what the API holds.
    pub(super) fn tell(&mut self, node: &str) {
        let mut facts = self.facts.clone();
        if !self.unplugged.contains(&NodeName::from(node)) {
            facts.interfaces = vec![mk_interface(node)];
        }
        self.act(node, |machine, now| machine.handle_facts(now, Arc::new(facts)));
    }

    pub(super) fn tell_all(&mut self) {
        for node in self.names() {
            self.tell(node.as_str());
        }
    }

    pub(super) fn up(&mut self, at: &str, of: &str) {
        let boot = self.machine(of).boot;
        let node = of.into();
        self.act(at, |machine, now| {
            machine.handle_member(now, &MemberEvent::Up { node, boot });
        });
    }

    pub(super) fn down(&mut self, at: &str, of: &str) {
        let boot = Boot(u64::MAX);
        let node = of.into();
        self.act(at, |machine, now| {
            machine.handle_member(now, &MemberEvent::Down { node, boot });
        });
    }

    /// Membership says to everybody that everybody is there.
    pub(super) fn meet(&mut self) {
        for at in self.names() {
            for of in self.names().into_iter().filter(|of| *of != at) {
                self.up(at.as_str(), of.as_str());
            }
        }
    }

    /// Hands one speaker a message that a member is made to have sent.
    pub(super) fn hand(&mut self, to: &str, from: &str, boot: u64, message: Message) {
        self.act(to, |machine, now| {
            machine.handle_message(now, &from.into(), Boot(boot), message);
        });
    }

    /// Datagrams from one to the other are lost from now on.
    pub(super) fn cut(&mut self, from: &str, to: &str) {
        self.cuts.insert((from.into(), to.into()));
        self.under_way
            .retain(|datagram| datagram.from.as_str() != from || datagram.to.as_str() != to);
    }

    /// Nobody hears a node any more, and it hears nobody.
    pub(super) fn isolate(&mut self, node: &str) {
        for other in self.names().into_iter().filter(|other| other.as_str() != node) {
            self.cut(node, other.as_str());
            self.cut(other.as_str(), node);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timer = self
                .machines
                .iter()
                .filter_map(|(node, machine)| Some((machine.poll_timeout()?, node.clone())))
                .min();
            let arrival = self.under_way.front().map(|datagram| datagram.at);
            let next = timer.as_ref().map(|(at, _)| *at).into_iter().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Datagram {
                    from,
                    boot,
                    to,
                    message,
                    ..
                } = self.under_way.pop_front().expect("it was seen");
                if self.machines.contains_key(&to) {
                    self.act(to.as_str(), |machine, now| {
                        machine.handle_message(now, &from, boot, message);
                    });
                }
            } else if let Some((_, node)) = timer {
                self.act(node.as_str(), Ownership::handle_timeout);
            }
        }
        self.now = end;
    }

    /// Lets a machine do something, and carries out what it wants done.
    pub(super) fn act(&mut self, node: &str, act: impl FnOnce(&mut Ownership, Time)) {
        let name = NodeName::from(node);
        let now = self.now;
        let machine = self.machines.get_mut(&name).expect("its speaker runs");
        let revision = machine.plan_revision();
        act(machine, now);
        let boot = machine.boot;
        let is_plan_new = revision != machine.plan_revision();
        let effects: Vec<_> = std::iter::from_fn(|| machine.poll_effect()).collect();
        // In the order that the driver is asked for: the plan first.
        if is_plan_new {
            self.look();
        }
        for effect in effects {
            match effect {
                Effect::Moved(change) => self.moves.push((now, change)),
                Effect::Send { to, message } => {
                    self.sent.push((now, name.clone(), to.clone(), message.clone()));
                    if !self.cuts.contains(&(name.clone(), to.clone())) {
                        let at = now + LATENCY;
                        self.under_way.push_back(Datagram {
                            at,
                            from: name.clone(),
                            boot,
                            to,
                            message,
                        });
                    }
                }
            }
        }
    }

    /// Notes who announces what.
    fn look(&mut self) {
        for vip in self.facts.claims.keys() {
            let announcers: BTreeSet<_> = self
                .machines
                .iter()
                .filter(|(_, machine)| machine.plan().announcements.contains_key(vip))
                .map(|(node, _)| node.clone())
                .collect();
            let history = self.announced.entry(*vip).or_default();
            if history.last().is_none_or(|(_, last)| *last != announcers) {
                history.push((self.now, announcers));
            }
        }
    }

    pub(super) fn announcers(&self, vip: IpAddr) -> Vec<&str> {
        let running = self.machines.iter();
        running
            .filter(|(_, machine)| machine.plan().announcements.contains_key(&vip))
            .map(|(node, _)| node.as_str())
            .collect()
    }

    /// Who announces a VIP; a failure unless it is exactly one.
    pub(super) fn owner(&self, vip: IpAddr) -> NodeName {
        let announcers = self.announcers(vip);
        assert_eq!(
            announcers.len(),
            1,
            "{vip} is announced by {announcers:?}: {:#?}",
            self.moves
        );
        announcers[0].into()
    }

    pub(super) fn announcement(&self, vip: IpAddr) -> &Announcement {
        let owner = self.owner(vip);
        &self.machines[&owner].plan().announcements[&vip]
    }

    /// Whether somebody has announced a VIP ever since it was announced first.
    pub(super) fn has_no_gap(&self, vip: IpAddr) -> bool {
        let first = self.announced[&vip]
            .iter()
            .skip_while(|(_, nodes)| nodes.is_empty());
        first.into_iter().all(|(_, nodes)| !nodes.is_empty())
    }

    /// The moves of a VIP since a point in the list of all moves, with the time since then.
    pub(super) fn moves_since(&self, before: usize) -> Vec<&Move> {
        self.moves[before..].iter().map(|(_, change)| change).collect()
    }

    /// How many VIPs each node announces.
    pub(super) fn shares(&self) -> Vec<usize> {
        self.machines
            .values()
            .map(|machine| machine.plan().announcements.len())
            .collect()
    }

    /// What one speaker sent another since a point in the list of all that was sent.
    pub(super) fn sent_since(&self, before: usize, from: &str, to: &str) -> Vec<(Time, &Message)> {
        self.sent[before..]
            .iter()
            .filter(|(_, one, other, _)| one.as_str() == from && other.as_str() == to)
            .map(|(at, _, _, message)| (*at, message))
            .collect()
    }
}

/// The first name that is not this one.
pub(super) fn other_than(nodes: &[&str], not: &NodeName) -> NodeName {
    (*nodes
        .iter()
        .find(|node| **node != not.as_str())
        .expect("there are others"))
    .into()
}
