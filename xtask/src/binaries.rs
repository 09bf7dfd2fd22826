//! The release binaries: static, because the images hold nothing but them.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The binaries that we ship, which are also the names of their packages and images.
pub(crate) const SHIPPED: [&str; 2] = ["ferrolb-controller", "ferrolb-speaker"];

/// What measures the allocator alone: an example of `ferrolb-core`, built as the controller is.
pub(crate) const ALLOCATIONS: &str = "allocations";

/// Static, and without the tables for unwinding: a panic aborts, so nobody ever reads them, and
/// they are a tenth of the file.
const RUSTFLAGS: &str = "-C target-feature=+crt-static -C force-unwind-tables=no";

/// The target that static binaries are built for: glibc of this architecture. Naming it keeps
/// `crt-static` away from build scripts and proc macros.
pub(crate) fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Builds both and the measuring example; returns the directory that they are in, the example in
/// `examples`.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::step(
        "building the static release binaries (minutes the first time)",
        || {
            let target = target();
            let shipped = SHIPPED.iter().flat_map(|name| ["--package", name]).collect();
            let example = vec!["--package", "ferrolb-core", "--example", ALLOCATIONS];
            for what in [shipped, example] {
                let mut command = workspace.cargo(&["build", "--release", "--target", &target]);
                process::run(command.args(what).env("RUSTFLAGS", RUSTFLAGS))?;
            }
            Ok(())
        },
    )?;
    Ok(workspace.target().join(target()).join("release"))
}
