//! `ferrolb-lab cluster`: a lab that stays until it is told to go.

#![allow(clippy::print_stdout, reason = "what the command prints is its product")]

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::lab::description::Description;
use crate::lab::home::LabId;
use crate::lab::kube_proxy::ProxyMode;
use crate::lab::node::NodeKind;
use crate::lab::teardown::tear_down;
use crate::lab::{Lab, clock};

/// What can be done with a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Start one, and print how to use it.
    Up(UpArgs),
    /// Remove it, and everything it made.
    Down {
        /// Only these, even if their owner still runs; `status` shows the ids.
        labs: Vec<String>,
    },
    /// Say which ones run, and how to enter them.
    Status,
}

/// How a cluster should be.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// How many nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=40))]
    pub nodes: u8,
    /// How nodes run programs.
    #[arg(long, value_enum, default_value_t = NodeKind::Pods)]
    pub kind: NodeKind,
    /// How kube-proxy works.
    #[arg(long, value_enum, default_value_t)]
    pub proxy: ProxyMode,
    /// Stay in the foreground, and remove it when interrupted.
    #[arg(long)]
    pub foreground: bool,
}

/// Runs the command.
pub async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(args) => up(args).await,
        Command::Down { labs } => down(&labs).await,
        Command::Status => status(),
    }
}

async fn up(args: UpArgs) -> Result<()> {
    let started = clock::now();
    let lab = Lab::builder()
        .nodes(args.nodes, args.kind)
        .proxy(args.proxy)
        .start()
        .await?;
    println!("ready after {:.1} s", started.elapsed().as_secs_f64());
    if args.foreground {
        println!("{}", lab.describe());
        tokio::signal::ctrl_c().await?;
        return Ok(());
    }
    println!("{}", lab.keep()?);
    Ok(())
}

async fn down(labs: &[String]) -> Result<()> {
    let mut doomed = Vec::new();
    for lab in labs {
        doomed.push(LabId::parse(lab)?);
    }
    if labs.is_empty() {
        for lab in LabId::all() {
            if Description::read(&lab)?.is_some_and(|description| description.is_kept) {
                doomed.push(lab);
            }
        }
    }
    if doomed.is_empty() {
        println!("no cluster is kept");
    }
    for lab in doomed {
        if !lab.directory().exists() {
            bail!("there is no lab {}; `status` shows those that are", lab.as_str());
        }
        tear_down(&lab).await?;
        println!("removed lab {}", lab.as_str());
    }
    Ok(())
}

fn status() -> Result<()> {
    let labs = LabId::all();
    if labs.is_empty() {
        println!("no lab runs");
    }
    for lab in labs {
        match Description::read(&lab)? {
            Some(description) => println!("{description}"),
            None => println!(
                "lab {} is starting, or was left behind half started",
                lab.as_str()
            ),
        }
    }
    Ok(())
}
