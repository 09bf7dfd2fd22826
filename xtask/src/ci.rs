//! `cargo xtask ci`: what continuous integration runs.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{lint, test};

/// Lint, then test; nothing more, so that CI finds nothing that a developer could not.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<()> {
    lint::run(workspace, &lint::Args::default())?;
    test::run(workspace, &test::Args::default())
}
