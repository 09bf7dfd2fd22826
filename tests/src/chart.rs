//! The chart as it is in the source tree, and how the README installs it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::artifacts::Artifacts;
use crate::lab::netns::output;

/// The release of the README.
pub const RELEASE: &str = "ferrolb";

/// The namespace of the README.
pub const NAMESPACE: &str = "ferrolb-system";

/// The top of the source tree, which the README's commands are typed in.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The directory of the chart.
pub fn directory() -> PathBuf {
    source().join("charts/ferrolb")
}

/// The README's own words after `helm`, so that what it promises is what runs.
pub fn readme_install() -> Result<Vec<String>> {
    let text = readme()?;
    let line = text.lines().find(|line| line.starts_with("helm install "));
    let line = line.context("README.md has no line that begins with `helm install`")?;
    Ok(line.split_whitespace().skip(1).map(str::to_owned).collect())
}

/// The pool that the README has people create, as they would paste it.
pub fn readme_pool() -> Result<String> {
    let text = readme()?;
    let begin = "kubectl apply -f - <<< '";
    let pool = text.split(begin).nth(1).and_then(|rest| rest.split('\'').next());
    Ok(pool
        .with_context(|| format!("README.md has no {begin}"))?
        .to_owned())
}

/// The commands that the chart's notes have people type, each with its lines, from what helm printed.
pub fn notes_commands(printed: &str) -> Result<Vec<String>> {
    let (_, notes) = printed
        .split_once("\nNOTES:\n")
        .context("helm printed no notes")?;
    // Commands are apart from the prose, and indented.
    let paragraphs = notes.split("\n\n").map(|paragraph| paragraph.trim_matches('\n'));
    let commands = paragraphs.filter(|paragraph| paragraph.starts_with("  "));
    Ok(commands.map(str::to_owned).collect())
}

/// The README.
pub fn readme() -> Result<String> {
    let path = source().join("README.md");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Runs helm without a cluster and returns what it printed; fails unless it succeeds.
pub fn helm<S: AsRef<OsStr>>(
    artifacts: &Artifacts,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    let mut command = Command::new(artifacts.kc());
    command
        .arg("helm")
        .args(arguments)
        .current_dir(source())
        .env("KUBECONFIG", "/dev/null");
    // No settings of the person who runs this are read.
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, "/nonexistent");
    }
    output(&mut command)
}
