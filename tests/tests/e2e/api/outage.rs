//! The API server hangs: connections stay open, and nothing is answered. That it is stopped is shown in
//! `lab/ownership/outage.rs`, with all that runs in a cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{clock, eventually, throughout};
use serde_json::json;

use super::shared::start_with;
use super::tenant::Tenant;

/// Long enough for every wait between attempts to have grown to its longest, and for the Lease to
/// be lost.
const OUTAGE: Duration = Duration::from_secs(20);

/// From the API server's being ready to a new Service's address; the product aims at 3 s, and this
/// machine may be busy.
const SERVED: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_is_served_seconds_after_the_api_server_has_hung() -> Result<()> {
    let (lab, controllers) = start_with(1, &[]).await?;
    let tenant = Tenant::new(&lab, "frozen").await?;
    let spec = json!({ "addresses": ["10.28.0.0/28"], "autoAssign": true });
    tenant.pool("frozen", spec).await?;
    tenant.service("before", json!({})).await?;
    tenant.shows("before", &["10.28.0.0"]).await?;

    lab.api_server().freeze()?;
    let ended = stands_by(&controllers[0]).await;
    lab.api_server().thaw()?;
    ended?;
    is_served_again(&tenant, &controllers[0]).await?;
    Ok(())
}

/// Waits for the Lease to be lost, and for the outage to last as long as it shall.
async fn stands_by(controller: &Controller) -> Result<()> {
    let began = clock::now();
    eventually(Duration::from_secs(10), "the Lease is lost", async || {
        ensure!(!controller.is_leading().await?, "it leads");
        Ok(())
    })
    .await?;
    let left = OUTAGE.saturating_sub(began.elapsed());
    throughout(left, "it stands by and is well", async || {
        controller.process()?.check_running()?;
        let state = controller.state().await?;
        ensure!(state["services"] == 1, "what it knew it knows: {state}");
        let ready = controller.admin("/readyz").await?;
        ensure!(
            ready.status == 200,
            "an outage is no reason to restart it: {ready:?}"
        );
        Ok(())
    })
    .await
}

async fn is_served_again(tenant: &Tenant, controller: &Controller) -> Result<()> {
    let began = clock::now();
    eventually(SERVED, "the API server takes a Service", async || {
        tenant.service("after", json!({})).await
    })
    .await?;
    tenant.shows("after", &["10.28.0.1"]).await?;
    println!("served {:?} after the API server was back", began.elapsed());
    ensure!(began.elapsed() < SERVED, "it took {:?}", began.elapsed());
    tenant.shows("before", &["10.28.0.0"]).await?;
    controller.process()?.check_running()
}
