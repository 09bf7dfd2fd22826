//! Endpoints on process nodes: a real server in a pod namespace behind a veth, and the Pod object that
//! the control plane makes EndpointSlices from.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use serde_json::{Value, json};

use super::agent::POD_ADDRESSES;
use super::artifacts::Artifacts;
use super::home::Home;
use super::netns::Netns;
use super::network::NodeAddresses;
use super::process::{Launch, Process};

/// The port that the server answers on, over TCP and UDP.
pub(crate) const APP_PORT: u16 = 8080;

/// One pod of the lab on one node.
#[derive(Debug)]
pub(crate) struct AppPod {
    pub(crate) app: String,
    node: NodeAddresses,
    number: u8,
    running: Option<(Netns, Process)>,
}

// === impl AppPod ===

impl AppPod {
    pub(crate) fn new(app: &str, node: NodeAddresses, number: u8) -> Self {
        Self {
            app: app.to_owned(),
            node,
            number,
            running: None,
        }
    }

    /// The name of the Pod object.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}-{}", self.app, self.node.name(), self.number)
    }

    /// The last number of its addresses.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Makes the namespace, links it to the node and starts the server.
    pub(crate) fn start(&mut self, home: &Home, artifacts: &Artifacts, node: &Netns) -> Result<()> {
        let role = format!("{}p{}", self.node.name(), self.number);
        let pod = Netns::create(home.id(), &role)?;
        let ((gateway4, gateway6), (ipv4, ipv6)) = (self.node.pod(1), self.addresses());
        // Named like a CNI plugin's, which no speaker announces on.
        let link = format!("veth-p{}", self.number);
        node.ip(&[
            &format!("link add {link} type veth peer name eth0 netns {}", pod.name()),
            &format!("addr add {gateway4}/32 dev {link}"),
            &format!("addr add {gateway6}/128 dev {link} nodad"),
            &format!("link set {link} up"),
            &format!("route add {ipv4}/32 dev {link} src {gateway4}"),
            &format!("route add {ipv6}/128 dev {link}"),
        ])?;
        pod.ip(&[
            &format!("addr add {ipv4}/32 dev eth0"),
            &format!("addr add {ipv6}/128 dev eth0 nodad"),
            "link set eth0 up",
            &format!("route add {gateway4}/32 dev eth0"),
            &format!("route add {gateway6}/128 dev eth0"),
            &format!("route add default via {gateway4}"),
            &format!("route add default via {gateway6}"),
        ])?;
        let launch = Launch::new(self.name(), &pod, artifacts.testapp())
            .args([
                "serve",
                &format!("-http=:{APP_PORT}"),
                &format!("-udp=:{APP_PORT}"),
            ])
            .env("POD_NAME", self.name())
            .env("NODE_NAME", self.node.name());
        self.running = Some((pod, launch.start(home)?));
        Ok(())
    }

    /// Kills the server and removes the namespace.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some((netns, process)) = self.running.take() {
            drop(process);
            netns.delete()?;
        }
        Ok(())
    }

    /// The object that stands for it.
    pub(crate) fn object(&self) -> Value {
        let (ipv4, ipv6) = self.addresses();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name(),
                "labels": { "app": self.app },
                "annotations": { POD_ADDRESSES: format!("{ipv4},{ipv6}") },
            },
            "spec": {
                "nodeName": self.node.name(),
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "testapp",
                    "image": "ferrolb.test/testapp:1",
                    "ports": [
                        { "name": "tcp", "containerPort": APP_PORT, "protocol": "TCP" },
                        { "name": "udp", "containerPort": APP_PORT, "protocol": "UDP" },
                    ],
                }],
                "tolerations": [{ "operator": "Exists" }],
            },
        })
    }

    fn addresses(&self) -> (Ipv4Addr, Ipv6Addr) {
        self.node.pod(self.number)
    }
}
