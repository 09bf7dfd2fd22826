//! The programs of `tests/cluster`, built by Go and kept in the cache by the hash of their inputs.
//!
//! Not Go's build cache is what makes a second run quick, but the finished program: the former has
//! 3 GB for a binary of 150 MB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process;
use crate::workspace::Workspace;

/// How many builds of one program stay in the cache: the newest, and those of branches beside it.
const KEPT: usize = 3;

/// A program of the Go module.
struct Source {
    name: &'static str,
    /// Build tags, without which upstream pulls in what nobody here uses.
    tags: &'static str,
    /// What to tell people about the time it takes.
    takes: &'static str,
    /// Images made from it: file name, reference, entrypoint.
    images: &'static [(&'static str, &'static str, &'static str)],
}

/// A built program.
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Archives of the images made from it.
    pub(crate) images: Vec<PathBuf>,
}

/// kctools comes before testapp, whose images it makes.
const SOURCES: [Source; 3] = [
    Source {
        name: "kctools",
        tags: "",
        takes: "half a minute the first time",
        images: &[],
    },
    Source {
        name: "testapp",
        tags: "",
        takes: "half a minute the first time",
        images: &[
            ("testapp.tar", "ferrolb.test/testapp:1", "/testapp"),
            ("pause.tar", "ferrolb.test/pause:1", "/testapp pause"),
        ],
    },
    Source {
        name: "kc",
        tags: "selinux,providerless",
        takes: "6 minutes on two cores the first time, 800 MB of modules",
        images: &[],
    },
];

/// Builds what is missing; returns all programs.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Vec<Program>> {
    let module = workspace.root().join("tests/cluster");
    if process::find("go").is_none() {
        bail!("go is not in the PATH: install Go 1.26 or newer, which builds the test cluster");
    }
    let version = process::output(Command::new("go").arg("version").current_dir(&module))?;
    let ldflags = ldflags(&module)?;
    let mut programs: Vec<Program> = Vec::new();
    for source in &SOURCES {
        let key = source.key(&module, &[&version, &ldflags])?;
        let directory = workspace
            .cache()
            .join("cluster")
            .join(format!("{}-{key}", source.name));
        if !directory.exists() {
            let kctools = programs.first().map(|program| program.path.as_path());
            process::step(&format!("building {} ({})", source.name, source.takes), || {
                let mut build = go_build(workspace, &module);
                build.args(["-tags", source.tags, "-ldflags", &ldflags]);
                source.build(build, &directory, kctools)
            })?;
        }
        let images = source.images.iter().map(|(file, ..)| directory.join(file));
        programs.push(Program {
            name: source.name,
            path: directory.join(source.name),
            images: images.collect(),
        });
    }
    Ok(programs)
}

// === impl Source ===

impl Source {
    /// Hashes all that the program is made from; `how` is what the compiler is told beside files.
    fn key(&self, module: &Path, how: &[&str]) -> Result<String> {
        let mut files = vec![module.join("go.mod"), module.join("go.sum")];
        let sources = module.join("cmd").join(self.name);
        for entry in fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))? {
            files.push(entry?.path());
        }
        files.sort();
        let mut hash = Sha256::new();
        hash.update(format!("{how:?} {} {:?}", self.tags, self.images));
        for file in files {
            let data = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(data.len().to_le_bytes());
            hash.update(data);
        }
        Ok(hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Builds into a directory beside the final one, so that this one exists only when complete.
    fn build(&self, mut build: Command, directory: &Path, kctools: Option<&Path>) -> Result<()> {
        let new = directory.with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        }
        fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        let program = new.join(self.name);
        build.arg("-o").arg(&program).arg(format!("./cmd/{}", self.name));
        process::run(&mut build)?;
        for (file, reference, entrypoint) in self.images {
            let kctools = kctools.context("kctools is built before the images")?;
            let mut image = Command::new(kctools);
            image
                .args(["mkimage", "-name", reference, "-entrypoint", entrypoint, "-o"])
                .arg(new.join(file))
                .arg(format!("{}:/{}", program.display(), self.name));
            process::run(&mut image)?;
        }
        fs::rename(&new, directory).with_context(|| format!("cannot make {}", directory.display()))?;
        self.prune(directory)
    }

    /// Removes the oldest builds of this program beyond [`KEPT`].
    fn prune(&self, newest: &Path) -> Result<()> {
        let cluster = newest.parent().context("a build lies in the cache")?;
        let mut builds = Vec::new();
        for entry in fs::read_dir(cluster)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_own = name
                .to_str()
                .and_then(|name| name.strip_prefix(self.name))
                .is_some_and(|rest| rest.starts_with('-'));
            if is_own {
                builds.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        builds.sort();
        builds.reverse();
        for (_, path) in builds.into_iter().skip(KEPT) {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

/// A static build whose bytes do not depend on where the clone is.
fn go_build(workspace: &Workspace, module: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .args(["build", "-trimpath"])
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOWORK", "off")
        .env("GOCACHE", workspace.cache().join("go-build"));
    command
}

/// Tells the components their version, as upstream's own build does; without it they refuse to
/// compare themselves with each other.
fn ldflags(module: &Path) -> Result<String> {
    let text = fs::read_to_string(module.join("go.mod")).context("cannot read tests/cluster/go.mod")?;
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .context("tests/cluster/go.mod does not require k8s.io/kubernetes")?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let mut flags = String::from("-s -w");
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [
            ("gitVersion", version),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("gitCommit", "module"),
            ("buildDate", "2026-01-01T00:00:00Z"),
        ] {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(flags)
}
