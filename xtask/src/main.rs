//! The only commands anyone types: `cargo xtask demo`, `test`, `lint` and the rest.
//!
//! This file decides which commands there are. Each has a file of its own; what they share is
//! `workspace.rs` (where things are) and `process.rs` (how other programs are run).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a command prints is its product"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

mod artifacts;
mod bench;
mod binaries;
mod ci;
mod cluster;
mod crds;
mod demo;
mod image;
mod lab;
mod lint;
mod process;
mod test;
mod workspace;

/// Everything a FerroLB developer runs.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring up a real cluster on this machine, install FerroLB with helm, cut its owner off.
    Demo(demo::Args),
    /// Run every rung of the test ladder and say how many tests each ran.
    Test(test::Args),
    /// Check format, lints, licenses, docs, generated files and the rules of the source tree.
    Lint(lint::Args),
    /// Write the generated CRDs into the chart.
    Crds(crds::Args),
    /// Measure what the budgets promise.
    Bench(bench::Args),
    /// What continuous integration runs: lint, then test.
    Ci(ci::Args),
    /// Build both images, without a container engine, and print the archives' paths, one a line.
    Image(image::Args),
    /// A cluster of real nodes on this machine, to play with.
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    match cli.command {
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Lint(args) => lint::run(&workspace, &args),
        Command::Crds(args) => crds::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Ci(args) => ci::run(&workspace, &args),
        Command::Image(args) => image::run(&workspace, &args),
        Command::Cluster(args) => cluster::run(&workspace, &args),
    }
}
