//! What the kernel lets the programs in our pods do, once they run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::Lab;

/// NET_RAW, SETUID and SETGID: what the chart lets the speaker have at its start. It needs a further
/// capability to narrow this set, and without a way to gain one (no new privileges) it means nothing.
const BOUNDING_SPEAKER: &str = "00000000000020c0";

const NOTHING: &str = "0000000000000000";

/// Fails unless every speaker and every controller of the lab is nobody, without capabilities, with a
/// filter on its system calls, on a file system that it cannot write.
pub(super) fn check(lab: &Lab) -> Result<()> {
    for (program, count, bounding) in [
        ("ferrolb-speaker", 3, BOUNDING_SPEAKER),
        ("ferrolb-controller", 2, NOTHING),
    ] {
        let processes = processes(lab, program)?;
        ensure!(
            processes.len() == count,
            "{} processes are {program}",
            processes.len()
        );
        for process in processes {
            is_nobody(&process, bounding).with_context(|| format!("{program}, {}", process.display()))?;
            cannot_write(&process).with_context(|| program.to_owned())?;
        }
    }
    Ok(())
}

fn is_nobody(process: &Path, bounding: &str) -> Result<()> {
    let status = fs::read_to_string(process.join("status"))?;
    let fields = [
        ("Uid:", "65534"),
        ("Gid:", "65534"),
        ("Groups:", "65534"),
        ("CapInh:", NOTHING),
        ("CapPrm:", NOTHING),
        ("CapEff:", NOTHING),
        ("CapAmb:", NOTHING),
        ("CapBnd:", bounding),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
    ];
    for (name, expected) in fields {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("the kernel tells no {name}"))?;
        let values: Vec<_> = line.split_whitespace().collect();
        ensure!(
            !values.is_empty() && values.iter().all(|value| *value == expected),
            "{name} {values:?}, and not {expected}"
        );
    }
    Ok(())
}

/// Its root is mounted read-only, and nothing that lasts and could be written is mounted below.
fn cannot_write(process: &Path) -> Result<()> {
    let mounts = fs::read_to_string(process.join("mountinfo"))?;
    let mounts = mounts.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        (words[4], words[5].split(',').any(|option| option == "ro"))
    });
    // Every container has these: the kernel's own, and two files that belong to root.
    let allowed = |point: &str| {
        let is_kernels = |parent: &&str| Path::new(point).starts_with(parent);
        ["/dev", "/proc", "/sys/fs/cgroup"].iter().any(is_kernels) || point == "/etc/hosts"
    };
    let mut is_root_seen = false;
    for (point, is_read_only) in mounts {
        is_root_seen |= point == "/";
        ensure!(is_read_only || allowed(point), "{point} can be written");
    }
    ensure!(is_root_seen, "there is no root");
    Ok(())
}

/// The directories in `/proc` of a program's processes in the pods of a lab.
fn processes(lab: &Lab, program: &str) -> Result<Vec<PathBuf>> {
    // Each lab has cgroups of its own, and its pods are below them.
    let cgroup = format!("/ferrolb-{}/", lab.home().id().as_str());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let is_program = fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with(program));
        let is_ours =
            || fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(&cgroup));
        if is_program && is_ours() {
            found.push(process);
        }
    }
    Ok(found)
}
