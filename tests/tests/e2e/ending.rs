//! Programs of ours that are expected to end at once: what they say, and with which code.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take that has nothing to do.
const END: Duration = Duration::from_secs(10);

/// What a program says, on either stream, when it ends with this code.
pub(crate) fn said(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    code: i32,
) -> Result<String> {
    let output = run(program, arguments, environment)?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.code() == Some(code),
        "{arguments:?} ends with {}: {text}",
        output.status
    );
    Ok(text)
}

/// Fails unless `--version` says the program's name, its version and its commit.
pub(crate) fn names_version(program: &Path, name: &str) -> Result<()> {
    let text = said(program, &["--version"], &[], 0)?;
    let mut words = text.split_whitespace();
    ensure!(words.next() == Some(name), "{text}");
    ensure!(words.next() == Some(env!("CARGO_PKG_VERSION")), "{text}");
    let commit = words.next().unwrap_or_default().trim_matches(['(', ')']);
    ensure!(
        commit.len() >= 7 && commit != "unknown",
        "the commit is named: {text}"
    );
    Ok(())
}

fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let child = Command::new(program)
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        // Nobody listens any more if it was too late.
        let _ = sender.send(child.wait_with_output());
    });
    let output = receiver.recv_timeout(END);
    if output.is_err() {
        kill(pid, Signal::SIGKILL)?;
    }
    waiter.join().expect("the waiting thread");
    Ok(output.with_context(|| format!("{arguments:?} does not end"))??)
}
