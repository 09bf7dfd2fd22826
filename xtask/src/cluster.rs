//! `cargo xtask cluster`: a cluster that stays until it is told to go.

use std::ffi::OsString;

use anyhow::Result;
use clap::Subcommand;

use crate::lab;
use crate::workspace::Workspace;

/// A cluster of real nodes on this machine, to play with.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start one, and print how to use it.
    Up {
        /// How many real nodes to start.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
        /// How nodes run programs: as pods, or straight in the node's namespace.
        #[arg(long, default_value = "pods", value_parser = ["pods", "processes"])]
        kind: String,
        /// How kube-proxy works.
        #[arg(long, default_value = "nftables", value_parser = ["nftables", "iptables"])]
        proxy: String,
    },
    /// Remove it, and everything it made.
    Down {
        /// Only these, even if their owner still runs; `status` shows the ids.
        labs: Vec<String>,
    },
    /// Say whether one runs, and how to enter it.
    Status,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut arguments: Vec<OsString> = vec!["cluster".into()];
    match &args.verb {
        Verb::Up { nodes, kind, proxy } => {
            arguments.push("up".into());
            for (flag, value) in [("nodes", &nodes.to_string()), ("kind", kind), ("proxy", proxy)] {
                arguments.push(format!("--{flag}={value}").into());
            }
            lab::become_lab(workspace, &arguments)
        }
        // What is there has its programs: nothing else has to be built to look at it or remove it.
        Verb::Down { labs } => {
            arguments.push("down".into());
            arguments.extend(labs.iter().map(OsString::from));
            lab::become_bare_lab(workspace, &arguments)
        }
        Verb::Status => {
            arguments.push("status".into());
            lab::become_bare_lab(workspace, &arguments)
        }
    }
}
