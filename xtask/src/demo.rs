//! `cargo xtask demo`: FerroLB doing its job on a real cluster, from nothing.

use anyhow::Result;

use crate::lab;
use crate::workspace::Workspace;

/// Bring up a real cluster on this machine, install FerroLB with helm, serve a page over both
/// families, cut the owner node off and measure the outage that the client saw.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster running, and print the commands to play with it.
    #[arg(long)]
    keep: bool,
    /// How many real nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut arguments = vec!["demo".into(), "--nodes".into(), args.nodes.to_string().into()];
    if args.keep {
        arguments.push("--keep".into());
    }
    lab::become_lab(workspace, &arguments)
}
