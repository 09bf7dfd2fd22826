//! What the chart repeats of the workspace: its version, which is also the tag of our images.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::binaries::SHIPPED;
use crate::workspace::Workspace;

/// Checks the versions of the shipped packages against the chart's.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join("charts/ferrolb/Chart.yaml");
    let chart = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
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
}
