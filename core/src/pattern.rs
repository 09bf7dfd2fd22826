//! Decides on which interfaces a VIP may be announced: an advertisement's patterns against the
//! interfaces that are there.
//!
//! The rules, in the order in which they are tried for one advertisement:
//!
//! - With a pattern that chooses (`eth0`, `bond*`), the interfaces whose name matches one.
//! - Without, the default interfaces: those with a subnet that contains the VIP; if there is
//!   none, those with the default route of the VIP's family. A subnet whose link is down is there
//!   all the same: where the default route leads nobody asks for the VIP, and another node can
//!   be asked.
//! - What a pattern with `!` matches is out in both cases, and so are the interfaces that belong
//!   to containers and tunnels ([`EXCLUDED_PREFIXES`]) unless a pattern names them.
//!
//! Whether an interface is usable at all was decided before: `netlink` lists only those.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::Family;
use crate::interface::{IfIndex, Interface, Links};

/// What interfaces of containers, tunnels and proxies are called. They are excluded by name and
/// not by link kind, because a LAN interface may well be a veth or a bridge.
pub const EXCLUDED_PREFIXES: [&str; 12] = [
    "br-",
    "cali",
    "cni",
    "docker",
    "flannel",
    "kube-ipvs",
    "lxc",
    "nodelocaldns",
    "tun",
    "veth",
    "virbr",
    "wg",
];

/// One pattern of an advertisement's `interfaces`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern<'a> {
    /// The text without its `!`; `*` stands for any text, also for none.
    glob: &'a str,
    /// It began with `!`: what matches is left out.
    is_negated: bool,
}

/// All patterns of an advertisement.
#[derive(Clone, Debug)]
struct Choice<'a> {
    /// What they choose; empty = the default interfaces.
    chosen: Vec<Pattern<'a>>,
    /// What they leave out.
    negated: Vec<Pattern<'a>>,
}

/// The interfaces on which a VIP may be announced by one advertisement with these patterns.
///
/// Several advertisements unite: the caller joins their results. An empty pattern matches nothing.
pub fn allowed_interfaces(patterns: &[String], vip: IpAddr, links: Links<'_>) -> BTreeSet<IfIndex> {
    let choice = Choice::parse(patterns);
    let admitted: Vec<_> = links
        .usable
        .iter()
        .filter(|interface| choice.admits(&interface.name))
        .collect();
    if !choice.chosen.is_empty() {
        return indexes(&admitted, |_| true);
    }
    let on_link = indexes(&admitted, |interface| contains(interface, vip));
    if !on_link.is_empty() || links.away.iter().any(|subnet| subnet.contains(&vip)) {
        return on_link;
    }
    indexes(&admitted, |interface| {
        interface.default_routes.contains(&Family::of(vip))
    })
}

/// Whether an advertisement with these patterns announces on an interface of this name, if its
/// subnets allow it.
pub fn admits(patterns: &[String], name: &str) -> bool {
    Choice::parse(patterns).admits(name)
}

/// Whether a subnet of the interface contains the VIP.
pub fn contains(interface: &Interface, vip: IpAddr) -> bool {
    interface.addresses.iter().any(|subnet| subnet.contains(&vip))
}

// === impl Choice ===

impl<'a> Choice<'a> {
    fn parse(patterns: &'a [String]) -> Self {
        let (negated, chosen) = patterns
            .iter()
            .map(|text| Pattern::parse(text))
            .partition(|pattern| pattern.is_negated);
        Self { chosen, negated }
    }

    fn admits(&self, name: &str) -> bool {
        let is_chosen = match self.chosen.as_slice() {
            [] => !is_excluded(name),
            chosen => chosen.iter().any(|pattern| pattern.chooses(name)),
        };
        is_chosen && !self.negated.iter().any(|pattern| pattern.matches(name))
    }
}

// === impl Pattern ===

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Self {
        match text.strip_prefix('!') {
            Some(glob) => Self {
                glob,
                is_negated: true,
            },
            None => Self {
                glob: text,
                is_negated: false,
            },
        }
    }

    fn matches(&self, name: &str) -> bool {
        glob_matches(self.glob, name)
    }

    /// Whether the pattern matches, and names the interface if it is one of the excluded: the
    /// text before the first `*` must then itself begin with the excluded prefix. So `veth1` and
    /// `veth*` choose a veth, and `*` does not.
    fn chooses(&self, name: &str) -> bool {
        let literal = self.glob.split('*').next().unwrap_or_default();
        self.matches(name) && (!is_excluded(name) || is_excluded(literal))
    }
}

