//! Removing everything that a lab has put on the machine, found by its id.
//!
//! Nothing is remembered in a list that a crash could leave incomplete. What belongs to a lab is what
//! carries its mark: processes with its variable in their environment or inside one of its namespaces,
//! mounts below its directory, cgroups and namespaces of its name. One step that goes wrong does not
//! stop the others; all complaints are reported together.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::eventually::eventually;
use super::home::{LabId, MARK};
use super::netns;

/// How long killed processes may take to go: the kernel ends them at once, but a pod's mounts and
/// namespaces are taken apart on the way.
const PROCESSES: Duration = Duration::from_secs(15);

/// How long all of it may take, with a second try.
const DEADLINE: Duration = Duration::from_secs(30);

/// What of a lab is still on the machine; empty when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Processes, by id.
    pub processes: BTreeSet<i32>,
    /// Network namespaces, by name.
    pub namespaces: BTreeSet<String>,
    /// Mount points, deepest first.
    pub mounts: Vec<PathBuf>,
    /// Directories of cgroups.
    pub cgroups: BTreeSet<PathBuf>,
    /// The directory of its state.
    pub directory: Option<PathBuf>,
}

// === impl Remains ===

impl Remains {
    /// Looks at the machine.
    pub fn of(lab: &LabId) -> Self {
        let namespaces = namespaces(lab);
        Self {
            processes: processes(lab, &namespaces),
            namespaces,
            mounts: mounts(lab),
            cgroups: cgroups(lab),
            directory: Some(lab.directory()).filter(|directory| directory.exists()),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes all of a lab.
///
/// A helper that the owner was just running may add something behind our back, so we look again until
/// nothing is left.
pub async fn tear_down(lab: &LabId) -> Result<()> {
    eventually(
        DEADLINE,
        &format!("all of lab {} is removed", lab.as_str()),
        async || {
            let complaints = tear_down_once(lab).await;
            let remains = Remains::of(lab);
            if !remains.is_empty() {
                bail!("left are {remains:?}; {}", complaints.join("; "));
            }
            Ok(())
        },
    )
    .await
}

async fn tear_down_once(lab: &LabId) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut note = |result: Result<()>| complaints.extend(result.err().map(|error| format!("{error:#}")));
    note(end_processes(lab).await);
    for mount in mounts(lab) {
        let done = umount2(&mount, MntFlags::MNT_DETACH);
        note(done.with_context(|| format!("cannot unmount {}", mount.display())));
    }
    for name in namespaces(lab) {
        note(netns::run(Command::new("ip").args(["netns", "del", &name])));
    }
    for cgroup in cgroups(lab) {
        note(remove_cgroup(&cgroup).await);
    }
    let directory = lab.directory();
    if directory.exists() {
        let done = fs::remove_dir_all(&directory);
        note(done.with_context(|| format!("cannot remove {}", directory.display())));
    }
    complaints
}

/// Kills until none is left: what is being started while we look is found at the next look.
async fn end_processes(lab: &LabId) -> Result<()> {
    eventually(PROCESSES, "all processes of the lab are gone", async || {
        let left = processes(lab, &namespaces(lab));
        for pid in &left {
            // It may have ended since.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if !left.is_empty() {
            bail!("these still run: {left:?}");
        }
        Ok(())
    })
    .await
}

/// Every process that carries the lab's mark or is in one of its namespaces. Zombies are not: they
/// have neither any more.
fn processes(lab: &LabId, namespaces: &BTreeSet<String>) -> BTreeSet<i32> {
    let mark = format!("{MARK}={}", lab.as_str());
    let inodes: BTreeSet<u64> = namespaces
        .iter()
        .filter_map(|name| Some(fs::metadata(Path::new("/run/netns").join(name)).ok()?.ino()))
        .collect();
    let is_ours = |directory: &Path| {
        let in_namespace = fs::metadata(directory.join("ns/net")).is_ok_and(|ns| inodes.contains(&ns.ino()));
        in_namespace
            || fs::read(directory.join("environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == mark.as_bytes())
            })
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            is_ours(&entry.path()).then_some(pid)
        })
        .collect()
}

fn namespaces(lab: &LabId) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return BTreeSet::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&lab.netns_prefix()))
        .collect()
}

fn mounts(lab: &LabId) -> Vec<PathBuf> {
    let directory = lab.directory();
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1).map(PathBuf::from))
        .filter(|path| path.starts_with(&directory))
        .collect();
    mounts.sort();
    mounts.reverse();
    mounts
}

/// The lab's cgroup in the one hierarchy of version 2 and in each of version 1.
fn cgroups(lab: &LabId) -> BTreeSet<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut parents = vec![root.to_path_buf()];
    if let Ok(entries) = fs::read_dir(root) {
        parents.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    parents
        .into_iter()
        .map(|parent| parent.join(lab.cgroup()))
        .filter(|path| path.is_dir())
        .collect()
}

/// Removes a cgroup from its leaves up. The kernel calls it busy for a moment after the last of its
/// processes has ended.
pub(crate) async fn remove_cgroup(top: &Path) -> Result<()> {
    eventually(Duration::from_secs(5), "the cgroup is gone", async || {
        let mut directories = vec![top.to_path_buf()];
        let mut next = 0;
        while let Some(directory) = directories.get(next).cloned() {
            next += 1;
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            let entries = entries.filter_map(Result::ok);
            directories.extend(
                entries
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
        for directory in directories.iter().rev() {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await
}
