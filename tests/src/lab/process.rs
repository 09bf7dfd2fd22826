//! Processes of a lab: started in a namespace with their output in a file, stopped, frozen, killed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::eventually::eventually;
use super::home::{Home, MARK};
use super::netns::Netns;

/// How a process is started; it can be started from this more than once.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its name in the lab, which is also that of its log file.
    pub name: String,
    /// The namespace that it runs in; `None` is the machine's own.
    pub netns: Option<Netns>,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the lab's own environment.
    pub environment: Vec<(String, OsString)>,
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

// === impl Launch ===

impl Launch {
    /// Describes a process of one namespace.
    pub fn new(name: impl Into<String>, netns: &Netns, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            netns: Some(netns.clone()),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the process; what it prints is added to its log.
    pub fn start(&self, home: &Home) -> Result<Process> {
        let path = home.log(&self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env(MARK, home.id().as_str())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own, so that Ctrl-C reaches only who started the lab.
            .process_group(0);
        let child = match &self.netns {
            Some(netns) => netns.spawn(&mut command)?,
            None => command
                .spawn()
                .with_context(|| format!("cannot start {}", self.program.display()))?,
        };
        Ok(Process {
            name: self.name.clone(),
            log: path,
            child: Mutex::new(child),
        })
    }
}

// === impl Process ===

impl Process {
    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id; no other process can have it while this value lives.
    pub fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn read_log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        let status = self.child.lock().try_wait();
        status.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Fails if it has ended, with the last lines that it printed.
    pub fn check_running(&self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(anyhow!(
                "{} has ended with {status}; its last words, from {}:\n{}",
                self.name,
                self.log.display(),
                self.last_lines(12)
            )),
        }
    }

    /// The memory that it keeps resident now, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .with_context(|| format!("{} is gone", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        let number =
            number.with_context(|| format!("the kernel does not tell the memory of {}", self.name))?;
        number.parse().with_context(|| format!("{number} is no size"))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.child.lock();
        child
            .kill()
            .and_then(|()| child.wait())
            .with_context(|| format!("cannot kill {}", self.name))?;
        Ok(())
    }

    /// Asks it to end with SIGTERM; [`Process::wait`] tells when it has.
    pub fn term(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Stops it with SIGSTOP: it keeps its sockets and says nothing, like a machine that hangs.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Process::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends it a signal; fails if it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child.lock();
        if let Some(status) = child.try_wait()? {
            bail!(
                "{} cannot be sent {signal}: it has ended with {status}",
                self.name
            );
        }
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Waits until it has ended.
    pub async fn wait(&self, deadline: Duration) -> Result<ExitStatus> {
        eventually(deadline, &format!("{} ends", self.name), async || {
            self.exit_status()?.context("it still runs")
        })
        .await
    }

    /// The end of its log.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.read_log().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(count);
        lines.into_iter().skip(start).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.kill();
    }
}
