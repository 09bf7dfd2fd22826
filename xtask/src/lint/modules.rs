//! Every `.rs` file of a package is reached by a `mod` from one of its targets.
//!
//! A file that is not compiles nowhere and rots; a test file that is not never runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::{Package, Workspace};

/// Runs the check.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut orphans = Vec::new();
    for package in workspace.packages()? {
        orphans.extend(unreached(&package)?);
    }
    if !orphans.is_empty() {
        let names: Vec<_> = orphans.iter().map(|path| path.display().to_string()).collect();
        bail!(
            "no `mod` reaches these files, so nothing compiles them:\n    {}",
            names.join("\n    ")
        );
    }
    Ok(())
}

fn unreached(package: &Package) -> Result<Vec<PathBuf>> {
    let mut reached = BTreeSet::new();
    for root in &package.roots {
        // Modules of a target's root file lie beside it, those of any other in its own directory.
        let beside = root.parent().context("a source file without a directory")?;
        follow(root, beside, &mut reached)?;
    }
    let mut present = BTreeSet::new();
    for directory in ["src", "tests", "benches", "examples"] {
        sources(&package.directory.join(directory), &mut present)?;
    }
    Ok(present.difference(&reached).cloned().collect())
}

/// Marks a file and everything that its `mod` lines name.
fn follow(file: &Path, directory: &Path, reached: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !reached.insert(file.to_path_buf()) {
        return Ok(());
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    for name in text.lines().filter_map(declared) {
        let path = directory.join(format!("{name}.rs"));
        // A file that is not there is the compiler's to complain about.
        if path.is_file() {
            follow(&path, &directory.join(name), reached)?;
        }
    }
    Ok(())
}

/// The name in a line like `pub(crate) mod name;`.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|character| character != ' ').trim_start(),
        None => line,
    };
    let name = line.strip_prefix("mod ")?.split(';').next()?.trim();
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || character == '_');
    (is_name && line.contains(';')).then_some(name)
}

fn sources(directory: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declarations_of_a_file_name_a_module() {
        assert_eq!(declared("mod wire;"), Some("wire"));
        assert_eq!(declared("    pub(crate) mod arp; // why"), Some("arp"));
        assert_eq!(declared("pub mod ndp;"), Some("ndp"));
        assert_eq!(declared("mod tests {"), None);
        assert_eq!(declared("//! mod wire;"), None);
        assert_eq!(declared("let modulus = 3;"), None);
    }

    #[test]
    fn a_file_that_no_mod_names_is_found() {
        let directory = std::env::temp_dir().join(format!("ferrolb-modules-{}", std::process::id()));
        let src = directory.join("src");
        fs::create_dir_all(src.join("kept")).expect("a directory");
        for (file, text) in [
            ("lib.rs", "mod kept;\n"),
            ("kept.rs", "mod inner;\n"),
            ("kept/inner.rs", ""),
            ("lost.rs", ""),
        ] {
            fs::write(src.join(file), text).expect("a file");
        }
        let package = Package {
            name: "sample".to_owned(),
            version: "1.0.0".to_owned(),
            directory: directory.clone(),
            roots: vec![src.join("lib.rs")],
        };
        let orphans = unreached(&package);
        fs::remove_dir_all(&directory).expect("removed");
        assert_eq!(orphans.expect("readable sources"), [src.join("lost.rs")]);
    }
}
