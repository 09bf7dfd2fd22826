//! The lab's network: which addresses things have, and the links between them.
//!
//! ```text
//!   n1  n2  n3  client      router ---- remote (another subnet)
//!    |   |   |    |           |
//!   =========== LAN bridge =========== 192.0.2.0/24 2001:db8::/64
//!
//!   ===== management bridge, in the control plane's namespace ===== 10.250.0.0/24
//!    |   |   |
//!   n1  n2  n3
//! ```
//!
//! Nodes reach the API server over the management network, so that a cut LAN cable takes a node from
//! its clients and peers but not from the API. Everything is inside namespaces: two labs use the same
//! addresses without meeting.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::home::LabId;
use super::netns::Netns;

/// The API server's address on the management network.
pub const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);

/// The networks of Services, as the control plane is told.
pub(crate) const SERVICE_NETWORKS: &str = "10.96.0.0/16,fd00:10:96::/112";

/// The networks of pods.
pub(crate) const POD_NETWORKS: &str = "10.244.0.0/16,fd00:10:244::/56";

/// The most nodes that the addresses have room for.
pub(crate) const MAX_NODES: u8 = 40;

/// A place on the LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanHost {
    /// The last number of all its addresses.
    number: u8,
}

/// One node's place, its pods included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeAddresses {
    /// 1 for n1.
    pub(crate) index: u8,
}

/// The namespaces that every lab with nodes has.
#[derive(Debug)]
pub(crate) struct Lan {
    pub(crate) bridge: Netns,
    pub(crate) client: Netns,
    pub(crate) router: Netns,
    pub(crate) remote: Netns,
}

// === impl LanHost ===

impl LanHost {
    /// The router, default gateway of the others.
    pub const ROUTER: Self = Self { number: 1 };
    /// The client.
    pub const CLIENT: Self = Self { number: 100 };

    /// Its IPv4 address.
    pub fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.number)
    }

    /// Its IPv6 address: the number as it is written, so that `.11` and `::11` go together.
    pub fn ipv6(self) -> Ipv6Addr {
        let digits = format!("{}", self.number);
        Ipv6Addr::new(
            0x2001,
            0xdb8,
            0,
            0,
            0,
            0,
            0,
            u16::from_str_radix(&digits, 16).unwrap_or(0),
        )
    }

    /// Its MAC address, fixed so that captures of two runs can be compared.
    pub fn mac(self) -> String {
        format!("02:fe:00:00:00:{:02x}", self.number)
    }
}

// === impl NodeAddresses ===

impl NodeAddresses {
    pub(crate) fn name(self) -> String {
        format!("n{}", self.index)
    }

    pub(crate) fn lan(self) -> LanHost {
        LanHost {
            number: 10 + self.index,
        }
    }

    pub(crate) fn management(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 250, 0, 10 + self.index)
    }

    /// The first half of its pods' IPv4 addresses.
    pub(crate) fn pod_network_v4(self) -> String {
        format!("10.244.{}.0/24", self.index)
    }

    pub(crate) fn pod_network_v6(self) -> String {
        format!("fd00:10:244:{}::/64", self.index)
    }

    /// The addresses of its pod number `pod`, from 2; 1 is the node's end of the pods' links.
    pub(crate) fn pod(self, pod: u8) -> (Ipv4Addr, Ipv6Addr) {
        let index = u16::from(self.index);
        (
            Ipv4Addr::new(10, 244, self.index, pod),
            Ipv6Addr::new(0xfd00, 0x10, 0x244, index, 0, 0, 0, u16::from(pod)),
        )
    }
}

// === impl Lan ===

impl Lan {
    /// Makes the bridge, and the hosts on it that are no nodes.
    pub(crate) fn create(lab: &LabId) -> Result<Self> {
        let lan = Self {
            bridge: Netns::create(lab, "lan")?,
            client: Netns::create(lab, "client")?,
            router: Netns::create(lab, "router")?,
            remote: Netns::create(lab, "remote")?,
        };
        lan.bridge
            .ip(&["link add lan0 type bridge", "link set lan0 up"])?;
        lan.plug(&lan.router, "router", LanHost::ROUTER)?;
        lan.plug(&lan.client, "client", LanHost::CLIENT)?;
        lan.client.ip(&default_routes())?;
        lan.router.sysctl(&FORWARDING)?;
        lan.router.ip(&[
            &format!(
                "link add far type veth peer name eth0 netns {}",
                lan.remote.name()
            ),
            "addr add 198.51.100.1/24 dev far",
            "addr add 2001:db8:1::1/64 dev far nodad",
            "link set far up",
        ])?;
        lan.remote.ip(&[
            "addr add 198.51.100.100/24 dev eth0",
            "addr add 2001:db8:1::100/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 198.51.100.1",
            "route add default via 2001:db8:1::1",
        ])?;
        Ok(lan)
    }

    /// Gives a namespace an `eth0` on the bridge, where the other end is called `port`.
    pub(crate) fn plug(&self, ns: &Netns, port: &str, host: LanHost) -> Result<()> {
        self.bridge.ip(&[
            &format!(
                "link add {port} type veth peer name eth0 address {} netns {}",
                host.mac(),
                ns.name()
            ),
            &format!("link set {port} master lan0 up"),
        ])?;
        ns.ip(&[
            &format!("addr add {}/24 dev eth0", host.ipv4()),
            &format!("addr add {}/64 dev eth0 nodad", host.ipv6()),
            "link set eth0 up",
        ])
    }

    /// Takes a host off the bridge, its `eth0` included.
    pub(crate) fn unplug(&self, port: &str) -> Result<()> {
        self.bridge.ip(&[&format!("link del {port}")])
    }
}

/// What makes a namespace forward packets.
pub(crate) const FORWARDING: [(&str, &str); 2] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
];

/// The ways out of the LAN.
pub(crate) fn default_routes() -> [&'static str; 2] {
    [
        "route add default via 192.0.2.1",
        "route add default via 2001:db8::1",
    ]
}

/// The API server's MAC address on the management network. Without one of its own a bridge takes that
/// of a port, and another one when a node is plugged in: whoever resolved it before asks a dead MAC.
const API_SERVER_MAC: &str = "02:fe:00:00:01:01";

/// Makes the management network in the control plane's namespace.
pub(crate) fn create_management(control_plane: &Netns) -> Result<()> {
    control_plane.ip(&[
        &format!("link add mgmt0 address {API_SERVER_MAC} type bridge"),
        &format!("addr add {API_SERVER}/24 dev mgmt0"),
        "link set mgmt0 up",
    ])
}
