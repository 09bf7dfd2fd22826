//! A lab: a real Kubernetes with its nodes and clients in network namespaces of one machine.
//!
//! This file decides what a lab consists of and in which order it comes up; the files beside it know
//! how each part is made. [`Lab::builder`] is where to start. A lab is removed when it is dropped, and
//! also when its process panics, is interrupted or is killed (`reaper.rs`).
//!
//! Nodes are of two kinds. *Process* nodes run kube-proxy and our binaries straight in the node's
//! namespace: they start at once and are easy to freeze, kill and look at. *Pod* nodes run a real
//! kubelet with containerd, and our images from the chart.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use self::artifacts::Artifacts;
use self::control_plane::{ApiServer, ControlPlane};
use self::description::Description;
use self::home::Home;
use self::host::Host;
use self::kube_proxy::ProxyMode;
use self::network::{Lan, MAX_NODES, NodeAddresses};
use self::node::{Node, NodeKind, Site};
use self::product::Controller;
use self::reaper::Reaper;
use crate::chart;
use crate::oracle::Oracle;

pub mod agent;
mod app;
pub mod artifacts;
pub mod clock;
mod control_plane;
pub mod description;
mod etcd;
mod eventually;
pub mod frames;
pub mod home;
pub mod host;
pub mod http;
pub mod kube_proxy;
mod machine;
pub mod netns;
pub mod network;
pub mod node;
pub mod node_init;
pub mod objects;
mod pod_node;
pub mod prober;
pub mod process;
pub mod product;
pub mod reaper;
pub mod teardown;
mod workload;
pub mod writes;

pub use self::eventually::{eventually, throughout};

/// What a lab should have.
#[derive(Clone, Debug, Default)]
pub struct LabBuilder {
    nodes: u8,
    kind: NodeKind,
    proxy: ProxyMode,
}

/// A running lab. Dropping it removes it.
pub struct Lab {
    /// Before all that runs, so that everything is removed while this process still holds the names.
    reaper: Reaper,
    home: Home,
    artifacts: Artifacts,
    client: kube::Client,
    /// The nodes before the control plane, so that they are dropped first.
    nodes: Vec<Node>,
    site: Option<Arc<Site>>,
    control_plane: ControlPlane,
}

// === impl LabBuilder ===

impl LabBuilder {
    /// Adds nodes whose programs are processes, `n1` and so on, a client and a router.
    #[must_use]
    pub fn process_nodes(self, count: u8) -> Self {
        self.nodes(count, NodeKind::Processes)
    }

    /// Adds nodes with a kubelet that runs pods, a client and a router.
    #[must_use]
    pub fn pod_nodes(self, count: u8) -> Self {
        self.nodes(count, NodeKind::Pods)
    }

    /// Adds nodes of either kind, `n1` and so on, a client and a router.
    #[must_use]
    pub fn nodes(mut self, count: u8, kind: NodeKind) -> Self {
        self.nodes = count;
        self.kind = kind;
        self
    }

    /// Chooses how kube-proxy works.
    #[must_use]
    pub fn proxy(mut self, mode: ProxyMode) -> Self {
        self.proxy = mode;
        self
    }

    /// Starts the lab; its nodes are Ready then.
    pub async fn start(self) -> Result<Lab> {
        let artifacts = Artifacts::from_env()?;
        let home = Home::create(&artifacts.logs())?;
        let reaper = Reaper::start(home.id()).inspect_err(|_| {
            // Without a reaper, this is the one thing of the lab that is there; the error says what matters.
            let _ = std::fs::remove_dir_all(home.id().directory());
        })?;
        // Shown by the test harness when the test fails; the logs stay until newer ones push them out.
        #[allow(clippy::print_stderr, reason = "a failed test's logs are found by this line")]
        {
            eprintln!("lab {}: logs in {}", home.id().as_str(), home.logs().display());
        }
        let started = self.start_in(home.clone(), artifacts, reaper).await;
        started.with_context(|| format!("lab {} did not start", home.id().as_str()))
    }

