//! How the other commands become `ferrolb-lab`, the program that builds clusters.
//!
//! Demo, cluster and bench are its subcommands: xtask only prepares what it needs and then
//! replaces itself by it, so that Ctrl-C reaches the program that has to clean up.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{artifacts, image, process};

/// The variable that tells `ferrolb-lab` and the tests where their artifacts are.
pub(crate) const ARTIFACTS: &str = "FERROLB_ARTIFACTS";

/// Prepares everything and becomes `ferrolb-lab` with these arguments; returns only on failure.
pub(crate) fn become_lab(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let artifacts = prepare(workspace)?;
    let mut lab = build(workspace)?;
    Err(process::exec(lab.args(arguments).env(ARTIFACTS, artifacts)))
}

/// The same for what starts nothing.
pub(crate) fn become_bare_lab(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let mut lab = build(workspace)?;
    Err(process::exec(lab.args(arguments)))
}

fn build(workspace: &Workspace) -> Result<Command> {
    process::step("building ferrolb-lab", || {
        process::run(&mut workspace.cargo(&["build", "--package", "ferrolb-tests", "--bin", "ferrolb-lab"]))
    })?;
    let mut lab = Command::new(workspace.target().join("debug/ferrolb-lab"));
    lab.current_dir(workspace.root());
    Ok(lab)
}

/// Installs or builds all that a cluster needs, our images included; returns the directory.
pub(crate) fn prepare(workspace: &Workspace) -> Result<PathBuf> {
    let artifacts = artifacts::ensure(workspace)?;
    image::pack(workspace, &artifacts, &artifacts.join("images"))?;
    Ok(artifacts)
}
