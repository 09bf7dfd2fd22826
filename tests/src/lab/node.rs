//! A node, and what tests do to it: cut its cables, its power, its speaker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::app::AppPod;
use super::artifacts::{Artifacts, lab_program};
use super::home::Home;
use super::host::Host;
use super::kube_proxy::{self, ProxyMode};
use super::machine::Machine;
use super::netns::Netns;
use super::network::{Lan, LanHost, NodeAddresses};
use super::pod_node::PodNode;
use super::process::{Launch, Process};
use crate::oracle::{Cause, Happening, Oracle, Watched};

/// How long a speaker may take to leave after SIGTERM.
const LEAVE: Duration = Duration::from_secs(20);

/// What all nodes of a lab share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) home: Home,
    pub(crate) artifacts: Artifacts,
    pub(crate) lan: Lan,
    pub(crate) control_plane: Netns,
    pub(crate) proxy: ProxyMode,
    pub(crate) kind: NodeKind,
    pub(crate) nodes: u8,
    pub(crate) oracle: Oracle,
}

/// How a node runs programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum NodeKind {
    /// Straight in its namespace: quick to start, easy to freeze, kill and look at.
    #[default]
    Processes,
    /// As pods, with a real kubelet and containerd.
    Pods,
}

/// One node of a lab.
#[derive(Debug)]
pub struct Node {
    site: Arc<Site>,
    addresses: NodeAddresses,
    state: Mutex<State>,
}

/// What of a node is there now. What should run is remembered while the power is off.
#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    speaker: Option<Launch>,
    pods: Vec<AppPod>,
}

/// A node with power. The processes are before the machine, so that they are dropped first.
#[derive(Debug)]
struct Running {
    speaker: Option<Process>,
    /// A killed speaker whose sockets the kernel may still be closing: it takes half a second.
    killed: Option<Process>,
    /// kube-proxy and agent, or the init of a node that runs pods.
    programs: Vec<Process>,
    machine: Machine,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(site: &Arc<Site>, addresses: NodeAddresses) -> Self {
        Self {
            site: Arc::clone(site),
            addresses,
            state: Mutex::default(),
        }
    }

    /// Its name: `n1` and so on.
    pub fn name(&self) -> String {
        self.addresses.name()
    }

    /// Its place on the LAN: addresses and MAC.
    pub fn lan(&self) -> LanHost {
        self.addresses.lan()
    }

    /// Its namespace; fails while the power is off.
    pub fn netns(&self) -> Result<Netns> {
        Ok(self.running()?.machine.netns.clone())
    }

    /// Itself as a client: what it sees when its own programs ask somebody.
    pub fn as_host(&self) -> Result<Host> {
        Ok(Host::new(&self.netns()?))
    }

