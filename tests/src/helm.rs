//! The real helm, and the chart as it is in the source tree.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::lab::artifacts::Artifacts;
use crate::lab::netns::output;

/// The release of the README.
pub const RELEASE: &str = "ferrolb";

/// The namespace of the README.
pub const NAMESPACE: &str = "ferrolb-system";

/// Helm, pointed at a cluster or at none.
#[derive(Clone, Debug)]
pub struct Helm {
    kc: PathBuf,
    kubeconfig: PathBuf,
}

/// The top of the source tree.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The directory of the chart.
pub fn chart() -> PathBuf {
    source().join("charts/ferrolb")
}

/// The README's own words after `helm`, so that what it promises is what runs.
pub fn readme_install() -> Result<Vec<String>> {
    let path = source().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().find(|line| line.starts_with("helm install "));
    let line = line.context("README.md has no line that begins with `helm install`")?;
    Ok(line.split_whitespace().skip(1).map(str::to_owned).collect())
}

// === impl Helm ===

impl Helm {
    /// Helm with the rights of the lab's administrator.
    pub fn of(lab: &Lab) -> Self {
        Self {
            kc: lab.artifacts().kc(),
            kubeconfig: lab.kubeconfig(),
        }
    }

    /// Helm without a cluster, for what renders.
    pub fn offline(artifacts: &Artifacts) -> Self {
        Self {
            kc: artifacts.kc(),
            kubeconfig: "/dev/null".into(),
        }
    }

    /// Runs helm and returns what it printed; fails unless it succeeds.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        // No file of the person who runs the tests is read: helm keeps its settings in these.
        let nowhere = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"];
        let mut command = Command::new(&self.kc);
        command
            .arg("helm")
            .args(arguments)
            .current_dir(source())
            .env("KUBECONFIG", &self.kubeconfig);
        for variable in nowhere {
            command.env(variable, "/nonexistent");
        }
        output(&mut command)
    }
}
