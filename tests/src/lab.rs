//! A lab: a real Kubernetes with its nodes and clients in network namespaces of one machine.
//!
//! This file decides what a lab consists of and in which order it comes up; the files beside it know
//! how each part is made. [`Lab::builder`] is where to start. A lab is removed when it is dropped, and
//! also when its process panics, is interrupted or is killed (`reaper.rs`).
//!
//! Nodes are of two kinds. *Process* nodes run kube-proxy and our binaries straight in the node's
//! namespace: they start at once and are easy to freeze, kill and look at. *Pod* nodes run a real
//! kubelet with containerd, and our images from the chart.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use self::artifacts::Artifacts;
use self::control_plane::{ApiServer, ControlPlane};
use self::home::Home;
use self::reaper::Reaper;

pub mod artifacts;
pub mod clock;
mod control_plane;
mod eventually;
pub mod home;
pub mod netns;
pub mod network;
pub mod process;
pub mod reaper;
pub mod teardown;

pub use self::eventually::eventually;

/// What a lab should have.
#[derive(Clone, Debug, Default)]
pub struct LabBuilder {}

/// A running lab. Dropping it removes it.
pub struct Lab {
    /// Before all that runs, so that everything is removed while this process still holds the names.
    reaper: Reaper,
    home: Home,
    artifacts: Artifacts,
    client: kube::Client,
    control_plane: ControlPlane,
}

// === impl LabBuilder ===

impl LabBuilder {
    /// Starts the lab.
    pub async fn start(self) -> Result<Lab> {
        let artifacts = Artifacts::from_env()?;
        let home = Home::create(&artifacts.logs())?;
        let reaper = Reaper::start(home.id())?;
        let started = self.start_in(home.clone(), artifacts, reaper).await;
        started.with_context(|| {
            format!(
                "lab {} did not start; its logs are in {}",
                home.id().as_str(),
                home.logs().display()
            )
        })
    }

    async fn start_in(self, home: Home, artifacts: Artifacts, reaper: Reaper) -> Result<Lab> {
        let control_plane = ControlPlane::start(&home, &artifacts, &[], false).await?;
        let client = control_plane::client(&home).await?;
        Ok(Lab {
            reaper,
            home,
            artifacts,
            client,
            control_plane,
        })
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

    /// Runs kubectl and returns what it printed; fails unless it succeeds.
    pub fn kubectl<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        netns::output(
            Command::new(self.artifacts.kc())
                .arg("kubectl")
                .args(arguments)
                .env("KUBECONFIG", self.kubeconfig()),
        )
    }

    /// Leaves the lab running without an owner; `cargo xtask cluster down` removes it.
    pub fn keep(mut self) -> Result<()> {
        self.reaper.keep()?;
        // Its parts would end their processes when dropped.
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let is_failed = std::thread::panicking();
        #[allow(clippy::print_stderr, reason = "there is nobody to return an error to")]
        match self.reaper.reap() {
            Ok(()) if is_failed => eprintln!("the lab's logs are in {}", self.home.logs().display()),
            // Another lab may prune it at this moment.
            Ok(()) => drop(std::fs::remove_dir_all(self.home.logs())),
            Err(error) => eprintln!("{error:#}"),
        }
    }
}
