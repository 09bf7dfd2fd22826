//! Tasks without which the process makes no sense: if one of them ends, the process ends.
//!
//! A program that lost one of its watches and goes on looks alive and serves yesterday's truth;
//! a restart is better. So no task here may end before the drain, neither well nor badly.

use std::future::Future;

use thiserror::Error;
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

/// A set of vital tasks. Dropping it aborts them all.
#[derive(Debug, Default)]
pub struct Vital {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

/// A vital task that ended although nobody had asked it to.
#[derive(Debug, Error)]
pub enum VitalError {
    /// It ended without an error.
    #[error("the task \"{0}\" ended by itself; this is a defect of FerroLB")]
    Ended(&'static str),
    /// It ended with an error.
    #[error("the task \"{name}\" failed: {source:#}")]
    Failed {
        /// Its name.
        name: &'static str,
        /// What it said.
        source: anyhow::Error,
    },
}

// === impl Vital ===

impl Vital {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that must not end before the drain.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits until the drain is requested, or until a task has ended.
    ///
    /// # Errors
    /// Names the task that ended; the caller should end the process.
    ///
    /// # Panics
    /// If a task has panicked, with its panic.
    pub async fn run(&mut self, shutdown: &Shutdown) -> Result<(), VitalError> {
        tokio::select! {
            // The drain makes tasks end: seen first, it is no failure.
            biased;
            () = shutdown.requested() => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok((name, Ok(()))) => Err(VitalError::Ended(name)),
                Ok((name, Err(source))) => Err(VitalError::Failed { name, source }),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(VitalError::Ended("aborted")),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::channel;

    #[tokio::test]
    async fn a_task_that_ends_is_named() {
        let (_trigger, shutdown) = channel();
        let mut vital = Vital::new();
        vital.spawn("watch services", async { Ok(()) });
        let error = vital.run(&shutdown).await.expect_err("must end");
        assert_eq!(
            error.to_string(),
            "the task \"watch services\" ended by itself; this is a defect of FerroLB"
        );
    }

    #[tokio::test]
    async fn a_task_that_fails_says_why() {
        let (_trigger, shutdown) = channel();
        let mut vital = Vital::new();
        vital.spawn("lease", async { Err(anyhow::anyhow!("inner").context("outer")) });
        let error = vital.run(&shutdown).await.expect_err("must end");
        assert_eq!(error.to_string(), "the task \"lease\" failed: outer: inner");
    }

    #[tokio::test]
    async fn the_drain_is_no_failure() {
        let (trigger, shutdown) = channel();
        trigger.request();
        let mut vital = Vital::new();
        vital.spawn("lease", async { Ok(()) });
        assert!(vital.run(&shutdown).await.is_ok());
    }
}
