//! Network namespaces: made, entered and configured.
//!
//! A thread enters a namespace with `setns` and everything that it opens or starts stays there: a
//! socket belongs to the namespace of the thread that made it, a process to that of its parent thread.
//! So each piece of work gets a thread of its own, which ends with it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use super::home::LabId;

/// One network namespace of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

// === impl Netns ===

impl Netns {
    /// Makes a namespace with its loopback up.
    pub(crate) fn create(lab: &LabId, role: &str) -> Result<Self> {
        let ns = Self {
            name: format!("{}{role}", lab.netns_prefix()),
        };
        run(Command::new("ip").args(["netns", "add", &ns.name]))?;
        // Addresses are given by hand and unique: waiting a second for duplicates would only cost time.
        ns.sysctl(&[
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/dad_transmits", "0"),
        ])?;
        ns.ip(&["link set lo up"])?;
        Ok(ns)
    }

    /// Removes the namespace; its links go with it.
    pub(crate) fn delete(&self) -> Result<()> {
        run(Command::new("ip").args(["netns", "del", &self.name]))
    }

    /// The name, as `ip netns exec` wants it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("work in namespace {} panicked", self.name)))
        })
    }

    /// Starts a thread that lives in the namespace.
    pub fn start_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> thread::JoinHandle<Result<T>> {
        let ns = self.clone();
        thread::spawn(move || {
            ns.enter()?;
            work()
        })
    }

    /// Starts a process in the namespace.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let what = describe(command);
        self.run(|| command.spawn().with_context(|| format!("cannot start {what}")))
    }

    /// Runs a command in the namespace and returns what it printed; fails unless it succeeds.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments);
        self.run(|| output(&mut command))
    }

    /// Gives `ip` several commands at once.
    pub fn ip(&self, commands: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-batch", "-"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start ip")?;
        let text = commands.join("\n") + "\n";
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).context("cannot write to ip")?;
        }
        let done = child.wait_with_output().context("cannot wait for ip")?;
        if !done.status.success() {
            bail!(
                "ip -n {}: {}; commands:\n{text}",
                self.name,
                String::from_utf8_lossy(&done.stderr).trim()
            );
        }
        Ok(())
    }

    /// Sets variables of the kernel that each namespace has its own of.
    pub fn sysctl(&self, values: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (name, value) in values {
                let path = format!("/proc/sys/{name}");
                std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))?;
            }
            Ok(())
        })
    }

    /// Moves this thread into the namespace, for good.
    fn enter(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", path.display()))
    }
}

/// Runs a command; fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a command and returns what it printed; fails unless it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let what = describe(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {what}"))?;
    if !done.status.success() {
        bail!(
            "`{what}` ended with {}: {}{}",
            done.status,
            String::from_utf8_lossy(&done.stdout).trim(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
