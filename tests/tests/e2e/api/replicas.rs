//! Two replicas: one leads, the other one is ready to.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::objects::ingress;
use ferrolb_tests::lab::product::{LEASE, NAMESPACE, leader};
use ferrolb_tests::lab::{clock, eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::churn::Churn;
use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, bound};

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_from_a_leader_that_was_killed() -> Result<()> {
    let (lab, mut controllers) = start_with(2, &[]).await?;
    let tenant = Tenant::new(&lab, "replicas").await?;
    tenant
        .pool("replicas", json!({ "addresses": ["10.25.0.0/28"] }))
        .await?;
    for round in 0..2 {
        let leader = leader(&controllers).await?;
        ensure!(!controllers[1 - leader].is_leading().await?, "two lead");
        let standby = controllers[1 - leader].admin("/readyz").await?;
        assert_eq!(
            (standby.status, standby.body.as_str()),
            (200, "ok\n"),
            "a standby is ready"
        );
        let (first, second) = (format!("before-{round}"), format!("after-{round}"));
        tenant.service_from("replicas", &first).await?;
        tenant.shows(&first, &[&format!("10.25.0.{}", round * 2)]).await?;

        controllers[leader].kill()?;
        tenant.service_from("replicas", &second).await?;
        tenant
            .shows(&second, &[&format!("10.25.0.{}", round * 2 + 1)])
            .await?;
        controllers[leader].start()?;
        controllers[leader].wait_ready().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_its_lease_stands_by_and_may_lead_again() -> Result<()> {
    let (lab, controllers) = start_with(2, &[]).await?;
    let tenant = Tenant::new(&lab, "stolen").await?;
    tenant
        .pool("stolen", json!({ "addresses": ["10.25.1.0/28"] }))
        .await?;
    let leases: Api<Lease> = Api::namespaced(lab.client(), NAMESPACE);
    let pids = [controllers[0].process()?.pid(), controllers[1].process()?.pid()];
    let mut led = [false, false];
    for round in 0..3 {
        led[leader(&controllers).await?] = true;
        let theft = json!({ "spec": {
            "holderIdentity": "a thief", "leaseDurationSeconds": 2, "renewTime": null, "acquireTime": null,
        }});
        leases
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(theft))
            .await?;
        eventually(PATIENCE, "nobody leads", async || {
            for controller in &controllers {
                let state = controller.state().await?;
                ensure!(state["leading"] == false, "{state}");
                ensure!(
                    state["decisions"].is_null(),
                    "what it had decided is dropped: {state}"
                );
            }
            Ok(())
        })
        .await?;
        let name = format!("s{round}");
        tenant.service_from("stolen", &name).await?;
        tenant.shows(&name, &[&format!("10.25.1.{round}")]).await?;
    }
    led[leader(&controllers).await?] = true;
    for (controller, pid) in controllers.iter().zip(pids) {
        assert_eq!(controller.process()?.pid(), pid);
        controller.process()?.check_running()?;
        assert_eq!(controller.admin("/readyz").await?.status, 200);
    }
    println!("who has led: {led:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_end_hands_the_lease_over() -> Result<()> {
    let (lab, controllers) = start_with(2, &[]).await?;
    let tenant = Tenant::new(&lab, "ended").await?;
    tenant
        .pool("ended", json!({ "addresses": ["10.25.2.0/28"] }))
        .await?;
    let leader = leader(&controllers).await?;
    let process = controllers[leader].process()?;
    process.term()?;
    let status = process.wait(Duration::from_secs(10)).await?;
    ensure!(status.success(), "it ended with {status}");
    let other = &controllers[1 - leader];
    eventually(
        Duration::from_secs(3),
        "the other one leads before the Lease runs out",
        async || {
            ensure!(other.is_leading().await?, "it stands by");
            Ok(())
        },
    )
    .await?;
    tenant.service_from("ended", "web").await?;
    tenant.shows("web", &["10.25.2.0"]).await?;
    Ok(())
}

/// From the death of a leader to a write of the other: the Lease runs 4 s, and this machine may be busy.
const TAKEN_OVER: Duration = Duration::from_secs(12);

/// The same as the product promises it.
const PROMISED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_goes_on_where_a_leader_was_killed_under_load_and_nothing_moves() -> Result<()> {
    let (lab, mut controllers) = start_with(2, &[]).await?;
    let tenant = Tenant::new(&lab, "loaded").await?;
    let churn = Churn::start(&lab, &tenant, "10.25.4.0/23", Duration::from_secs(1)).await?;
    let mut random = churn.random();
    let names = ["kept-0", "kept-1", "kept-2"];
    for name in names {
        tenant.service(name, json!({})).await?;
    }
    let addresses = async || {
        let mut addresses = Vec::new();
        for name in names {
            let service = tenant.services().get(name).await?;
            let shown = ingress(&service)?;
            ensure!(shown.len() == 1, "{name} shows {shown:?}");
            addresses.extend(shown);
        }
        Ok(addresses)
    };
    let before = eventually(PATIENCE, "they are served", addresses).await?;
    let taken_over = bound(PROMISED, TAKEN_OVER);
    for round in 0..3 {
        churn.goes_on(&mut random, 10..30).await?;
        let leader = leader(&controllers).await?;
        controllers[leader].kill()?;
        let began = clock::now();
        let other = &controllers[1 - leader];
        eventually(taken_over, "the other one leads", async || {
            ensure!(other.is_leading().await?, "it stands by");
            Ok(())
        })
        .await?;
        churn.goes_on(&mut random, 1..2).await?;
        let took = began.elapsed();
        println!("round {round}: the standby has written {took:?} after the leader was killed");
        ensure!(took <= taken_over, "it took {took:?}");
        ensure!(addresses().await? == before, "what was shown has moved");
        controllers[leader].start()?;
        controllers[leader].wait_ready().await?;
    }
    churn.settle(&mut controllers).await
}
