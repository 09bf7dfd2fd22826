//! `cargo xtask bench`: the figures that the budgets are about, measured on this machine.

use std::ffi::OsString;

use anyhow::Result;
use clap::ValueEnum;

use crate::lab;
use crate::workspace::Workspace;

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
    let what = match args.what {
        What::Failover => "failover",
        What::Allocate => "allocate",
    };
    let mut arguments: Vec<OsString> = vec!["bench".into(), what.into()];
    arguments.extend(args.options.iter().cloned());
    lab::become_lab(workspace, &arguments)
}