/// Whether an interface of this name is of containers or tunnels.
pub fn is_excluded(name: &str) -> bool {
    EXCLUDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn indexes(interfaces: &[&Interface], admits: impl Fn(&Interface) -> bool) -> BTreeSet<IfIndex> {
    interfaces
        .iter()
        .filter(|interface| admits(interface))
        .map(|interface| interface.index)
        .collect()
}

/// Matches a name against a text in which `*` stands for any text.
///
/// Greedy from the left, so that the time is bounded by the product of the lengths whatever the
/// pattern: the parts between stars are searched one after the other, the last must end the name.
fn glob_matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty() && !glob.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::MacAddress;

    fn mk_interface(index: u32, name: &str, subnets: &[&str], default_routes: &[Family]) -> Interface {
        Interface {
            index: IfIndex(index),
            name: name.to_owned(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            addresses: subnets
                .iter()
                .map(|subnet| subnet.parse().expect("a literal subnet"))
                .collect(),
            default_routes: default_routes.to_vec(),
        }
    }

    /// A node with a LAN, a second network, a bond without addresses, and the usual container links.
    fn mk_node() -> Vec<Interface> {
        vec![
            mk_interface(2, "eth0", &["192.0.2.11/24", "2001:db8::11/64"], &[Family::V4]),
            mk_interface(3, "eth1", &["198.51.100.11/24"], &[Family::V6]),
            mk_interface(4, "bond0", &[], &[]),
            mk_interface(5, "docker0", &["172.17.0.1/16"], &[]),
            mk_interface(6, "vethab12", &["10.244.1.1/24"], &[]),
            mk_interface(7, "br-6f1c", &["192.0.2.77/24"], &[Family::V4]),
            mk_interface(8, "br0", &["203.0.113.1/24"], &[]),
        ]
    }

    fn chosen(patterns: &[&str], vip: &str) -> Vec<u32> {
        chosen_beside(&[], patterns, vip)
    }

    fn chosen_beside(away: &[&str], patterns: &[&str], vip: &str) -> Vec<u32> {
        let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        let away: Vec<_> = away
            .iter()
            .map(|subnet| subnet.parse().expect("a literal subnet"))
            .collect();
        let links = Links {
            usable: &mk_node(),
            away: &away,
        };
        allowed_interfaces(&patterns, vip.parse().expect("a literal address"), links)
            .into_iter()
            .map(|index| index.0)
            .collect()
    }

    #[test]
    fn by_default_the_interfaces_whose_subnet_contains_the_vip_announce() {
        assert_eq!(
            chosen(&[], "192.0.2.200"),
            [2],
            "br-6f1c has the subnet too, but is a container bridge"
        );
        assert_eq!(chosen(&[], "198.51.100.200"), [3]);
        assert_eq!(chosen(&[], "2001:db8::200"), [2]);
        assert_eq!(
            chosen(&[], "203.0.113.200"),
            [8],
            "br0 is a LAN bridge, br-* is not"
        );
    }

    #[test]
    fn by_default_a_vip_of_no_subnet_goes_to_the_default_route_of_its_family() {
        assert_eq!(chosen(&[], "10.9.9.9"), [2]);
        assert_eq!(chosen(&[], "2001:db8:ffff::1"), [3]);
        assert_eq!(
            chosen(&[], "172.17.0.9"),
            [2],
            "docker0 is excluded, so its subnet does not count"
        );
    }

    #[test]
    fn by_default_a_vip_whose_link_is_away_goes_nowhere_else() {
        let away = &["10.9.0.0/16"];
        assert_eq!(chosen_beside(away, &[], "10.9.9.9"), [] as [u32; 0]);
        assert_eq!(chosen_beside(away, &[], "10.8.9.9"), [2]);
        assert_eq!(
            chosen_beside(&["192.0.2.0/24"], &[], "192.0.2.200"),
            [2],
            "another link into the same network is there"
        );
        assert_eq!(chosen_beside(away, &["eth1"], "10.9.9.9"), [3], "it is named");
    }

    #[test]
    fn patterns_choose_by_name_whatever_the_subnet() {
        assert_eq!(chosen(&["eth1"], "192.0.2.200"), [3]);
        assert_eq!(chosen(&["eth*", "bond*"], "192.0.2.200"), [2, 3, 4]);
        assert_eq!(chosen(&["*th*"], "192.0.2.200"), [2, 3]);
        assert_eq!(
            chosen(&["*"], "192.0.2.200"),
            [2, 3, 4, 8],
            "a star names no excluded interface"
        );
        assert_eq!(chosen(&["nothing"], "192.0.2.200"), [] as [u32; 0]);
        assert_eq!(chosen(&[""], "192.0.2.200"), [] as [u32; 0]);
    }

    #[test]
    fn an_excluded_interface_announces_when_it_is_named() {
        assert_eq!(chosen(&["vethab12"], "192.0.2.200"), [6]);
        assert_eq!(chosen(&["veth*", "docker0"], "192.0.2.200"), [5, 6]);
        assert_eq!(chosen(&["v*"], "192.0.2.200"), [] as [u32; 0]);
    }

    #[test]
    fn a_negated_pattern_takes_away_from_what_the_others_choose() {
        assert_eq!(chosen(&["eth*", "!eth1"], "192.0.2.200"), [2]);
        assert_eq!(
            chosen(&["!eth1", "eth*"], "192.0.2.200"),
            [2],
            "the order does not matter"
        );
        assert_eq!(
            chosen(&["!eth0"], "192.0.2.200"),
            [] as [u32; 0],
            "alone it takes from the default"
        );
        assert_eq!(chosen(&["!eth1"], "192.0.2.200"), [2]);
    }

    #[test]
    fn stars_match_any_text_and_nothing_else_does() {
        for (glob, name, is_match) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth", true),
            ("*0", "eth0", true),
            ("*0", "eth01", false),
            ("e*h*0", "eth10", true),
            ("e*h*0", "eth1", false),
            ("eth*0", "eth0", true),
            ("eth0*0", "eth0", false),
            ("**", "x", true),
            ("e?h0", "eth0", false),
        ] {
            assert_eq!(glob_matches(glob, name), is_match, "{glob} against {name}");
        }
    }
}
