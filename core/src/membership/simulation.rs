//! Members on a virtual network with a virtual clock: loss, cuts, crashes, pauses; seeded.
//!
//! Every datagram is really sealed and opened. What the members said is kept with the time at
//! which they said it, and the tests ask about that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

mod tests;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The network and all members on it.
struct Lan {
    now: Time,
    rng: StdRng,
    keys: Keys,
    loss: f64,
    /// Ordered pairs that cannot hear each other.
    cuts: BTreeSet<(usize, usize)>,
    nodes: BTreeMap<usize, Node>,
    /// In flight, by arrival; the second number keeps the order of sending.
    flying: BTreeMap<(Time, u64), (usize, SocketAddr, Vec<u8>)>,
    sent: u64,
    said: u64,
    runs: u64,
}

/// One speaker's process.
struct Node {
    membership: Membership,
    /// Datagrams in its socket while it does not run.
    socket: Vec<(SocketAddr, Vec<u8>)>,
    /// Does not run before this.
    paused_until: Time,
    /// What it said, and when.
    said: Vec<(Time, Said)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Up(usize, Boot),
    Down(usize, Departure),
    Message(usize, Vec<u8>),
    Superseded(Boot),
}

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 256) as u8, (n % 256) as u8], 7979))
}

fn name(n: usize) -> NodeName {
    NodeName::from(format!("n{n}"))
}

fn number(name: &NodeName) -> usize {
    name.as_str()
        .trim_start_matches('n')
        .parse()
        .expect("a name of ours")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// === impl Lan ===

impl Lan {
    /// A network on which `n` speakers start within the same second.
    fn new(n: usize, seed: u64) -> Self {
        let mut lan = Self {
            now: Time::from_millis(1000),
            rng: StdRng::seed_from_u64(seed),
            keys: Keys::parse(SECRET).expect("a valid secret"),
            loss: 0.0,
            cuts: BTreeSet::new(),
            nodes: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            said: 0,
            runs: 0,
        };
        for node in 0..n {
            lan.start(node, n);
            let pause = lan.rng.random_range(0..200);
            lan.run(ms(pause));
        }
        lan
    }

    /// A new run of one speaker, seeded with `n` nodes.
    fn start(&mut self, node: usize, n: usize) {
        self.runs += 1;
        self.start_as(node, n, Boot(1_000_000 + self.runs));
    }

    fn start_as(&mut self, node: usize, n: usize, boot: Boot) {
        let config = Config {
            name: name(node),
            boot,
            advertise: address(node),
            keys: self.keys.clone(),
            seed: self.rng.random(),
        };
        let mut membership = Membership::new(config, self.now);
        membership.set_seeds((0..n).map(address).collect(), self.now);
        let node_state = Node {
            membership,
            socket: Vec::new(),
            paused_until: Time::ZERO,
            said: Vec::new(),
        };
        self.nodes.insert(node, node_state);
    }

    /// Everything from `a` to `b` and back is lost from now on, or not any more.
    fn cut(&mut self, a: usize, b: usize, is_cut: bool) {
        for pair in [(a, b), (b, a)] {
            if is_cut {
                self.cuts.insert(pair);
            } else {
                self.cuts.remove(&pair);
            }
        }
    }

    fn pause(&mut self, node: usize, duration: Duration) {
        let until = self.now + duration;
        self.nodes.get_mut(&node).expect("a running node").paused_until = until;
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_until(end, |_| false);
    }

    /// Runs until the condition holds after something was said; `None` when it never did.
    fn run_until(&mut self, end: Time, mut condition: impl FnMut(&Self) -> bool) -> Option<Time> {
        let mut judged = None;
        loop {
            if judged != Some(self.said) {
                judged = Some(self.said);
                if condition(self) {
                    return Some(self.now);
                }
            }
            let flight = self.flying.first_key_value().map(|((at, _), _)| *at);
            let wake = self
                .nodes
                .values()
                .filter_map(|node| Some(node.membership.poll_timeout()?.max(node.paused_until)))
                .min();
            let next = flight
                .into_iter()
                .chain(wake)
                .min()
                .expect("a member always has a timer");
            if next > end {
                self.now = end;
                return None;
            }
            self.now = self.now.max(next);
            self.deliver();
            self.wake();
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self
            .flying
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let (to, from, datagram) = entry.remove();
            if let Some(node) = self.nodes.get_mut(&to) {
                node.socket.push((from, datagram));
            }
        }
    }

    fn wake(&mut self) {
        let numbers: Vec<_> = self.nodes.keys().copied().collect();
        for number in numbers {
            let node = self.nodes.get_mut(&number).expect("just listed");
            if node.paused_until > self.now {
                continue;
            }
            // As the driver must: the socket first, then the timers.
            for (from, mut datagram) in node.socket.drain(..) {
                let _rejected = node.membership.handle_datagram(from, &mut datagram, self.now);
            }
            if node.membership.poll_timeout().is_some_and(|at| at <= self.now) {
                node.membership.handle_timeout(self.now);
            }
            self.collect(number);
        }
    }

    /// Takes what a member wants and says.
    fn collect(&mut self, from: usize) {
        let node = self.nodes.get_mut(&from).expect("a running node");
        let outputs: Vec<_> = std::iter::from_fn(|| node.membership.poll_output()).collect();
        for output in outputs {
            let said = match output {
                Output::Send { to, datagram } => {
                    self.send(from, to, datagram);
                    continue;
                }
                Output::Up(member) => Said::Up(number(&member.name), member.boot),
                Output::Down { name, departure, .. } => Said::Down(number(&name), departure),
                Output::Message { from, bytes, .. } => Said::Message(number(&from), bytes),
                Output::Superseded { known } => Said::Superseded(known),
            };
            let now = self.now;
            self.said += 1;
            self.nodes
                .get_mut(&from)
                .expect("a running node")
                .said
                .push((now, said));
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, datagram: Vec<u8>) {
        let SocketAddr::V4(v4) = to else {
            panic!("the addresses here are IPv4");
        };
        let [_, _, high, low] = v4.ip().octets();
        let to = usize::from(high) * 256 + usize::from(low);
        self.sent += 1;
        let is_lost = self.rng.random_bool(self.loss);
        if is_lost || self.cuts.contains(&(from, to)) {
            return;
        }
        let latency = Duration::from_micros(self.rng.random_range(150..300));
        self.flying
            .insert((self.now + latency, self.sent), (to, address(from), datagram));
    }

    /// Who a member holds to be Up, itself included.
    fn view(&self, node: usize) -> BTreeSet<usize> {
        let members = self.nodes[&node].membership.members();
        members.map(|member| number(&member.name)).chain([node]).collect()
    }

    /// Whether all of these hold exactly these to be Up.
    fn agree(&self, group: &BTreeSet<usize>) -> bool {
        group.iter().all(|node| self.view(*node) == *group)
    }

    fn all(&self) -> BTreeSet<usize> {
        self.nodes.keys().copied().collect()
    }

    /// Runs until all members see each other.
    fn converge(&mut self) {
        let end = self.now + ms(10_000);
        let all = self.all();
        self.run_until(end, |lan| lan.agree(&all))
            .unwrap_or_else(|| panic!("{} members have not found each other in 10 s", all.len()));
    }

    /// Everything said about members going Down since a time.
    fn deaths(&self, since: Time) -> Vec<(usize, usize, Departure)> {
        let mut deaths = Vec::new();
        for (node, state) in &self.nodes {
            for (at, said) in &state.said {
                if let Said::Down(whom, departure) = said
                    && *at >= since
                {
                    deaths.push((*node, *whom, *departure));
                }
            }
        }
        deaths
    }
}
