//! One cluster with one controller, for all tests that neither stop nor reconfigure it.
//!
//! It starts with the first test that wants it. It ends with the test program: its reaper sees to
//! that, as it would after a crash.

use std::sync::OnceLock;

use anyhow::Result;
use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::product::Controller;
use tokio::runtime::Runtime;

use super::tenant::Tenant;

static SHARED: OnceLock<Shared> = OnceLock::new();

struct Shared {
    /// The lab's client belongs to it, whichever test asks.
    runtime: Runtime,
    lab: Lab,
    /// Held so that it runs.
    _controller: Vec<Controller>,
}

/// Runs a test in a namespace of its own.
pub(super) fn with_tenant(namespace: &str, test: impl AsyncFnOnce(Tenant) -> Result<()>) -> Result<()> {
    let Shared { runtime, lab, .. } = SHARED.get_or_init(|| start().expect("a cluster with a controller"));
    runtime.block_on(async { test(Tenant::new(lab, namespace).await?).await })
}

fn start() -> Result<Shared> {
    let runtime = Runtime::new()?;
    let (lab, controller) = runtime.block_on(start_with(1, &[]))?;
    Ok(Shared {
        runtime,
        lab,
        _controller: controller,
    })
}

/// Starts a cluster of one's own with replicas of the controller.
pub(super) async fn start_with(replicas: u16, flags: &[&str]) -> Result<(Lab, Vec<Controller>)> {
    let lab = Lab::builder().start().await?;
    lab.install_crds().await?;
    let controllers = lab.start_controller(replicas, flags).await?;
    Ok((lab, controllers))
}
