//! `cargo xtask lint`: everything that can be known without running the product.
//!
//! This file decides which checks there are and their order, cheapest first; every check runs even
//! when one before it failed, so that one round shows all.

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{crds, process};

mod chart;
mod deny;
mod graph;
mod modules;

/// Check format, lints, licenses, docs, generated files and the rules of the source tree.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only the checks whose name contains this text.
    filter: Option<String>,
}

type Check = fn(&Workspace) -> Result<()>;

const CHECKS: [(&str, Check); 9] = [
    ("format", format),
    ("every source file is compiled", modules::check),
    ("who may depend on whom", graph::check),
    ("chart and workspace agree", chart::check),
    ("licenses, bans and sources", deny::check),
    ("clippy", clippy),
    ("each crate alone", alone),
    ("generated CRDs", crds::check),
    ("docs", docs),
];

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let wanted = |name: &str| {
        args.filter
            .as_ref()
            .is_none_or(|text| name.contains(text.as_str()))
    };
    let checks: Vec<_> = CHECKS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if checks.is_empty() {
        let names: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
        bail!(
            "no check has a name with {:?} in it; there are: {}",
            args.filter,
            names.join("; ")
        );
    }
    let mut failed = Vec::new();
    for (name, check) in &checks {
        if let Err(error) = process::step(name, || check(workspace)) {
            eprintln!("    {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} checks failed: {}",
            failed.len(),
            checks.len(),
            failed.join("; ")
        );
    }
    println!("lint: {} checks passed", checks.len());
    Ok(())
}

fn format(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let arguments = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    process::run(&mut workspace.cargo(&arguments))
}

/// Checks each crate by itself: in one build of all, a feature that one crate forgot to ask for
/// may come from another.
fn alone(workspace: &Workspace) -> Result<()> {
    for package in workspace.packages()? {
        process::run(&mut workspace.cargo(&["check", "--quiet", "--locked", "--package", &package.name]))?;
    }
    Ok(())
}

fn docs(workspace: &Workspace) -> Result<()> {
    let arguments = [
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--locked",
        "--document-private-items",
    ];
    process::run(workspace.cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))
}
