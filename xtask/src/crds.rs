//! `cargo xtask crds`: the chart's CRDs from the Rust types, written or compared.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Write the generated CRDs into `charts/ferrolb/crds/`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when what is there differs from what would be written.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    generate(workspace, args.check)
}

/// Fails when the chart's CRDs are not what the types generate.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    generate(workspace, true)
}

fn generate(workspace: &Workspace, check: bool) -> Result<()> {
    let mut command = workspace.cargo(&[
        "run",
        "--quiet",
        "--package",
        "ferrolb-crds",
        "--bin",
        "crdgen",
        "--",
    ]);
    if check {
        command.arg("--check");
    }
    process::run(command.arg(workspace.root().join("charts/ferrolb/crds")))
}
