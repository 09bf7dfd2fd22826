//! What a lab says of itself, for people and programs that come later.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::home::LabId;
use super::{Lab, Node};

/// The name of the file in the lab's directory.
const FILE: &str = "lab.json";

/// How to enter a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The lab's id.
    pub id: String,
    /// Whether it stays without an owner.
    pub is_kept: bool,
    /// The names of its nodes.
    pub nodes: Vec<String>,
    /// The kubeconfig that works from this machine.
    pub kubeconfig: PathBuf,
    /// The multi-call Kubernetes, which is kubectl and helm too.
    pub kc: PathBuf,
    /// Where its logs are.
    pub logs: PathBuf,
}

// === impl Description ===

impl Description {
    pub(crate) fn of(lab: &Lab, is_kept: bool) -> Self {
        Self {
            id: lab.home().id().as_str().to_owned(),
            is_kept,
            nodes: lab.nodes().iter().map(Node::name).collect(),
            kubeconfig: lab.kubeconfig(),
            kc: lab.artifacts().kc(),
            logs: lab.home().logs().to_owned(),
        }
    }

    /// Reads what a lab has said; `None` if it is still starting.
    pub fn read(lab: &LabId) -> Result<Option<Self>> {
        let path = lab.directory().join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let description = serde_json::from_str(&text);
        description.with_context(|| format!("{} describes no lab", path.display()))
    }

    pub(crate) fn write(&self, lab: &LabId) -> Result<()> {
        let path = lab.directory().join(FILE);
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl fmt::Display for Description {
    /// The commands to play with the lab.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            is_kept,
            nodes,
            kubeconfig,
            kc,
            logs,
        } = self;
        writeln!(f, "lab {id}, nodes: {}", nodes.join(" "))?;
        writeln!(f, "  export KUBECONFIG={}", kubeconfig.display())?;
        writeln!(f, "  {} kubectl get nodes", kc.display())?;
        if let Some(node) = nodes.first() {
            writeln!(
                f,
                "  ip netns exec fl-{id}-client curl http://ADDRESS/    # as the client on the LAN"
            )?;
            writeln!(
                f,
                "  ip netns exec fl-{id}-lan tcpdump -ni lan0 arp       # on the LAN's bridge"
            )?;
            writeln!(
                f,
                "  ip netns exec fl-{id}-{node} bash                        # on node {node}"
            )?;
        }
        writeln!(f, "  logs: {}", logs.display())?;
        match is_kept {
            true => write!(f, "  cargo xtask cluster down    # removes it"),
            false => write!(f, "  it goes when the process that started it ends"),
        }
    }
}
