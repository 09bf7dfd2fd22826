//! Who may depend on whom, from the dependency graph that cargo resolved.
//!
//! `core` decides without I/O, and the crates above it know no more than they need. A rule that
//! only a reviewer remembers is forgotten; this one is computed.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// One rule: what must not be among a package's normal dependencies, direct or not.
struct Rule {
    /// The package.
    package: &'static str,
    /// What the rule protects, for the message.
    because: &'static str,
    /// Forbidden crate names; a `*` at the end stands for any rest.
    forbidden: &'static [&'static str],
}

const RULES: [Rule; 5] = [
    Rule {
        package: "ferrolb-core",
        because: "core has no I/O, no runtime, no clock and no source of randomness of its own",
        forbidden: &[
            "tokio*",
            "mio",
            "async-*",
            "kube*",
            "k8s-openapi",
            "hyper*",
            "rustls*",
            "socket2",
            "nix",
            "libc",
            "rustix",
            "rtnetlink",
            "netlink-*",
            "pnet*",
            "tracing-subscriber",
            "getrandom",
            "chrono",
            "jiff",
            "ferrolb-*",
        ],
    },
    Rule {
        package: "ferrolb-crds",
        because: "crds knows core and the Kubernetes types, and talks to nobody",
        forbidden: &[
            "ferrolb-runtime",
            "ferrolb-controller",
            "ferrolb-speaker",
            "rtnetlink",
            "pnet*",
        ],
    },
    Rule {
        package: "ferrolb-runtime",
        because: "runtime serves both binaries and knows neither what they decide nor our objects",
        forbidden: &["ferrolb-*"],
    },
    Rule {
        package: "ferrolb-controller",
        because: "the binaries meet only through the API",
        forbidden: &["ferrolb-speaker", "pnet_datalink", "aws-lc-rs", "openssl-sys"],
    },
    Rule {
        package: "ferrolb-speaker",
        because: "the binaries meet only through the API, and pnet_datalink is promiscuous by default",
        forbidden: &["ferrolb-controller", "pnet_datalink", "aws-lc-rs", "openssl-sys"],
    },
];

/// Checks every rule.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut broken = Vec::new();
    for rule in &RULES {
        for name in dependencies(workspace, rule.package)? {
            if let Some(pattern) = rule.forbidden.iter().find(|pattern| matches(pattern, &name)) {
                broken.push(format!(
                    "{} depends on {name} ({pattern}): {}",
                    rule.package, rule.because
                ));
            }
        }
    }
    if !broken.is_empty() {
        bail!(
            "{}\n    `cargo tree -e normal -p PACKAGE -i NAME` shows the way",
            broken.join("\n    ")
        );
    }
    Ok(())
}

/// The names of all normal dependencies of a package, itself not counted.
fn dependencies(workspace: &Workspace, package: &str) -> Result<BTreeSet<String>> {
    let arguments = [
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = process::output(&mut workspace.cargo(&arguments))?;
    let names = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned);
    let names: BTreeSet<_> = names.filter(|name| name != package).collect();
    if names.is_empty() {
        bail!("cargo tree shows no dependency of {package}: this check would prove nothing");
    }
    Ok(names)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_rest_and_nothing_else_does() {
        assert!(matches("kube*", "kube-client"));
        assert!(matches("kube*", "kube"));
        assert!(!matches("kube", "kube-client"));
        assert!(!matches("pnet_datalink", "pnet_packet"));
    }
}
