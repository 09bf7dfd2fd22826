//! Where the commands are typed, and what became of them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::home::LabId;
use ferrolb_tests::lab::teardown::Remains;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long any command may take before a test gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// How long a lab whose owner has ended may take to go.
const REMOVAL: Duration = Duration::from_secs(40);

/// A place for labs of one test's own: what `status` shows and `down` removes there is nobody else's.
pub(super) struct Terminal {
    directory: PathBuf,
}

/// A command that runs. Dropping it kills it, and its lab goes as after any other end.
pub(super) struct Running {
    child: Child,
    output: PathBuf,
    complaints: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    /// What it printed for people beside its output: progress of its own, errors.
    pub(super) complaints: String,
}

/// Removes a lab that stays, if the test ends before it has done so, however it ends.
pub(super) struct Guard {
    /// Waits for the end of a pipe from us, which comes with our own.
    reaper: Child,
}

// === impl Terminal ===

impl Terminal {
    pub(super) fn open() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // In memory, as labs are; and short, because containerd's socket below it may have 108 bytes.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new("/dev/shm").join(format!("flc-{}-{count}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Types a command.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Running> {
        let number = fs::read_dir(&self.directory)?.count();
        let output = self.directory.join(format!("output-{number}"));
        let complaints = self.directory.join(format!("complaints-{number}"));
        let child = self
            .command(arguments)
            .stdout(File::create(&output)?)
            .stderr(File::create(&complaints)?)
            // As a shell does it, so that Ctrl-C reaches the command with all that it runs.
            .process_group(0)
            .spawn()
            .context("cannot start ferrolb-lab")?;
        Ok(Running {
            child,
            output,
            complaints,
        })
    }

    /// Types a command and waits for its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Done> {
        self.start(arguments)?.end().await
    }

    /// Has a lab that is going to stay removed with the test.
    pub(super) fn guard(&self, lab: &LabId) -> Result<Guard> {
        let mut command = self.command(&["reap", lab.as_str()]);
        let reaper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a reaper")?;
        Ok(Guard { reaper })
    }

    /// Waits until nothing of a lab is on the machine.
    pub(super) async fn wait_gone(&self, lab: &LabId) -> Result<()> {
        eventually(REMOVAL, "nothing is left", async || self.check_gone(lab)).await
    }

    /// Fails if anything of a lab is on the machine.
    pub(super) fn check_gone(&self, lab: &LabId) -> Result<()> {
        let left = Remains::of(lab);
        ensure!(left.is_empty(), "left are {left:?}");
        // What is below a directory of labs that is not this program's is not among the remains.
        let labs: Vec<_> = self.labs()?;
        ensure!(labs.is_empty(), "left are {labs:?}");
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let place = self.directory.display().to_string();
        let mount = mounts.lines().find(|line| line.contains(&place));
        ensure!(mount.is_none(), "left is the mount {mount:?}");
        Ok(())
    }

    fn labs(&self) -> Result<Vec<String>> {
        let names = fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        Ok(names.into_iter().filter(|name| name.starts_with("fl-")).collect())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrolb-lab"));
        command
            .args(arguments)
            .env("FERROLB_LAB_DIR", &self.directory)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only after a failure is any lab left, and the failure is what is reported.
        for lab in self.labs().unwrap_or_default() {
            let id = lab.trim_start_matches("fl-");
            let _ = self.command(&["cluster", "down", id]).status();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

// === impl Running ===

impl Running {
    /// Waits until it has named its lab, which is long before the lab works.
    pub(super) async fn lab(&self) -> Result<LabId> {
        eventually(PATIENCE, "the lab is named", async || {
            let complaints = read(&self.complaints)?;
            let id = complaints.lines().find_map(|line| line.strip_prefix("lab "));
            let id = id.and_then(|rest| rest.split_once(':'));
            LabId::parse(id.with_context(|| complaints.clone())?.0)
        })
        .await
    }

    /// Waits until it has printed this.
    pub(super) async fn printed(&mut self, text: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{text:?} is printed"), async || {
            let output = read(&self.output)?;
            ensure!(output.contains(text), "so far: {output}");
            Ok(())
        })
        .await
    }

    /// Presses Ctrl-C.
    pub(super) fn interrupt(&self) -> Result<()> {
        Ok(killpg(self.pid()?, Signal::SIGINT)?)
    }

    /// Waits for its end.
    pub(super) async fn end(mut self) -> Result<Done> {
        let status = eventually(PATIENCE, "the command ends", async || {
            self.child.try_wait()?.context("it still runs")
        })
        .await;
        let (output, complaints) = (read(&self.output)?, read(&self.complaints)?);
        let status = status.with_context(|| format!("{output}\n{complaints}"))?;
        Ok(Done {
            status,
            output,
            complaints,
        })
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Done ===

impl Done {
    /// Fails unless the command has succeeded.
    pub(super) fn success(self) -> Result<Self> {
        ensure!(
            self.status.success(),
            "it ended with {}: {}\n{}",
            self.status,
            self.output,
            self.complaints
        );
        Ok(self)
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        let _ = self.reaper.wait();
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
