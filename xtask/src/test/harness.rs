//! How Rust's own test programs are built, asked for their tests, run and read.
//!
//! Each program is run once per rung with the exact names of that rung's tests; what it says it ran
//! must be that many, so that no test is lost between the list and the summary.

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::lab::ARTIFACTS;
use crate::process;
use crate::workspace::Workspace;

/// One test program: the tests of a library, of a binary, or of a file in `tests/`.
pub(crate) struct Program {
    /// The name of its target.
    pub(crate) target: String,
    /// Its package's directory, which tests expect to be started in.
    directory: PathBuf,
    /// The program.
    executable: PathBuf,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and passed.
    pub(crate) passed: usize,
    /// Ran and failed.
    pub(crate) failed: usize,
    /// Did not run, because they say so themselves.
    pub(crate) ignored: usize,
}

/// Builds every test program of the workspace.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<Program>> {
    let arguments = [
        "test",
        "--workspace",
        "--no-run",
        "--locked",
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = process::output(&mut workspace.cargo(&arguments))?;
    let programs: Vec<_> = messages
        .lines()
        .filter_map(|line| Program::parse(&serde_json::from_str(line).ok()?))
        .collect();
    if programs.is_empty() {
        bail!("cargo built no test program");
    }
    Ok(programs)
}

// === impl Program ===

impl Program {
    /// Reads one of cargo's messages; most are about something else.
    fn parse(message: &Value) -> Option<Self> {
        let is_test = message.pointer("/profile/test")?.as_bool()?;
        let executable = message.get("executable")?.as_str()?.into();
        let directory = Path::new(message.get("manifest_path")?.as_str()?)
            .parent()?
            .to_path_buf();
        is_test.then_some(Self {
            target: message.pointer("/target/name")?.as_str()?.to_owned(),
            directory,
            executable,
        })
    }

    /// The full names of its tests.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let list = process::output(self.command().args(["--list", "--format", "terse"]))?;
        Ok(list
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }

    /// Runs these tests of it, shows what it prints, and returns how they ended.
    pub(crate) fn run(
        &self,
        names: &[String],
        threads: Option<u8>,
        artifacts: Option<&Path>,
    ) -> Result<Counts> {
        let mut command = self.command();
        command.arg("--exact").args(names).stdout(Stdio::piped());
        if let Some(threads) = threads {
            command.arg(format!("--test-threads={threads}"));
        }
        if let Some(artifacts) = artifacts {
            command.env(ARTIFACTS, artifacts);
        }
        println!("\n==> {} ({} tests)", self.target, names.len());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        let mut counts = None;
        for line in BufReader::new(child.stdout.take().context("the output is piped")?).lines() {
            let line = line.with_context(|| format!("cannot read what {} prints", self.target))?;
            println!("{line}");
            counts = Counts::parse(&line).or(counts);
        }
        let status = child.wait()?;
        let Some(mut counts) = counts else {
            bail!(
                "test program {} ended with {status} before it summed up",
                self.target
            );
        };
        let ran = counts.passed + counts.failed + counts.ignored;
        if ran != names.len() {
            bail!(
                "test program {} was given {} tests and ran {ran}",
                self.target,
                names.len()
            );
        }
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
            println!(
                "test program {} ended with {status} although none of its tests failed",
                self.target
            );
        }
        Ok(counts)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.directory)
            .env("CARGO_MANIFEST_DIR", &self.directory);
        command
    }
}

// === impl Counts ===

impl Counts {
    /// Reads the line that a test program sums up with.
    fn parse(line: &str) -> Option<Self> {
        let summary = line.strip_prefix("test result: ")?;
        let number = |what: &str| {
            let part = summary
                .split([';', '.'])
                .map(str::trim)
                .find(|part| part.ends_with(what))?;
            part.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            passed: number(" passed")?,
            failed: number(" failed")?,
            ignored: number(" ignored")?,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_a_test_program_is_read_whole() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.20s";
        assert_eq!(
            Counts::parse(line),
            Some(Counts {
                passed: 12,
                failed: 3,
                ignored: 1
            })
        );
        assert_eq!(Counts::parse("test allocator::lends ... ok"), None);
    }

    #[test]
    fn only_messages_about_test_programs_are_taken() {
        let built = |test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": "/src/core/Cargo.toml", "executable": "/t/core-1",
                "target": { "name": "ferrolb_core" }, "profile": { "test": test },
            })
        };
        let program = Program::parse(&built(true)).expect("a test program");
        assert_eq!(
            (program.target.as_str(), program.directory.as_path()),
            ("ferrolb_core", Path::new("/src/core"))
        );
        assert!(Program::parse(&built(false)).is_none());
        assert!(
            Program::parse(&serde_json::json!({ "reason": "build-finished", "success": true })).is_none()
        );
    }
}
