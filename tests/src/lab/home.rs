//! The identity of one lab and the places that belong to it.
//!
//! Everything that a lab puts on the machine carries its id: the directory of its state, its network
//! namespaces, its cgroups, and a variable in the environment of its processes. So two labs never
//! meet, and what belongs to one can be found again by whoever has to remove it.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The variable by which a process says which lab it belongs to.
pub(crate) const MARK: &str = "FERROLB_LAB";

/// How many directories of logs are kept: those of the labs of one run of all tests, and more.
const KEPT_LOGS: usize = 60;

/// The short name of a lab, unique on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabId(String);

/// A lab's places.
#[derive(Clone, Debug)]
pub struct Home {
    id: LabId,
    logs: PathBuf,
}

// === impl LabId ===

impl LabId {
    /// Reads an id that somebody typed.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            bail!("{text:?} is no lab's id: lower-case letters and digits, as `cluster status` shows it");
        }
        Ok(Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ids of all labs that have a directory on this machine.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(base()) else {
            return Vec::new();
        };
        let mut ids: Vec<_> = entries
            .filter_map(|entry| Self::parse(entry.ok()?.file_name().to_str()?.strip_prefix("fl-")?).ok())
            .collect();
        ids.sort();
        ids
    }

    /// The directory of the lab's state, in memory: etcd's data is there, and it must be quick. Its
    /// path is short because containerd's socket below it may have 108 bytes.
    pub fn directory(&self) -> PathBuf {
        base().join(format!("fl-{}", self.0))
    }

    /// What the names of its network namespaces begin with.
    pub(crate) fn netns_prefix(&self) -> String {
        format!("fl-{}-", self.0)
    }

    /// The name of its cgroup in every hierarchy.
    pub(crate) fn cgroup(&self) -> String {
        format!("ferrolb-{}", self.0)
    }

    fn random() -> Self {
        // Without vowels, so that no word comes out; without what looks alike.
        const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
        // The standard library's hasher is keyed at random: five letters need no more.
        let mut number = RandomState::new().hash_one(std::process::id());
        let mut letter = || {
            let index = usize::try_from(number % 27).unwrap_or(0);
            number /= 27;
            LETTERS.get(index).copied().map(char::from)
        };
        Self((0..5).filter_map(|_| letter()).collect())
    }
}

// === impl Home ===

impl Home {
    /// Makes the directories of a new lab; logs go below `logs`.
    pub(crate) fn create(logs: &Path) -> Result<Self> {
        let id = loop {
            let id = LabId::random();
            match fs::create_dir(id.directory()) {
                Ok(()) => break id,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make {}", id.directory().display()));
                }
            }
        };
        let logs = logs.join(id.as_str());
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let home = Self { id, logs };
        home.prune_logs()?;
        Ok(home)
    }

    /// The lab's id.
    pub fn id(&self) -> &LabId {
        &self.id
    }

    /// A path in the lab's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.id.directory().join(name)
    }

    /// A path among the lab's certificates and kubeconfigs.
    pub fn pki(&self, name: &str) -> PathBuf {
        self.path("pki").join(name)
    }

    /// The log file of one process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.logs.join(format!("{process}.log"))
    }

    /// The directory of logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Removes the logs of the oldest labs beyond [`KEPT_LOGS`].
    fn prune_logs(&self) -> Result<()> {
        let Some(all) = self.logs.parent() else {
            return Ok(());
        };
        let mut directories = Vec::new();
        for entry in fs::read_dir(all).with_context(|| format!("cannot read {}", all.display()))? {
            let entry = entry?;
            // Another lab may remove its own at this moment.
            if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
                directories.push((modified, entry.path()));
            }
        }
        directories.sort();
        directories.reverse();
        for (_, path) in directories.into_iter().skip(KEPT_LOGS) {
            let _ = fs::remove_dir_all(path);
        }
        Ok(())
    }
}

/// The file system in memory, if there is one; `FERROLB_LAB_DIR` names another place.
fn base() -> PathBuf {
    if let Some(directory) = std::env::var_os("FERROLB_LAB_DIR") {
        return directory.into();
    }
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return memory.into();
    }
    std::env::temp_dir()
}
