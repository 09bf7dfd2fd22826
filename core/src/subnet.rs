//! Addresses that a subnet keeps for itself, though nothing stops an administrator from lending them.
//!
//! Hosts of an IPv4 subnet send what is for its last address to everybody and ask nobody who has it;
//! many hosts treat its first address alike. The first address of an IPv6 subnet belongs to its
//! routers (RFC 4291, 2.6.1), and a Linux host that forwards answers for it. Subnets for two hosts
//! keep none (RFC 3021, RFC 6164), and neither do single addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// What a subnet keeps an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// The first address of an IPv4 subnet: the subnet itself.
    Network,
    /// The last address of an IPv4 subnet: all its hosts.
    Broadcast,
    /// The first address of an IPv6 subnet: any of its routers.
    Routers,
}

/// The addresses that a subnet keeps for itself, the first one first.
pub fn kept(subnet: IpNet) -> impl Iterator<Item = (IpAddr, Keeping)> {
    let [first, last] = match subnet {
        _ if !has_room(subnet) => [None, None],
        IpNet::V4(subnet) => [
            Some((subnet.network().into(), Keeping::Network)),
            Some((subnet.broadcast().into(), Keeping::Broadcast)),
        ],
        IpNet::V6(subnet) => [Some((subnet.network().into(), Keeping::Routers)), None],
    };
    first.into_iter().chain(last)
}

/// What a subnet keeps an address for; `None` when any host may have it.
pub fn keeping(subnet: IpNet, address: IpAddr) -> Option<Keeping> {
    let mut kept = kept(subnet);
    kept.find(|(kept, _)| *kept == address)
        .map(|(_, keeping)| keeping)
}

/// The smallest subnet that has an address, without host bits. What has no room for more than two
/// hosts counts for none: such a prefix is usually that of one more address of a host, which says
/// nothing about its neighbors.
pub fn smallest(subnets: impl IntoIterator<Item = IpNet>, address: IpAddr) -> Option<IpNet> {
    let around = subnets
        .into_iter()
        .filter(|subnet| has_room(*subnet) && subnet.contains(&address));
    around.max_by_key(IpNet::prefix_len).map(|subnet| subnet.trunc())
}

/// The subnet of an address, as a speaker wrote it; `None` when it is no subnet, or not of this address.
pub fn parse(text: &str, address: IpAddr) -> Option<IpNet> {
    let subnet: IpNet = text.parse().ok()?;
    subnet.contains(&address).then(|| subnet.trunc())
}

fn has_room(subnet: IpNet) -> bool {
    subnet.max_prefix_len() - subnet.prefix_len() > 1
}

// === impl Keeping ===

impl Keeping {
    /// What the address is to its subnet, as in "the broadcast address of 192.0.2.0/24".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "the network address",
            Self::Broadcast => "the broadcast address",
            Self::Routers => "the anycast address of the routers",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_subnet(text: &str) -> IpNet {
        text.parse().expect("a literal subnet")
    }

    fn mk_address(text: &str) -> IpAddr {
        text.parse().expect("a literal address")
    }

    #[test]
    fn a_subnet_keeps_its_ends_unless_it_is_for_two_hosts() {
        let cases: [(&str, &[(&str, Keeping)]); 11] = [
            (
                "192.0.2.0/24",
                &[
                    ("192.0.2.0", Keeping::Network),
                    ("192.0.2.255", Keeping::Broadcast),
                ],
            ),
            (
                "192.0.2.77/26",
                &[
                    ("192.0.2.64", Keeping::Network),
                    ("192.0.2.127", Keeping::Broadcast),
                ],
            ),
            (
                "192.0.2.4/30",
                &[("192.0.2.4", Keeping::Network), ("192.0.2.7", Keeping::Broadcast)],
            ),
            (
                "0.0.0.0/0",
                &[
                    ("0.0.0.0", Keeping::Network),
                    ("255.255.255.255", Keeping::Broadcast),
                ],
            ),
            ("192.0.2.4/31", &[]),
            ("192.0.2.4/32", &[]),
            ("2001:db8::b/64", &[("2001:db8::", Keeping::Routers)]),
            ("2001:db8::c/126", &[("2001:db8::c", Keeping::Routers)]),
            ("::/0", &[("::", Keeping::Routers)]),
            ("2001:db8::c/127", &[]),
            ("2001:db8::c/128", &[]),
        ];
        for (subnet, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(text, keeping)| (mk_address(text), *keeping))
                .collect();
            let found: Vec<_> = kept(mk_subnet(subnet)).collect();
            assert_eq!(found, expected, "{subnet}");
            for (address, role) in expected {
                assert_eq!(keeping(mk_subnet(subnet), address), Some(role), "{subnet}");
            }
        }
        for (subnet, address) in [
            ("192.0.2.0/24", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.254"),
            ("192.0.2.0/24", "192.0.3.255"),
            ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff"),
            ("2001:db8::/64", "192.0.2.0"),
        ] {
            assert_eq!(
                keeping(mk_subnet(subnet), mk_address(address)),
                None,
                "{address} in {subnet}"
            );
        }
    }

    #[test]
    fn what_is_no_subnet_of_the_address_says_nothing() {
        for (text, expected) in [
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("192.0.2.11/24", Some("192.0.2.0/24")),
            ("192.0.3.0/24", None),
            ("2001:db8::/64", None),
            ("192.0.2.0", None),
            ("lan", None),
            ("", None),
        ] {
            assert_eq!(
                parse(text, mk_address("192.0.2.255")),
                expected.map(mk_subnet),
                "{text}"
            );
        }
    }

    #[test]
    fn of_several_subnets_the_smallest_with_neighbors_counts() {
        let all = [
            "10.0.0.7/8",
            "10.1.2.3/24",
            "10.1.2.255/32",
            "10.1.2.254/31",
            "fe80::1/64",
        ];
        for (subnets, address, expected) in [
            (&all[..], "10.1.2.255", Some("10.1.2.0/24")),
            (&all[..], "10.9.9.9", Some("10.0.0.0/8")),
            (&all[..], "192.0.2.1", None),
            (&all[..], "fe80::", Some("fe80::/64")),
            (&[], "192.0.2.1", None),
        ] {
            let subnets = subnets.iter().map(|text| mk_subnet(text));
            let found = smallest(subnets, mk_address(address));
            assert_eq!(found, expected.map(mk_subnet), "{address}");
        }
    }
}
