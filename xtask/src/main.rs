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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn refusal(line: &str) -> clap::Error {
        Cli::try_parse_from(line.split(' '))
            .err()
            .unwrap_or_else(|| panic!("`{line}` is taken for a command"))
    }

    #[test]
    fn every_command_explains_itself() {
        Cli::command().debug_assert();
        let commands = [
            "demo",
            "test",
            "lint",
            "crds",
            "bench",
            "ci",
            "image",
            "cluster up",
            "cluster down",
            "cluster status",
        ];
        for command in commands {
            let help = refusal(&format!("xtask {command} --help"));
            assert_eq!(help.kind(), ErrorKind::DisplayHelp, "{command}");
            let usage = format!("cargo xtask {command}");
            assert!(help.to_string().contains(&usage), "{command}: {help}");
        }
    }

    #[test]
    fn a_demo_that_could_not_lose_its_owner_is_refused_before_anything_is_built() {
        for nodes in ["0", "1", "10", "many"] {
            let error = refusal(&format!("xtask demo --nodes={nodes}"));
            assert!(
                error.to_string().contains(&format!("'{nodes}' for '--nodes")),
                "{error}"
            );
        }
    }
}
