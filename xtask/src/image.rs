//! `cargo xtask image`: our two images, from scratch and without a container engine.
//!
//! This file decides what is in an image and how it starts; `image/archive.rs` knows the format.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{binaries, process};

mod archive;

/// Where the images would be pulled from; the chart's default references begin with it.
pub(crate) const REPOSITORY: &str = "ghcr.io/ferrolb";

/// The largest image that we are willing to ship.
const MAX_BYTES: u64 = 10_000_000;

/// Build both images, without a container engine, and print the archives' paths, one a line.
///
/// The archives are in the format of `docker save`: `docker load`, `podman load` and
/// `ctr images import` read them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the archives [default: `images` in cargo's target directory].
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let directory = args
        .output
        .clone()
        .unwrap_or_else(|| workspace.target().join("images"));
    let binaries = binaries::build(workspace)?;
    for path in pack(workspace, &binaries, &directory)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Writes the archives of both images, made from the programs in `binaries`; returns their paths.
pub(crate) fn pack(workspace: &Workspace, binaries: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let directory = fs::canonicalize(directory)?;
    let packages = workspace.packages()?;
    let mut paths = Vec::new();
    for name in binaries::SHIPPED {
        let package = packages.iter().find(|package| package.name == name);
        let package = package.with_context(|| format!("the workspace has no package {name}"))?;
        let image = archive::Image {
            reference: format!("{REPOSITORY}/{name}:{}", package.version),
            binary: &binaries.join(name),
            name,
            user: user(name),
        };
        let path = directory.join(format!("{name}.tar"));
        if archive::write(&image, &path)? {
            let bytes = fs::metadata(&path)?.len();
            process::note(&format!(
                "image {} has {:.1} MB",
                image.reference,
                bytes as f64 / 1e6
            ));
            if bytes > MAX_BYTES {
                bail!(
                    "{} has {bytes} bytes; an image may have {MAX_BYTES}",
                    path.display()
                );
            }
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Whom an image's process starts as. The speaker opens its packet sockets as root, with NET_RAW
/// alone to use, and changes to 65534 before it reads a byte; the controller never needs more.
fn user(name: &str) -> &'static str {
    match name {
        "ferrolb-speaker" => "0:0",
        _ => "65534:65534",
    }
}
