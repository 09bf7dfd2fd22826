//! Where things are: the source tree, the cache outside it, and how cargo is called in it.
//!
//! Nothing is ever built inside the clone but xtask itself, so that a fresh clone starts from the
//! caches of the one before.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// The paths that every command needs.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The top of the source tree.
    root: PathBuf,
    /// `~/.cache/ferrolb`, or below `XDG_CACHE_HOME`: what is dear to build.
    cache: PathBuf,
    /// Cargo's target directory: `CARGO_TARGET_DIR`, else in the cache.
    target: PathBuf,
}

/// One package of the workspace, as `cargo metadata` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The directory of its `Cargo.toml`.
    pub(crate) directory: PathBuf,
    /// The root file of each of its targets.
    pub(crate) roots: Vec<PathBuf>,
}

// === impl Workspace ===

impl Workspace {
    /// Finds the workspace that `cargo xtask` was started in.
    pub(crate) fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`, inside the clone")?;
        let root = Path::new(&manifest)
            .parent()
            .context("xtask has no directory above it")?
            .to_path_buf();
        let cache = cache_home()?.join("ferrolb");
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(directory) => env::current_dir()?.join(directory),
            None => cache.join("target"),
        };
        Ok(Self { root, cache, target })
    }

    /// The top of the source tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The cache outside the clone.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Cargo's target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A call of cargo in this workspace and its target directory.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Every package of the workspace.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let json = process::output(&mut self.cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&json).context("cargo metadata printed no JSON")?;
        let packages = metadata.get("packages").and_then(Value::as_array);
        let packages = packages.context("cargo metadata has no packages")?;
        packages.iter().map(Package::parse).collect()
    }
}

// === impl Package ===

impl Package {
    fn parse(json: &Value) -> Result<Self> {
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        let parsed = (|| {
            let directory = Path::new(&text(json, "manifest_path")?).parent()?.to_path_buf();
            let targets = json.get("targets")?.as_array()?.iter();
            let roots = targets
                .map(|target| text(target, "src_path").map(PathBuf::from))
                .collect::<Option<_>>()?;
            Some(Self {
                name: text(json, "name")?,
                version: text(json, "version")?,
                directory,
                roots,
            })
        })();
        parsed.with_context(|| format!("cargo metadata describes a package in an unknown way: {json}"))
    }
}

fn cache_home() -> Result<PathBuf> {
    if let Some(path) = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    match env::var_os("HOME") {
        Some(home) => Ok(Path::new(&home).join(".cache")),
        None => bail!("neither XDG_CACHE_HOME nor HOME is set: there is no place to cache builds in"),
    }
}
