//! What people type into a shell, typed.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs lines, the last of which may read this input, until one fails; returns what they print.
pub(crate) fn run(lines: &[&str], input: &str) -> Result<String> {
    let script = [&["set -e; shopt -s expand_aliases"], lines].concat().join("\n");
    let mut shell = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut typed = shell.stdin.take().context("piped")?;
    typed.write_all(input.as_bytes())?;
    drop(typed);
    let done = shell.wait_with_output()?;
    let printed = String::from_utf8(done.stdout)?;
    ensure!(
        done.status.success(),
        "`{script}` ended with {}: {printed}{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(printed)
}