    async fn start_in(self, home: Home, artifacts: Artifacts, reaper: Reaper) -> Result<Lab> {
        if self.nodes > MAX_NODES {
            bail!("a lab has room for {MAX_NODES} nodes, not {}", self.nodes);
        }
        let places: Vec<_> = (1..=self.nodes).map(|index| NodeAddresses { index }).collect();
        let control_plane = ControlPlane::prepare(&home, &artifacts, &places).await?;
        let site = match self.nodes {
            0 => None,
            nodes => {
                let lan = Lan::create(home.id())?;
                Some(Arc::new(Site {
                    home: home.clone(),
                    artifacts: artifacts.clone(),
                    oracle: Oracle::start(&lan.bridge)?,
                    lan,
                    control_plane: control_plane.netns.clone(),
                    proxy: self.proxy,
                    kind: self.kind,
                    nodes,
                }))
            }
        };
        let mut lab = Lab {
            reaper,
            client: control_plane::client(&home).await?,
            home,
            artifacts,
            nodes: Vec::new(),
            site,
            control_plane,
        };
        // Nodes that run pods have much to do before they need the API server.
        if self.kind == NodeKind::Pods {
            lab.power_on(&places)?;
        }
        lab.control_plane
            .start(&lab.home, &lab.artifacts, self.kind == NodeKind::Pods)
            .await?;
        Lab::create_node_objects(&lab.client, &places).await?;
        if self.kind == NodeKind::Processes {
            lab.power_on(&places)?;
        }
        for node in &lab.nodes {
            node.release()?;
        }
        let names: Vec<_> = lab.nodes.iter().map(Node::name).collect();
        lab.wait_nodes_ready(&names, true).await?;
        lab.describe().write(lab.home.id())?;
        Ok(lab)
    }
}

// === impl Lab ===

