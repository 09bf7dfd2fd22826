//! Debian packages that a cluster needs beside what we build: installed when a program is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process;

/// A program and the package that brings it. A path that begins with `/` is looked at as it is. The
/// last two are for who plays with a cluster that stays.
const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("runc", "runc"),
    ("dpkg-deb", "dpkg"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("curl", "curl"),
    ("tcpdump", "tcpdump"),
];

/// apt, whose package lists are fetched at most once a run.
#[derive(Default)]
pub(crate) struct Apt {
    is_updated: bool,
}

/// Installs the packages of all programs that are missing.
pub(crate) fn ensure(apt: &mut Apt) -> Result<()> {
    let is_there = |program: &str| match program.starts_with('/') {
        true => Path::new(program).is_file(),
        false => process::find(program).is_some(),
    };
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt.update(&missing)?;
    process::step(
        &format!(
            "installing Debian packages: {} (half a minute)",
            missing.join(" ")
        ),
        || {
            let mut command = Command::new("apt-get");
            command
                .args(["install", "--yes", "-qq", "--no-install-recommends"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(Stdio::null());
            process::run(&mut command)
        },
    )
}

// === impl Apt ===

impl Apt {
    /// Fetches the package lists, unless this run has done so already; `wanted` is what for.
    pub(crate) fn update(&mut self, wanted: &[&str]) -> Result<()> {
        if self.is_updated {
            return Ok(());
        }
        if process::find("apt-get").is_none() {
            bail!(
                "this machine has no apt-get: install what the Debian packages {} hold, then start again",
                wanted.join(", ")
            );
        }
        if !is_root() {
            bail!(
                "the Debian packages {} are missing: start again as root, or install them yourself",
                wanted.join(", ")
            );
        }
        process::step("fetching Debian's package lists (ten seconds)", || {
            process::run(Command::new("apt-get").args(["update", "-qq"]))
        })?;
        self.is_updated = true;
        Ok(())
    }
}

/// Whether this process may install packages: it owns its own entry in `/proc` as user 0.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
