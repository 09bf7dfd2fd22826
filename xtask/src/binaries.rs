//! The release binaries: static, because the images hold nothing but them.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The binaries that we ship, which are also the names of their packages and images.
pub(crate) const SHIPPED: [&str; 2] = ["ferrolb-controller", "ferrolb-speaker"];

/// The target that static binaries are built for: glibc of this architecture. Naming it keeps
/// `crt-static` away from build scripts and proc macros.
pub(crate) fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Builds both, and returns the directory that they are in.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::step(
        "building the static release binaries (minutes the first time)",
        || {
            // One call per binary: together, a feature that only one of them asks for would reach both.
            for name in SHIPPED {
                let target = target();
                let mut command =
                    workspace.cargo(&["build", "--release", "--package", name, "--target", &target]);
                process::run(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
            }
            Ok(())
        },
    )?;
    Ok(workspace.target().join(target()).join("release"))
}