    /// Runs a command on it and returns what it printed; fails unless it succeeds.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<String> {
        self.netns()?.exec(program, arguments)
    }

    // --- power and cables ---

    /// Gives it power: a new namespace, kube-proxy, and all that ran on it before.
    pub(crate) fn power_on(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.running.is_some() {
            bail!("{} has power already", self.name());
        }
        let site = &self.site;
        let machine = Machine::create(
            site.home.id(),
            &site.lan,
            &site.control_plane,
            self.addresses,
            site.nodes,
        )?;
        let netns = machine.netns.clone();
        self.tell_power_is_on();
        let launches = match site.kind {
            NodeKind::Processes => vec![self.kube_proxy(&netns)?, self.agent(&netns)?],
            NodeKind::Pods => vec![self.pod_node().prepare(&site.artifacts, &netns, site.proxy)?],
        };
        let programs = launches.iter().map(|launch| launch.start(&site.home));
        let speaker = state.speaker.as_ref().map(|launch| launch.start(&site.home));
        let running = Running {
            programs: programs.collect::<Result<_>>()?,
            speaker: speaker.transpose()?,
            killed: None,
            machine,
        };
        for pod in &mut state.pods {
            pod.start(&site.home, &site.artifacts, &netns)?;
        }
        state.running = Some(running);
        Ok(())
    }

    /// Gives it power again after [`Node::power_off`].
    pub fn boot(&self) -> Result<()> {
        self.power_on()?;
        self.release()
    }

    /// Cuts the power: the cables go dead first, so that nobody hears a last word.
    pub async fn power_off(&self) -> Result<()> {
        let running = self.state.lock().running.take();
        let Running {
            speaker,
            killed,
            programs,
            machine,
        } = running.with_context(|| format!("{} has no power", self.name()))?;
        self.tell(Happening::Isolated(Cause::Power));
        self.set_port("down")?;
        self.set_management_port("down")?;
        drop((speaker, killed, programs));
        for pod in &mut self.state.lock().pods {
            pod.stop()?;
        }
        if self.site.kind == NodeKind::Pods {
            self.pod_node().clean().await?;
        }
        self.tell(Happening::Ended);
        machine.remove(&self.site.lan, &self.site.control_plane)
    }

    /// Says that the API server is there and knows the node: kubelets wait for that.
    pub(crate) fn release(&self) -> Result<()> {
        match self.site.kind {
            NodeKind::Processes => Ok(()),
            NodeKind::Pods => self.pod_node().release(),
        }
    }

    /// Imports an image archive into a node that runs pods.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        self.pod_node().load_image(&self.site.artifacts, archive)
    }

    /// Fails if one of its programs has ended.
    pub fn check_running(&self) -> Result<()> {
        let running = self.running()?;
        running.programs.iter().try_for_each(Process::check_running)
    }

    fn pod_node(&self) -> PodNode {
        PodNode::new(&self.site.home, self.addresses)
    }

    /// Pulls its LAN cable, at the bridge: the node sees its carrier go.
    pub fn cut_link(&self) -> Result<()> {
        self.tell(Happening::Isolated(Cause::Cable));
        self.set_port("down")
    }

    /// Plugs its LAN cable in again.
    pub fn restore_link(&self) -> Result<()> {
        self.set_port("up")?;
        self.tell(Happening::Reachable(Cause::Cable));
        Ok(())
    }

    /// Cuts it off the API server, and off nothing else.
    pub fn cut_management(&self) -> Result<()> {
        self.set_management_port("down")
    }

    /// Lets it reach the API server again.
    pub fn restore_management(&self) -> Result<()> {
        self.set_management_port("up")
    }

    fn set_port(&self, to: &str) -> Result<()> {
        self.site
            .lan
            .bridge
            .ip(&[&format!("link set {} {to}", self.name())])
    }

    fn set_management_port(&self, to: &str) -> Result<()> {
        self.site
            .control_plane
            .ip(&[&format!("link set {} {to}", self.name())])
    }

    // --- its speaker ---

    /// Starts its speaker, from now on at each boot too.
    pub(crate) fn launch_speaker(&self, launch: Launch) -> Result<()> {
        let mut state = self.state.lock();
        let running = state.running.as_mut();
        let running = running.with_context(|| format!("{} has no power", self.name()))?;
        if running.speaker.is_some() {
            bail!("{} has a speaker already", self.name());
        }
        // Waits for its end.
        drop(running.killed.take());
        running.speaker = Some(launch.start(&self.site.home)?);
        state.speaker = Some(launch);
        Ok(())
    }

    /// Starts its speaker again as it was started before, after it was killed or has left.
    pub fn start_speaker(&self) -> Result<()> {
        let launch = self.state.lock().speaker.clone();
        self.launch_speaker(launch.with_context(|| format!("{} never had a speaker", self.name()))?)
    }

    /// Kills its speaker with SIGKILL: nothing of it runs any more. The kernel closes its sockets when
    /// it gets round to it, which the next start waits for.
    pub fn kill_speaker(&self) -> Result<()> {
        let mut running = self.running()?;
        let speaker = self.need(running.speaker.take())?;
        speaker.signal(Signal::SIGKILL)?;
        self.tell(Happening::Ended);
        running.killed = Some(speaker);
        Ok(())
    }

    /// Asks its speaker to leave with SIGTERM, and waits until it has.
    pub async fn term_speaker(&self) -> Result<()> {
        let speaker = self.running()?.speaker.take();
        let speaker = self.need(speaker)?;
        speaker.term()?;
        let status = speaker.wait(LEAVE).await?;
        self.tell(Happening::Ended);
        if !status.success() {
            bail!(
                "the speaker of {} ended with {status} after SIGTERM: {}",
                self.name(),
                speaker.last_lines(12)
            );
        }
        Ok(())
    }

    /// Has its speaker hang.
    pub fn freeze_speaker(&self) -> Result<()> {
        self.tell(Happening::Isolated(Cause::Freeze));
        self.speaker()?.freeze()
    }

    /// Has its speaker go on.
    pub fn thaw_speaker(&self) -> Result<()> {
        self.speaker()?.thaw()?;
        self.tell(Happening::Reachable(Cause::Freeze));
        Ok(())
    }

    /// Its speaker, while it runs. The guard keeps the node as it is.
    pub fn speaker(&self) -> Result<MappedMutexGuard<'_, Process>> {
        let running = self.running()?;
        MappedMutexGuard::try_map(running, |running| running.speaker.as_mut())
            .ok()
            .with_context(|| format!("{} has no speaker", self.name()))
    }

    fn need(&self, speaker: Option<Process>) -> Result<Process> {
        speaker.with_context(|| format!("{} has no speaker", self.name()))
    }

    // --- what the packet oracle must know ---

    fn tell(&self, happening: Happening) {
        self.site.oracle.tell(&self.name(), happening);
    }

    /// A new machine with new cables: whatever was wrong with the old one is over.
    fn tell_power_is_on(&self) {
        let lan = self.lan();
        self.site.oracle.watch(Watched {
            node: self.name(),
            port: self.name(),
            own: vec![lan.ipv4().into(), lan.ipv6().into()],
            log: match self.site.kind {
                NodeKind::Processes => self.site.home.log(&format!("speaker-{}", self.name())),
                NodeKind::Pods => self.pod_node().pod_logs(),
            },
        });
        for cause in [Cause::Power, Cause::Cable, Cause::Freeze] {
            self.tell(Happening::Reachable(cause));
        }
    }

    // --- its pods ---

    /// Starts a server of an application; returns the object that stands for it.
    pub(crate) fn start_app(&self, app: &str) -> Result<serde_json::Value> {
        let mut state = self.state.lock();
        let running = state.running.as_ref();
        let netns = running
            .with_context(|| format!("{} has no power", self.name()))?
            .machine
            .netns
            .clone();
        // 1 is the node's own end of the pods' links.
        let number = (2..=250).find(|number| !state.pods.iter().any(|pod| pod.number() == *number));
        let number = number.context("the node's pod network is full")?;
        let mut pod = AppPod::new(app, self.addresses, number);
        pod.start(&self.site.home, &self.site.artifacts, &netns)?;
        let object = pod.object();
        state.pods.push(pod);
        Ok(object)
    }

    /// Kills every server of an application; returns the names of their objects.
    pub(crate) fn stop_app(&self, app: &str) -> Result<Vec<String>> {
        let mut state = self.state.lock();
        let pods = std::mem::take(&mut state.pods);
        let (gone, left) = pods.into_iter().partition(|pod| pod.app == app);
        state.pods = left;
        let mut gone: Vec<AppPod> = gone;
        for pod in &mut gone {
            pod.stop()?;
        }
        Ok(gone.iter().map(AppPod::name).collect())
    }

    // --- its programs ---

    fn kube_proxy(&self, netns: &Netns) -> Result<Launch> {
        let Site {
            home,
            artifacts,
            proxy,
            ..
        } = &*self.site;
        let config = kube_proxy::configure(home, self.addresses, *proxy)?;
        let name = format!("kube-proxy-{}", self.name());
        Ok(Launch::new(name, netns, artifacts.kc())
            .args(["kube-proxy".to_owned(), format!("--config={}", config.display())]))
    }

    fn agent(&self, netns: &Netns) -> Result<Launch> {
        let kubeconfig = self.site.home.pki(&format!("node-{}.kubeconfig", self.name()));
        let lan = self.addresses.lan();
        Ok(
            Launch::new(format!("agent-{}", self.name()), netns, lab_program()?).args([
                "agent".to_owned(),
                format!("--node={}", self.name()),
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--address={}", lan.ipv4()),
                format!("--address={}", lan.ipv6()),
            ]),
        )
    }

    fn running(&self) -> Result<MappedMutexGuard<'_, Running>> {
        MutexGuard::try_map(self.state.lock(), |state| state.running.as_mut())
            .ok()
            .with_context(|| format!("{} has no power", self.name()))
    }
}
