//! `cargo xtask bench`: the figures that the budgets are about, measured on this machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use crate::workspace::Workspace;
use crate::{lab, process};

/// Measure what the budgets promise.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure.
    #[arg(value_enum)]
    what: What,
    /// Passed on to the benchmark; `cargo xtask bench failover -- --help` names them.
    #[arg(last = true)]
    options: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// How long a client waits when the owner's speaker, link or node is lost.
    Failover,
    /// How fast 1,000 Services get their addresses, beside bare API writes of the same kind.
    Allocate,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut arguments: Vec<OsString> = match args.what {
        What::Failover => vec!["bench".into(), "failover".into()],
        What::Allocate => vec![
            "bench".into(),
            "allocate".into(),
            "--allocator".into(),
            build_allocations(workspace)?.into(),
        ],
    };
    arguments.extend(args.options.iter().cloned());
    lab::become_lab(workspace, &arguments)
}

/// Builds what measures the allocator alone, as the controller is built; returns the program.
fn build_allocations(workspace: &Workspace) -> Result<PathBuf> {
    const EXAMPLE: &str = "allocations";
    process::step("building the allocator for release", || {
        process::run(&mut workspace.cargo(&[
            "build",
            "--release",
            "--package",
            "ferrolb-core",
            "--example",
            EXAMPLE,
        ]))
    })?;
    Ok(workspace.target().join("release/examples").join(EXAMPLE))
}
