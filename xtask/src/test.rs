//! `cargo xtask test`: every rung of the test ladder, counted.
//!
//! This file decides the order and what counts as success: every rung ran something, nothing
//! failed, nothing was ignored. `test/harness.rs` knows how Rust's test programs are asked and
//! read, `test/rung.rs` which test stands on which rung.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use self::harness::{Counts, Program};
use self::rung::Rung;
use crate::workspace::Workspace;
use crate::{lab, process};

mod harness;
mod rung;

/// Run every rung of the test ladder and say how many tests each ran.
///
/// Installs or builds what the upper rungs need and says so; needs root for namespaces.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only these rungs.
    #[arg(long = "rung", value_enum)]
    rungs: Vec<Rung>,
    /// Only the tests whose name contains this text; a rung without one is then no failure.
    filter: Option<String>,
}

/// What ran on one rung.
#[derive(Default)]
struct Outcome {
    counts: Counts,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let rungs: Vec<Rung> = Rung::ALL
        .into_iter()
        .filter(|rung| args.rungs.is_empty() || args.rungs.contains(rung))
        .collect();
    let programs = process::step("building the tests", || harness::build(workspace))?;
    let tests = assign(&programs, args.filter.as_deref())?;
    // Prepared when the first rung needs it, so that the lower ones fail early and need nothing.
    let mut artifacts = None;
    let mut outcomes = Vec::new();
    for rung in rungs {
        if rung.needs_artifacts() && artifacts.is_none() {
            artifacts = Some(lab::prepare(workspace)?);
        }
        let started = process::now();
        let mut outcome = Outcome::default();
        for (program, names) in tests.get(&rung).into_iter().flatten() {
            outcome.counts += program.run(names, rung.threads(), artifacts.as_deref())?;
        }
        outcome.seconds = started.elapsed().as_secs_f64();
        outcomes.push((rung, outcome));
    }
    conclude(&outcomes, args.filter.is_some())
}

/// Names of tests, by the program that holds them, by rung.
type Assignment<'a> = BTreeMap<Rung, Vec<(&'a Program, Vec<String>)>>;

/// Puts every test of every program on its rung.
fn assign<'a>(programs: &'a [Program], filter: Option<&str>) -> Result<Assignment<'a>> {
    let mut by_rung = Assignment::new();
    for program in programs {
        let mut own: BTreeMap<Rung, Vec<String>> = BTreeMap::new();
        for name in program.list()? {
            if filter.is_none_or(|text| name.contains(text)) {
                own.entry(Rung::of(&program.target, &name)?)
                    .or_default()
                    .push(name);
            }
        }
        for (rung, names) in own {
            by_rung.entry(rung).or_default().push((program, names));
        }
    }
    Ok(by_rung)
}

/// Prints one line per rung and the sum; fails on failures, ignored tests and empty rungs.
fn conclude(outcomes: &[(Rung, Outcome)], is_filtered: bool) -> Result<()> {
    let mut total = Counts::default();
    let mut complaints = Vec::new();
    println!();
    for (rung, Outcome { counts, seconds }) in outcomes {
        println!(
            "rung {:<12} {:>5} passed {:>3} failed  {seconds:>6.1} s",
            rung.as_str(),
            counts.passed,
            counts.failed
        );
        if counts.ignored > 0 {
            complaints.push(format!(
                "rung {}: {} tests are ignored; a test runs or goes",
                rung.as_str(),
                counts.ignored
            ));
        }
        if counts.passed + counts.failed == 0 && !is_filtered {
            complaints.push(format!("rung {} ran no test", rung.as_str()));
        }
        total += *counts;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.passed + total.failed == 0 {
        complaints.push("no test ran".to_owned());
    }
    if total.failed > 0 {
        complaints.push(format!("{} tests failed", total.failed));
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("; "));
    }
    Ok(())
}
