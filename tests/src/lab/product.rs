//! FerroLB's own programs as processes: the controller's replicas beside the control plane, a speaker
//! on each node.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::artifacts::Artifacts;
use super::eventually::eventually;
use super::home::Home;
use super::http;
use super::netns::Netns;
use super::node::Node;
use super::process::{Launch, Process};

/// The namespace that the programs take for theirs.
pub const NAMESPACE: &str = "ferrolb-system";

/// The name of the Lease, in that namespace.
pub const LEASE: &str = "ferrolb-controller";

/// The admin port of the first controller; the next ones count on, since they share a namespace.
const CONTROLLER_ADMIN: u16 = 7990;

/// The admin port of every speaker.
const SPEAKER_ADMIN: u16 = 7981;

/// How long a program may take to become ready.
const READY: Duration = Duration::from_secs(30);

/// One replica of the controller.
#[derive(Debug)]
pub struct Controller {
    home: Home,
    netns: Netns,
    launch: Launch,
    admin: SocketAddr,
    process: Option<Process>,
}

// === impl Controller ===

impl Controller {
    pub(crate) fn new(home: &Home, artifacts: &Artifacts, netns: &Netns, index: u16, flags: &[&str]) -> Self {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROLLER_ADMIN + index));
        let launch = Launch::new(format!("controller-{index}"), netns, artifacts.controller())
            .args(common(home, "admin"))
            .args([format!("--admin-bind={admin}")])
            .args(flags)
            .env("POD_NAME", format!("controller-{index}"));
        Self {
            home: home.clone(),
            netns: netns.clone(),
            launch,
            admin,
            process: None,
        }
    }

    /// Starts it; [`Controller::wait_ready`] tells when it works.
    pub fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("{} runs already", self.launch.name);
        }
        self.process = Some(self.launch.start(&self.home)?);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.process.take();
        process
            .with_context(|| format!("{} does not run", self.launch.name))?
            .kill()
    }

    /// The running process, to freeze, thaw or read the log of.
    pub fn process(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .with_context(|| format!("{} does not run", self.launch.name))
    }

    /// Waits until it says that it is ready.
    pub async fn wait_ready(&self) -> Result<()> {
        wait_ready(&self.netns, self.admin, self.process()?).await
    }

    /// Asks its admin port.
    pub async fn admin(&self, path: &str) -> Result<http::Answer> {
        http::request(&self.netns, "GET", self.admin, path).await
    }

    /// What it says of itself.
    pub async fn state(&self) -> Result<Value> {
        let answer = self.admin("/debug/state").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Whether it leads.
    pub async fn is_leading(&self) -> Result<bool> {
        let state = self.state().await?;
        let leading = state.get("leading").and_then(Value::as_bool);
        leading.with_context(|| format!("it does not say whether it leads: {state}"))
    }
}

/// Waits until one of these controllers leads, and says which.
pub async fn leader(controllers: &[Controller]) -> Result<usize> {
    eventually(READY, "a controller leads", async || {
        for (index, controller) in controllers.iter().enumerate() {
            if controller.is_leading().await? {
                return Ok(index);
            }
        }
        bail!("none does")
    })
    .await
}

// === impl Node ===

impl Node {
    /// Waits until its speaker says that it is ready.
    pub async fn wait_speaker_ready(&self) -> Result<()> {
        let netns = self.netns()?;
        eventually(
            READY,
            &format!("the speaker of {} is ready", self.name()),
            async || {
                self.speaker()?.check_running()?;
                check_ready(&netns, speaker_admin()).await
            },
        )
        .await
    }

    /// Asks its speaker's admin port.
    pub async fn speaker_admin(&self, path: &str) -> Result<http::Answer> {
        http::request(&self.netns()?, "GET", speaker_admin(), path).await
    }
}

/// Describes the speaker of one node.
pub(crate) fn speaker(home: &Home, artifacts: &Artifacts, node: &Node, flags: &[&str]) -> Result<Launch> {
    let name = node.name();
    Ok(
        Launch::new(format!("speaker-{name}"), &node.netns()?, artifacts.speaker())
            .args(common(home, "admin"))
            .args([
                format!("--node-name={name}"),
                format!("--gossip-key-file={}", home.path("gossip-key").display()),
                format!("--admin-bind={}", speaker_admin()),
            ])
            .args(flags),
    )
}

/// Writes the secret that the lab's speakers share.
pub(crate) fn write_gossip_key(home: &Home) -> Result<()> {
    let mut key = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .context("cannot read /dev/urandom")?;
    let path = home.path("gossip-key");
    // As text, which is how people make it.
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The flags of both programs.
fn common(home: &Home, user: &str) -> [String; 3] {
    [
        format!(
            "--kubeconfig={}",
            home.pki(&format!("{user}.kubeconfig")).display()
        ),
        format!("--namespace={NAMESPACE}"),
        "--log-format=json".to_owned(),
    ]
}

fn speaker_admin() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, SPEAKER_ADMIN))
}

async fn wait_ready(netns: &Netns, admin: SocketAddr, process: &Process) -> Result<()> {
    eventually(READY, &format!("{} is ready", process.name()), async || {
        process.check_running()?;
        check_ready(netns, admin).await
    })
    .await
}

async fn check_ready(netns: &Netns, admin: SocketAddr) -> Result<()> {
    let answer = http::request(netns, "GET", admin, "/readyz").await?;
    if answer.status != 200 {
        bail!("/readyz says {}: {}", answer.status, answer.body.trim());
    }
    Ok(())
}
