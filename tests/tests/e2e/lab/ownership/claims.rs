//! What claims say is obeyed: who may answer for a VIP, and that nobody may any more.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::{eventually, throughout};
use serde_json::json;

use super::stage::{OWNERS, PATIENCE, Stage};

/// How long an endpoint more may take to move what it must not.
const SETTLED: Duration = Duration::from_secs(2);

/// How long after the claim says so a VIP may still be answered: the way of a watch and of one decision,
/// on a busy machine.
const WITHDRAWAL: Duration = Duration::from_secs(5);

/// A Service of its own, with policy Local.
const LOCAL: &str = "local";

/// Waits until no node answers for a VIP, and makes sure that a client finds nobody.
async fn wait_silent(stage: &Stage, vip: IpAddr) -> Result<()> {
    eventually(WITHDRAWAL, &format!("no node answers for {vip}"), async || {
        for node in OWNERS {
            let answering = stage.answering_on(node, vip).await?;
            ensure!(answering == 0, "{node} answers on {answering} interfaces");
        }
        Ok(())
    })
    .await?;
    let client = stage.lab.client_host()?;
    client.forget_neighbor(vip)?;
    let answered = client.http_get(vip, 80).await;
    ensure!(answered.is_err(), "nobody should serve {vip}, but {answered:?}");
    let neighbor = client.neighbor(vip)?;
    ensure!(neighbor.is_none(), "{vip} resolves to {neighbor:?}");
    Ok(())
}

/// How many watches of EndpointSlices the API server serves, kube-proxy's among them.
async fn slice_watches(stage: &Stage) -> Result<u64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let metrics = stage.lab.client().request_text(request).await?;
    let mut watches = 0;
    for line in metrics.lines() {
        if line.starts_with("apiserver_longrunning_requests{")
            && line.contains("resource=\"endpointslices\"")
            && line.contains("verb=\"WATCH\"")
        {
            let (_, count) = line.rsplit_once(' ').context("a sample without a value")?;
            watches += count.parse::<u64>()?;
        }
    }
    ensure!(
        watches > 0,
        "kube-proxy watches, but the API server does not say so"
    );
    Ok(watches)
}

/// Waits until there are that many.
async fn wait_slice_watches(stage: &Stage, expected: u64) -> Result<()> {
    let what = format!("there are {expected} watches of EndpointSlices");
    eventually(PATIENCE, &what, async || {
        let watches = slice_watches(stage).await?;
        ensure!(watches == expected, "there are {watches}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_claim_is_withdrawn_and_a_deleted_one_is_silent() -> Result<()> {
    let stage = Stage::start_by_hand().await?;
    let [released, deleted] = stage.vips;
    let epoch = stage.owned(released).await?.epoch;
    stage.set_state(released, "Releasing").await?;
    eventually(WITHDRAWAL, "the owner says that it has withdrawn", async || {
        let owned = stage.owned(released).await;
        ensure!(owned.is_err(), "the claim says {owned:?}");
        Ok(())
    })
    .await?;
    wait_silent(&stage, released).await?;
    stage.delete(deleted).await?;
    wait_silent(&stage, deleted).await?;

    stage.set_state(released, "Held").await?;
    let again = stage.wait_served(released).await?;
    assert!(again.epoch > epoch, "epochs never fall: {epoch} then {again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_policy_local_the_owner_is_where_an_endpoint_is() -> Result<()> {
    let stage = Stage::start_by_hand().await?;
    let vips: [IpAddr; 2] = ["192.0.2.210".parse()?, "2001:db8::210".parse()?];
    let clients: [IpAddr; 2] = ["192.0.2.100".parse()?, "2001:db8::100".parse()?];
    let [first, second, _] = OWNERS;
    stage.lab.run_app(LOCAL, &[first]).await?;
    let policy = json!({ "externalTrafficPolicy": "Local" });
    stage.lab.create_load_balancer(LOCAL, policy).await?;
    stage.show(LOCAL, &vips).await?;
    let watches = slice_watches(&stage).await?;
    stage.lend(LOCAL, &vips, "Local")?;
    let speakers = u64::try_from(stage.lab.nodes().len())?;
    wait_slice_watches(&stage, watches + speakers).await?;

    let client = stage.lab.client_host()?;
    for (here, there) in [(first, second), (second, first)] {
        for (vip, own) in vips.into_iter().zip(clients) {
            eventually(
                PATIENCE,
                &format!("{here} owns {vip} and serves it"),
                async || {
                    let owned = stage.owned(vip).await?;
                    ensure!(owned.node == here, "it is owned so: {owned:?}");
                    let served = client.http_get(vip, 80).await?;
                    ensure!(served.node == here, "served so: {served:?}");
                    ensure!(served.client.ip() == own, "the endpoint sees {}", served.client);
                    Ok(())
                },
            )
            .await?;
        }
        stage.lab.run_app(LOCAL, &[there]).await?;
        throughout(SETTLED, "one more endpoint moves nothing", async || {
            for vip in vips {
                let owned = stage.owned(vip).await?;
                ensure!(owned.node == here, "{vip} has moved: {owned:?}");
            }
            Ok(())
        })
        .await?;
        stage.lab.stop_app(LOCAL, here).await?;
    }
    for vip in vips {
        stage.delete(vip).await?;
    }
    // Without a claim with policy Local, speakers do not need them.
    wait_slice_watches(&stage, watches).await
}
