//! The directory that a cluster is started from: `<cargo target>/artifacts`.
//!
//! `ferrolb-lab` and the tests find there, by fixed names, every program that they run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::binaries;
use crate::workspace::Workspace;

/// Builds what is missing or out of date, and returns the directory.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target().join("artifacts");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, built) in binaries::SHIPPED.iter().zip(binaries::build(workspace)?) {
        link(&built, &directory.join(name))?;
    }
    Ok(directory)
}

/// Points `at` to `to`, whatever it pointed to before.
fn link(to: &Path, at: &Path) -> Result<()> {
    if fs::symlink_metadata(at).is_ok() {
        fs::remove_file(at).with_context(|| format!("cannot replace {}", at.display()))?;
    }
    symlink(to, at).with_context(|| format!("cannot link {} to {}", at.display(), to.display()))
}
