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

/// What each does is said at its arguments, in its own file.
#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Test(test::Args),
    Lint(lint::Args),
    Crds(crds::Args),
    Bench(bench::Args),
    Ci(ci::Args),
    Image(image::Args),
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
