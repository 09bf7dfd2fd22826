//! `ferrolb-lab`: labs from the command line, and the parts of a lab that are processes of their own.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a command prints is its product"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use ferrolb_tests::bench::Bench;
use ferrolb_tests::lab::home::LabId;
use ferrolb_tests::lab::{agent, node_init, reaper};
use ferrolb_tests::{cluster, demo};

/// Real Kubernetes clusters in network namespaces of this machine.
#[derive(Parser)]
#[command(name = "ferrolb-lab", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    /// Measure what the budgets promise.
    #[command(subcommand)]
    Bench(Bench),
    /// A cluster that stays until it is told to go.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Wait for the end of a lab's owner, then remove the lab.
    #[command(hide = true)]
    Reap {
        /// The lab.
        lab: String,
    },
    /// Be the agent of a process node.
    #[command(hide = true)]
    Agent(agent::Args),
    /// Be the first process of a node that runs pods.
    #[command(hide = true)]
    NodeInit(node_init::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Bench(bench) => bench.run().await,
        Command::Cluster(command) => cluster::run(command).await,
        Command::Reap { lab } => reaper::main(&LabId::parse(&lab)?).await,
        Command::Agent(args) => agent::main(args).await,
        Command::NodeInit(args) => node_init::main(args).await,
    }
}
