//! Where the others reach this speaker, and where it looks for them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ferrolb_core::facts::Facts;
use ferrolb_core::node::NodeName;

use crate::args::Peer;

/// What flags say about addresses.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// `--node-name`.
    pub(crate) node: NodeName,
    /// Where the gossip socket is bound.
    pub(crate) bound: SocketAddr,
    /// `--gossip-advertise`.
    pub(crate) advertise: Option<Peer>,
    /// `--seed`.
    pub(crate) seeds: BTreeSet<SocketAddr>,
}

// === impl Addresses ===

impl Addresses {
    /// Where the others reach this speaker: the flag, else the address that the socket is bound
    /// to, else the Node's first InternalIP; `None` while that is not known.
    pub(crate) fn advertised(&self, facts: &Facts) -> Option<SocketAddr> {
        let port = self.bound.port();
        if let Some(peer) = self.advertise {
            return Some(peer.resolve(port));
        }
        if !self.bound.ip().is_unspecified() {
            return Some(self.bound);
        }
        let internal = facts.nodes.get(&self.node)?.internal_ip?;
        Some(SocketAddr::new(internal, port))
    }

    /// Where speakers may be: at every Node's first InternalIP, on the port that we use, and where
    /// flags say.
    pub(crate) fn seeds(&self, facts: &Facts) -> BTreeSet<SocketAddr> {
        let nodes = facts.nodes.values().filter_map(|node| node.internal_ip);
        nodes
            .map(|ip| SocketAddr::new(ip, self.bound.port()))
            .chain(self.seeds.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ferrolb_core::facts::NodeFacts;

    use super::*;

    fn mk_facts() -> Facts {
        let node = |ip: &str| NodeFacts {
            internal_ip: Some(ip.parse().expect("a literal address")),
            ..NodeFacts::default()
        };
        Facts {
            nodes: BTreeMap::from([
                ("n1".into(), node("192.0.2.1")),
                ("n2".into(), node("192.0.2.2")),
                ("n3".into(), NodeFacts::default()),
            ]),
            ..Facts::default()
        }
    }

    fn mk_addresses(bound: &str, advertise: Option<&str>) -> Addresses {
        Addresses {
            node: "n1".into(),
            bound: bound.parse().expect("a literal address"),
            advertise: advertise.map(|text| text.parse().expect("a literal address")),
            seeds: BTreeSet::from(["198.51.100.1:1".parse().expect("a literal address")]),
        }
    }

    #[test]
    fn the_flag_goes_before_the_socket_and_the_socket_before_the_node() {
        for (bound, advertise, expected) in [
            ("192.0.2.9:7000", Some("203.0.113.1"), "203.0.113.1:7000"),
            ("192.0.2.9:7000", Some("203.0.113.1:1"), "203.0.113.1:1"),
            ("192.0.2.9:7000", None, "192.0.2.9:7000"),
            ("[::]:7979", None, "192.0.2.1:7979"),
        ] {
            let advertised = mk_addresses(bound, advertise).advertised(&mk_facts());
            assert_eq!(advertised, Some(expected.parse().expect("a literal address")));
        }
        assert_eq!(
            mk_addresses("[::]:7979", None).advertised(&Facts::default()),
            None
        );
    }

    #[test]
    fn every_node_with_an_address_is_a_seed() {
        let expected = ["192.0.2.1:7979", "192.0.2.2:7979", "198.51.100.1:1"];
        let expected = expected.map(|text| text.parse().expect("a literal address"));
        let addresses = mk_addresses("[::]:7979", None);
        assert_eq!(addresses.seeds(&mk_facts()), BTreeSet::from(expected));
    }
}
