//! Licenses, banned crates and sources, by cargo-deny and without the network.
//!
//! Advisories are configured in `deny.toml` but not run here: their database is fetched from a
//! public forge, which a build machine may not reach. `cargo deny check advisories` runs them where it is.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The version whose `deny.toml` format ours is.
const VERSION: &str = "0.20.2";

/// Runs the check, and installs the tool first when the machine has none.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let deny = match process::find("cargo-deny") {
        Some(path) => path,
        None => ensure(workspace)?,
    };
    // The crates have to be there before a check that may not fetch them.
    process::run(&mut workspace.cargo(&["fetch", "--quiet", "--locked"]))?;
    let mut command = Command::new(deny);
    command.args([
        "--offline",
        "--all-features",
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
    ]);
    process::run(
        command
            .args(["licenses", "bans", "sources"])
            .current_dir(workspace.root()),
    )
}

fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.cache().join("tools");
    let binary = tools.join("bin/cargo-deny");
    if !binary.is_file() {
        println!("    cargo-deny is missing: installing it into the cache (about 2 minutes, once)");
        let mut install = workspace.cargo(&[
            "install",
            "--quiet",
            "--locked",
            "cargo-deny",
            "--version",
            VERSION,
        ]);
        // Its build is of no use to ours, so cargo may put it where it is removed again.
        process::run(install.arg("--root").arg(&tools).env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(binary)
}
