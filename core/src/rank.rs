//! Who should own which VIP: the order of candidates, and the walk that spreads many VIPs evenly.
//!
//! Among the candidates of a VIP the one that holds the fewest VIPs comes first; a stable hash of
//! VIP and node breaks ties. VIPs are walked in address order, and each counts for its first
//! candidate before the next is looked at: so they spread evenly and not just on average. Every
//! member that knows the same comes to the same answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::node::NodeName;

/// How many VIPs each member holds, or is about to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    by_node: BTreeMap<NodeName, usize>,
}

/// Where a node stands among the candidates of one VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The first candidate.
    pub first: NodeName,
    /// How many candidates come before the node that asks; `None` when it is no candidate.
    pub place: Option<usize>,
}

/// The tie-breaker between two candidates: the smaller comes first.
///
/// The first eight bytes, big-endian, of SHA-256 over the address as 16 bytes (IPv4 mapped into
/// IPv6) and the name of the node: the same on every architecture and in every version.
pub fn hash(vip: IpAddr, node: &NodeName) -> u64 {
    let octets = match vip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let digest = Sha256::new()
        .chain_update(octets)
        .chain_update(node.as_str())
        .finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

// === impl Load ===

impl Load {
    /// Counts more VIPs for a node.
    pub fn add(&mut self, node: &NodeName, vips: usize) {
        match self.by_node.get_mut(node) {
            Some(count) => *count += vips,
            None => {
                self.by_node.insert(node.clone(), vips);
            }
        }
    }

    /// Counts one VIP less for a node.
    pub fn remove(&mut self, node: &NodeName) {
        if let Some(count) = self.by_node.get_mut(node) {
            *count = count.saturating_sub(1);
        }
    }

    /// The candidate of a VIP that comes first, and the place of `me`; `None` without candidates.
    pub fn rank(&self, vip: IpAddr, candidates: &[&NodeName], me: &NodeName) -> Option<Rank> {
        let mut sorted = candidates.to_vec();
        // The hash is asked for once per candidate at most, and not at all for a single one.
        sorted.sort_by_cached_key(|node| self.key(vip, node, candidates.len()));
        let first = (*sorted.first()?).clone();
        let place = sorted.iter().position(|node| *node == me);
        Some(Rank { first, place })
    }

    fn key<'a>(&self, vip: IpAddr, node: &'a NodeName, candidates: usize) -> (usize, u64, &'a NodeName) {
        let held = self.by_node.get(node).copied().unwrap_or_default();
        let tie = if candidates > 1 { hash(vip, node) } else { 0 };
        (held, tie, node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_nodes(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| NodeName::from(*name)).collect()
    }

    #[test]
    fn the_hash_has_the_golden_values() {
        // From `printf` of the 16 octets and the name into `sha256sum`: these never change.
        for (vip, node, expected) in [
            ("192.168.1.200", "n1", 0x80af_6b13_41f4_6227),
            ("192.168.1.200", "n2", 0x752f_068b_e718_5430),
            ("192.168.1.201", "n1", 0xab68_2a63_d7ba_5b05),
            ("2001:db8::1", "n1", 0xc9b2_76d5_3d19_c1be),
            ("2001:db8::1", "worker-3.example.org", 0x1486_ae0b_b862_750f),
            ("::ffff:192.168.1.200", "n1", 0x80af_6b13_41f4_6227),
        ] {
            let address: IpAddr = vip.parse().expect("a literal address");
            assert_eq!(hash(address, &node.into()), expected, "{vip} on {node}");
        }
    }

    #[test]
    fn the_candidate_that_holds_the_fewest_comes_first() {
        let nodes = mk_nodes(&["a", "b", "c"]);
        let mut load = Load::default();
        load.add(&nodes[0], 2);
        load.add(&nodes[1], 1);
        load.add(&nodes[2], 2);
        let rank = load.rank(
            "192.0.2.1".parse().unwrap(),
            &nodes.iter().collect::<Vec<_>>(),
            &nodes[1],
        );
        assert_eq!(
            rank,
            Some(Rank {
                first: nodes[1].clone(),
                place: Some(0)
            })
        );
    }

    #[test]
    fn a_tie_goes_to_the_smaller_hash_whatever_the_name() {
        let nodes = mk_nodes(&["a", "b", "c", "d", "e"]);
        let candidates: Vec<_> = nodes.iter().collect();
        for last in 0..20 {
            let vip = IpAddr::from([192, 0, 2, last]);
            let expected = nodes.iter().min_by_key(|node| hash(vip, node));
            let rank = Load::default().rank(vip, &candidates, &nodes[0]);
            assert_eq!(rank.map(|rank| rank.first).as_ref(), expected, "{vip}");
        }
    }

    #[test]
    fn without_candidates_nobody_is_first() {
        assert_eq!(
            Load::default().rank("192.0.2.1".parse().unwrap(), &[], &"a".into()),
            None
        );
    }

    #[test]
    fn the_order_of_candidates_does_not_matter() {
        let nodes = mk_nodes(&["a", "b", "c", "d"]);
        let load = Load::default();
        let vip = "192.0.2.77".parse().unwrap();
        let forward: Vec<_> = nodes.iter().collect();
        let backward: Vec<_> = nodes.iter().rev().collect();
        for me in &nodes {
            assert_eq!(load.rank(vip, &forward, me), load.rank(vip, &backward, me));
        }
    }

    #[test]
    fn a_walk_spreads_vips_evenly_and_not_just_on_average() {
        let nodes = mk_nodes(&["a", "b", "c"]);
        let candidates: Vec<_> = nodes.iter().collect();
        let mut load = Load::default();
        for last in 0..30 {
            let rank = load.rank(IpAddr::from([192, 0, 2, last]), &candidates, &nodes[0]);
            load.add(&rank.expect("there are candidates").first, 1);
        }
        assert_eq!(load.by_node.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
    }
}