impl Lab {
    /// Describes a lab with nothing but a control plane; add what you need, then `start()`.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// The lab's places: its id, its directory, its logs.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The programs that the lab is made of.
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// A client of the lab's API server, with the rights of an administrator. It belongs to the async
    /// runtime that started the lab.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The kubeconfig of an administrator, which works from this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.pki("admin-local.kubeconfig")
    }

    /// The API server, to stop and start.
    pub fn api_server(&self) -> &ApiServer {
        &self.control_plane.api_server
    }

    /// One node, by its name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("the lab has no node {name}"))
    }

    /// All nodes, in the order of their names' numbers.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The client on the LAN.
    pub fn client_host(&self) -> Result<Host> {
        Ok(Host::new(&self.site()?.lan.client))
    }

    /// The client behind the router.
    pub fn remote_host(&self) -> Result<Host> {
        Ok(Host::new(&self.site()?.lan.remote))
    }

    /// The router, default gateway of the nodes and of the client.
    pub fn router(&self) -> Result<Host> {
        Ok(Host::new(&self.site()?.lan.router))
    }

    /// The namespace of the LAN's bridge `lan0`, whose ports are called like the hosts on them: the
    /// place to capture from.
    pub fn bridge(&self) -> Result<&netns::Netns> {
        Ok(&self.site()?.lan.bridge)
    }

    /// The packet oracle that watches the LAN: tell it what the lab cannot know, or ask it early. It is
    /// asked in any case when the lab is dropped, and a violation fails the test.
    pub fn oracle(&self) -> Result<&Oracle> {
        Ok(&self.site()?.oracle)
    }

    /// Starts replicas of our controller beside the control plane and waits until all are ready.
    pub async fn start_controller(&self, replicas: u16, flags: &[&str]) -> Result<Vec<Controller>> {
        self.create_namespace(product::NAMESPACE).await?;
        let mut controllers: Vec<_> = (0..replicas).map(|index| self.controller(index, flags)).collect();
        for controller in &mut controllers {
            controller.start()?;
        }
        for controller in &controllers {
            controller.wait_ready().await?;
        }
        Ok(controllers)
    }

    /// Describes one replica of our controller, which does not run yet: for tests of how it starts.
    pub fn controller(&self, index: u16, flags: &[&str]) -> Controller {
        Controller::new(
            &self.home,
            &self.artifacts,
            &self.control_plane.netns,
            index,
            flags,
        )
    }

    /// Starts our speaker on every node.
    pub fn launch_speakers(&self, flags: &[&str]) -> Result<()> {
        for node in &self.nodes {
            node.launch_speaker(product::speaker(&self.home, &self.artifacts, node, flags)?)?;
        }
        Ok(())
    }

    /// Starts our speaker on every node and waits until all are ready.
    pub async fn start_speakers(&self, flags: &[&str]) -> Result<()> {
        self.launch_speakers(flags)?;
        for node in &self.nodes {
            node.wait_speaker_ready().await?;
        }
        Ok(())
    }

    /// Runs kubectl and returns what it printed; fails unless it succeeds.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        netns::output(
            Command::new(self.artifacts.kc())
                .arg("kubectl")
                .args(arguments)
                .env("KUBECONFIG", self.kubeconfig()),
        )
    }

    /// Runs helm in the source tree and returns what it printed; fails unless it succeeds.
    pub fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        netns::output(
            Command::new(self.artifacts.kc())
                .arg("helm")
                .args(arguments)
                .current_dir(chart::source())
                .env("KUBECONFIG", self.kubeconfig())
                .env("HELM_CACHE_HOME", self.home.path("helm/cache"))
                .env("HELM_CONFIG_HOME", self.home.path("helm/config"))
                .env("HELM_DATA_HOME", self.home.path("helm/data")),
        )
    }

    /// How to enter it.
    pub fn describe(&self) -> Description {
        Description::of(self, false)
    }

    /// Leaves the lab running without an owner; `cargo xtask cluster down` removes it. What is returned
    /// says how to enter it.
    pub fn keep(mut self) -> Result<Description> {
        let description = Description::of(&self, true);
        description.write(self.home.id())?;
        self.reaper.keep()?;
        // Its parts would end their processes when dropped.
        std::mem::forget(self);
        Ok(description)
    }

    fn power_on(&mut self, places: &[NodeAddresses]) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        product::write_gossip_key(&self.home)?;
        let site = Arc::clone(self.site()?);
        for place in places {
            let node = Node::new(&site, *place);
            node.power_on()?;
            self.nodes.push(node);
        }
        Ok(())
    }

    fn site(&self) -> Result<&Arc<Site>> {
        self.site
            .as_ref()
            .context("this lab has no network: give it nodes")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Before the end of the programs, which is no part of what is judged.
        let verdict = self.site.as_ref().map(|site| site.oracle.verdict());
        if let Err(error) = self.reaper.reap() {
            #[allow(clippy::print_stderr, reason = "there is nobody to return an error to")]
            {
                eprintln!("{error:#}");
            }
        }
        let violations = match verdict {
            None => return,
            Some(Ok(Ok(judged))) => {
                #[allow(
                    clippy::print_stderr,
                    reason = "whoever reads a test sees how much was judged"
                )]
                {
                    eprintln!("{judged}");
                }
                return;
            }
            Some(Ok(Err(violations))) => violations.to_string(),
            Some(Err(error)) => format!("the packet oracle has no verdict: {error:#}"),
        };
        if std::thread::panicking() {
            #[allow(clippy::print_stderr, reason = "the test fails already, for another reason")]
            {
                eprintln!("{violations}");
            }
        } else {
            #[allow(
                clippy::panic,
                reason = "what the lab saw must fail the test, which cannot forget to ask"
            )]
            {
                panic!("{violations}");
            }
        }
    }
}
