//! containerd's files, taken out of Debian's package without installing it: the package would start
//! a service, and a node of ours runs its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::packages::Apt;
use crate::process;
use crate::workspace::Workspace;

/// Returns the directory that holds `usr/bin/containerd` and its companions.
pub(crate) fn ensure(workspace: &Workspace, apt: &mut Apt) -> Result<PathBuf> {
    let directory = workspace.cache().join("containerd");
    if directory.join("usr/bin/containerd").is_file() {
        return Ok(directory);
    }
    let work = workspace.cache().join("containerd.new");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    apt.update(&["containerd"])?;
    process::step("unpacking containerd, not installing it (ten seconds)", || {
        let mut download = Command::new("apt-get");
        download
            // A cache in a home directory is closed to the user that apt would drop to.
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root", "containerd"])
            .current_dir(&work)
            .stdout(Stdio::null());
        process::run(&mut download)?;
        let archive = archive_in(&work)?;
        process::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&work))?;
        fs::remove_file(&archive)?;
        fs::rename(&work, &directory).with_context(|| format!("cannot make {}", directory.display()))
    })?;
    Ok(directory)
}

fn archive_in(directory: &Path) -> Result<PathBuf> {
    fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")
}
