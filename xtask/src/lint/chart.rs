//! What the chart repeats of the workspace: its version, which is also the tag of our images, and where
//! those are pulled from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::binaries::SHIPPED;
use crate::image::REPOSITORY;
use crate::workspace::Workspace;

/// Checks the chart's versions against the shipped packages', and its default images against those
/// that `cargo xtask image` makes.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let directory = workspace.root().join("charts/ferrolb");
    let path = directory.join("values.yaml");
    let values = read(&path)?;
    let found = repository(&values);
    if found != Some(REPOSITORY) {
        bail!(
            "{}: image.repository is {}, but `cargo xtask image` makes images of {REPOSITORY}: make them one",
            path.display(),
            found.unwrap_or("missing")
        );
    }
    let path = directory.join("Chart.yaml");
    let chart = read(&path)?;
    for package in workspace.packages()? {
        if !SHIPPED.contains(&package.name.as_str()) {
            continue;
        }
        for key in ["version", "appVersion"] {
            let found = value(&chart, key);
            if found != Some(package.version.as_str()) {
                bail!(
                    "{}: {key} is {}, but {} has version {}: make them one",
                    path.display(),
                    found.unwrap_or("missing"),
                    package.name,
                    package.version
                );
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where images are pulled from by default.
fn repository(values: &str) -> Option<&str> {
    let (_, image) = values.split_once("\nimage:\n")?;
    let mut lines = image.lines().take_while(|line| line.starts_with(' '));
    lines.find_map(|line| line.trim().strip_prefix("repository: "))
}

/// The value of a top-level key, without its quotes.
fn value<'a>(yaml: &'a str, key: &str) -> Option<&'a str> {
    let line = yaml
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_only_at_the_top_level_and_whole() {
        let yaml = "appVersion: \"0.1.0\"\nversion: 0.2.0\nmaintainers:\n  version: 9\n";
        assert_eq!(value(yaml, "version"), Some("0.2.0"));
        assert_eq!(value(yaml, "appVersion"), Some("0.1.0"));
        assert_eq!(value(yaml, "name"), None);
    }

    #[test]
    fn the_repository_is_that_of_the_images() {
        let values = "# A comment.\n\nimage:\n  # Below this.\n  repository: one\n  tag: \"\"\nother:\n  repository: two\n";
        assert_eq!(repository(values), Some("one"));
        assert_eq!(
            repository("\nimage:\n  tag: \"\"\nother:\n  repository: two\n"),
            None
        );
    }
}
