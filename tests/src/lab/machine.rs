//! What a node is before any program runs on it: a namespace with a cable to the LAN and one to the
//! management network, and routes to the pods of the other nodes.

use anyhow::Result;

use super::home::LabId;
use super::netns::Netns;
use super::network::{FORWARDING, Lan, NodeAddresses, default_routes};

/// A node's namespace and cables. It is made anew at each boot, so that nothing of the kernel's
/// memory (rules, connections, neighbors) outlives a power cut.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) netns: Netns,
    addresses: NodeAddresses,
}

// === impl Machine ===

impl Machine {
    /// Makes the namespace and plugs in both cables.
    pub(crate) fn create(
        lab: &LabId,
        lan: &Lan,
        control_plane: &Netns,
        addresses: NodeAddresses,
        nodes: u8,
    ) -> Result<Self> {
        let name = addresses.name();
        let netns = Netns::create(lab, &name)?;
        netns.sysctl(&FORWARDING)?;
        netns.sysctl(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/all/keep_addr_on_down", "1"),
            ("net/ipv6/conf/default/keep_addr_on_down", "1"),
        ])?;
        lan.plug(&netns, &name, addresses.lan())?;
        control_plane.ip(&[
            &format!("link add {name} type veth peer name mgmt netns {}", netns.name()),
            &format!("link set {name} master mgmt0 up"),
        ])?;
        netns.ip(&[
            &format!("addr add {}/24 dev mgmt", addresses.management()),
            "link set mgmt up",
        ])?;
        // The API server calls kubelets by their LAN address and webhooks by their pod's.
        control_plane.ip(&[
            &format!(
                "route replace {}/32 via {}",
                addresses.lan().ipv4(),
                addresses.management()
            ),
            &format!(
                "route replace {} via {}",
                addresses.pod_network_v4(),
                addresses.management()
            ),
        ])?;
        let machine = Self { netns, addresses };
        machine.add_routes(nodes)?;
        Ok(machine)
    }

    /// Pulls both cables for good and removes the namespace, which must be free of processes.
    pub(crate) fn remove(&self, lan: &Lan, control_plane: &Netns) -> Result<()> {
        let name = self.addresses.name();
        // The ends in the bridges first: a namespace takes its time to go, and so would they.
        lan.unplug(&name)?;
        control_plane.ip(&[&format!("link del {name}")])?;
        self.netns.delete()
    }

    fn add_routes(&self, nodes: u8) -> Result<()> {
        let mut routes: Vec<String> = default_routes().map(str::to_owned).into();
        for peer in (1..=nodes).map(|index| NodeAddresses { index }) {
            if peer != self.addresses {
                let lan = peer.lan();
                routes.push(format!("route add {} via {}", peer.pod_network_v4(), lan.ipv4()));
                routes.push(format!("route add {} via {}", peer.pod_network_v6(), lan.ipv6()));
            }
        }
        self.netns
            .ip(&routes.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
