//! The allocator alone: a program of its own measures it, since the lab is not built for speed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// How often it is measured. The quickest run counts: it is the one that the machine disturbed least.
const RUNS: usize = 5;

/// How many milliseconds `core/examples/allocations.rs` says that it takes.
pub(super) fn milliseconds(program: &Path, arguments: &[&str]) -> Result<f64> {
    let mut quickest = f64::INFINITY;
    for _ in 0..RUNS {
        quickest = quickest.min(run(program, arguments)?);
    }
    Ok(quickest)
}

fn run(program: &Path, arguments: &[&str]) -> Result<f64> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", program.display());
    let printed = String::from_utf8(output.stdout)?;
    let number = printed.trim().parse();
    number.with_context(|| format!("{} prints no number: {printed}", program.display()))
}
