//! The directory that a cluster is started from: `<cargo target>/artifacts`.
//!
//! `ferrolb-lab` and the tests find there, by fixed names, every program that they run. What is dear
//! to build lies in the cache, keyed by its inputs, and only links to it are here. A step prints
//! something only when there is something to do.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::packages::Apt;
use crate::workspace::Workspace;
use crate::{binaries, process};

mod containerd;
mod go;
mod packages;

/// Installs or builds what is missing or out of date, and returns the directory.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target().join("artifacts");
    let images = directory.join("images");
    fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    fs::create_dir_all(workspace.cache())
        .with_context(|| format!("cannot make {}", workspace.cache().display()))?;
    {
        let _lock = lock(workspace.cache())?;
        let mut apt = Apt::default();
        packages::ensure(&mut apt)?;
        for program in go::ensure(workspace)? {
            link(&program.path, &directory.join(program.name))?;
            for image in program.images {
                let name = image.file_name().context("an image archive without a name")?;
                link(&image, &images.join(name))?;
            }
        }
        link(
            &containerd::ensure(workspace, &mut apt)?,
            &directory.join("containerd"),
        )?;
    }
    let built = binaries::build(workspace)?;
    for name in binaries::SHIPPED {
        link(&built.join(name), &directory.join(name))?;
    }
    let measuring = binaries::ALLOCATIONS;
    link(
        &built.join("examples").join(measuring),
        &directory.join(measuring),
    )?;
    Ok(directory)
}

/// Keeps a second run out of the cache until the returned file is closed.
fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            process::note("waiting for another cargo xtask that is filling the cache");
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            bail!("cannot lock {}: {error}", path.display());
        }
    }
    Ok(file)
}

/// Points `at` to `to`, whatever it pointed to before, without a moment in which it is missing.
fn link(to: &Path, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|now| now == to) {
        return Ok(());
    }
    let new = at.with_extension(format!("new-{}", std::process::id()));
    symlink(to, &new)
        .and_then(|()| fs::rename(&new, at))
        .with_context(|| format!("cannot link {} to {}", at.display(), to.display()))
}
