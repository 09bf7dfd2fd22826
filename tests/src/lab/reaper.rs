//! The process that removes a lab, however its owner ends.
//!
//! It is started before anything else of the lab and waits at one end of a pipe. When the other end
//! closes, be it because the owner says so or because it has panicked, was interrupted or was killed,
//! it tears the lab down. So there is one way of removing a lab, and every end takes it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::artifacts::lab_program;
use super::home::{LabId, MARK};
use super::teardown::tear_down;

/// What the owner says before it closes the pipe when the lab is to stay.
const KEEP: &[u8] = b"keep";

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Reaper {
    child: Child,
}

// === impl Reaper ===

impl Reaper {
    /// Starts a lab's reaper.
    pub(crate) fn start(lab: &LabId) -> Result<Self> {
        let child = Command::new(lab_program()?)
            .args(["reap", lab.as_str()])
            // It must not take itself for a part of what it removes.
            .env_remove(MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start the lab's reaper")?;
        Ok(Self { child })
    }

    /// Has the lab removed, and waits for it.
    pub(crate) fn reap(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("cannot wait for the reaper")?;
        if !status.success() {
            bail!("the lab's reaper ended with {status}; what it says is above");
        }
        Ok(())
    }

    /// Lets the lab stay.
    pub(crate) fn keep(&mut self) -> Result<()> {
        if let Some(mut stdin) = self.child.stdin.take() {
            stdin.write_all(KEEP).context("cannot write to the reaper")?;
        }
        self.child.wait().context("cannot wait for the reaper")?;
        Ok(())
    }
}

/// Is the reaper: `ferrolb-lab reap ID`.
pub async fn main(lab: &LabId) -> Result<()> {
    // Out of the terminal's reach: Ctrl-C is for the owner, whose end we then see. Who already leads a
    // session of its own cannot begin one, and need not.
    let _ = nix::unistd::setsid();
    let mut said = Vec::new();
    std::io::stdin()
        .read_to_end(&mut said)
        .context("cannot read from the owner")?;
    if said == KEEP {
        return Ok(());
    }
    tear_down(lab).await
}
