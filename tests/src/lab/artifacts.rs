//! Where the programs of a lab are, and the programs themselves.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The variable in which `cargo xtask` passes the directory.
const VARIABLE: &str = "FERROLB_ARTIFACTS";

/// The directory that `cargo xtask` prepared.
#[derive(Clone, Debug)]
pub struct Artifacts {
    directory: PathBuf,
}

// === impl Artifacts ===

impl Artifacts {
    /// Takes the directory from the environment.
    pub fn from_env() -> Result<Self> {
        let Some(directory) = env::var_os(VARIABLE) else {
            bail!("{VARIABLE} is not set: run through `cargo xtask test`, which builds what a lab needs");
        };
        let artifacts = Self {
            directory: directory.into(),
        };
        let kc = artifacts.kc();
        if !kc.exists() {
            bail!(
                "{VARIABLE} has no {}: run through `cargo xtask test`",
                kc.display()
            );
        }
        Ok(artifacts)
    }

    /// The multi-call Kubernetes.
    pub fn kc(&self) -> PathBuf {
        self.directory.join("kc")
    }

    /// Certificates and port forwards.
    pub fn kctools(&self) -> PathBuf {
        self.directory.join("kctools")
    }

    /// The server that endpoints run.
    pub fn testapp(&self) -> PathBuf {
        self.directory.join("testapp")
    }

    /// Our controller.
    pub fn controller(&self) -> PathBuf {
        self.directory.join("ferrolb-controller")
    }

    /// Our speaker.
    pub fn speaker(&self) -> PathBuf {
        self.directory.join("ferrolb-speaker")
    }

    /// What measures the allocator alone.
    pub fn allocations(&self) -> PathBuf {
        self.directory.join("allocations")
    }

    /// The directory of containerd's programs.
    pub fn containerd(&self) -> PathBuf {
        self.directory.join("containerd/usr/bin")
    }

    /// The archives of all images that nodes should have.
    pub fn images(&self) -> Result<Vec<PathBuf>> {
        let directory = self.directory.join("images");
        let mut archives = Vec::new();
        for entry in
            std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tar") {
                archives.push(path);
            }
        }
        archives.sort();
        Ok(archives)
    }

    /// Where the logs of labs go: beside the directory, so that they outlive a failed lab.
    pub fn logs(&self) -> PathBuf {
        self.directory.parent().unwrap_or(Path::new(".")).join("lab-logs")
    }
}

/// Finds `ferrolb-lab`, which parts of a lab run as: this program itself, or the one that cargo
/// builds beside a test program.
pub(crate) fn lab_program() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell which program this is")?;
    if own.file_name().is_some_and(|name| name == "ferrolb-lab") {
        return Ok(own);
    }
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("ferrolb-lab"));
    beside.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "there is no ferrolb-lab beside {}: build it with this package",
            own.display()
        )
    })
}
