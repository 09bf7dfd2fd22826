//! How other programs are run: loudly, and with an error that names the whole command.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Error, Result, bail};

/// Runs a command with this terminal; fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; its error output goes to this terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command.stderr(Stdio::inherit()).output();
    let done = done.with_context(|| format!("cannot start {}", describe(command)))?;
    if !done.status.success() {
        bail!("{} ended with {}", describe(command), done.status);
    }
    String::from_utf8(done.stdout).with_context(|| format!("{} printed no text", describe(command)))
}

/// Becomes the command, so that signals reach it and nothing else; returns only on failure.
pub(crate) fn exec(command: &mut Command) -> Error {
    Error::new(command.exec()).context(format!("cannot start {}", describe(command)))
}

/// Whether a program is in the PATH, and where.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Prints one line below the step that is being done.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// Says what begins, does it, and says how long it took. All of it goes to the error output, so
/// that the output holds only what a script would read.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {title}");
    let started = now();
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(_) => eprintln!("    {title}: ok ({seconds:.1} s)"),
        Err(_) => eprintln!("    {title}: FAILED ({seconds:.1} s)"),
    }
    result
}

/// Reads the clock; durations printed to people need one.
#[allow(clippy::disallowed_methods, reason = "progress output measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
