//! Waiting for a condition with a deadline, and watching that one lasts: what a test does instead of
//! sleeping.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::clock;

/// The pause between two looks at a condition: short enough not to be felt, long enough to leave
/// the machine to the programs under test.
const PAUSE: Duration = Duration::from_millis(20);

/// The pause between two looks at something that is to last: each may read much.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Calls `attempt` until it succeeds, and returns what it returned.
///
/// An error means "not yet"; the last one is part of the error that says `what` did not come to pass
/// within `deadline`.
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = clock::now();
    let mut last: Option<anyhow::Error> = None;
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left.max(PAUSE), attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
        if started.elapsed() >= deadline {
            let last = last.unwrap_or_else(|| anyhow!("the last attempt did not end"));
            return Err(last.context(format!("not within {} s: {what}", deadline.as_secs_f64())));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks again and again for this long, and fails as soon as `check` does: for what must not happen
/// in a while.
pub async fn throughout(
    duration: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    let started = clock::now();
    loop {
        let is_last = started.elapsed() >= duration;
        check()
            .await
            .with_context(|| format!("not for {} s: {what}", duration.as_secs_f64()))?;
        if is_last {
            return Ok(());
        }
        tokio::time::sleep(WATCH_PAUSE.min(duration.saturating_sub(started.elapsed()))).await;
    }
}
