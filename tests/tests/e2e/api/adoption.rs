//! A controller that starts finds things as they are: what people see stays, and what happened
//! meanwhile is settled.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::objects::holders;
use ferrolb_tests::lab::product::Controller;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, condition, shown};

#[tokio::test(flavor = "multi_thread")]
async fn what_people_see_is_kept_and_what_happened_meanwhile_is_settled() -> Result<()> {
    let (lab, mut controllers) = start_with(1, &[]).await?;
    let tenant = Tenant::new(&lab, "adopted").await?;
    let spec = json!({ "addresses": ["10.24.0.0/28"], "autoAssign": true });
    tenant.pool("adopted", spec).await?;
    for (number, name) in ["lost-claim", "kept", "deleted", "retyped", "recreated"]
        .into_iter()
        .enumerate()
    {
        tenant.service(name, json!({})).await?;
        tenant.shows(name, &[&format!("10.24.0.{number}")]).await?;
    }
    tenant
        .has_events("Service", "lost-claim", &[["Normal", "Assigned"]])
        .await?;

    is_restarted_unseen(&tenant, &mut controllers[0]).await?;

    controllers[0].kill()?;
    let before = [
        tenant.services().get("lost-claim").await?,
        tenant.services().get("kept").await?,
    ];
    tenant
        .claims()
        .delete("10.24.0.0", &DeleteParams::default())
        .await?;
    tenant.delete("deleted").await?;
    let retyped = json!({ "spec": { "type": "ClusterIP", "allocateLoadBalancerNodePorts": null } });
    tenant.change("retyped", retyped).await?;
    tenant.delete("recreated").await?;
    // Older than the one that shows 10.24.0.5, and still not the one to get it; nor may it have any
    // address that somebody shows.
    tenant.service("pending", json!({})).await?;
    tenant.service("recreated", json!({})).await?;
    tenant.service("shown", json!({})).await?;
    let ingress = |address: &str| json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
    tenant.change_status("shown", ingress("10.24.0.5")).await?;
    // Another load balancer serves this one from addresses that are in our pool, too.
    tenant
        .service(
            "foreign",
            json!({ "spec": { "loadBalancerClass": "example.com/other" } }),
        )
        .await?;
    tenant.change_status("foreign", ingress("10.24.0.6")).await?;
    let foreign = tenant.services().get("foreign").await?;
    controllers[0].start()?;
    controllers[0].wait_ready().await?;

    tenant.claim_is("10.24.0.0", "Held").await?;
    tenant.shows("shown", &["10.24.0.5"]).await?;
    // The Service of that name is another one; the address is its all the same, or rests for it.
    tenant.shows("recreated", &["10.24.0.4"]).await?;
    let pending = shown_by(&tenant, "pending").await?;
    ensure!(
        ["10.24.0.2", "10.24.0.3"].contains(&pending.as_str()) || pending.as_str() > "10.24.0.6",
        "{pending} is shown by somebody else"
    );
    for service in &before {
        let now = tenant
            .services()
            .get(service.metadata.name.as_deref().context("a name")?)
            .await?;
        assert_eq!(
            now.metadata.resource_version, service.metadata.resource_version,
            "it was written to"
        );
    }
    tenant
        .has_events("Service", "lost-claim", &[["Normal", "Assigned"]])
        .await?;
    eventually(PATIENCE, "our marks are gone", async || {
        let retyped = tenant.services().get("retyped").await?;
        ensure!(condition(&retyped).is_none(), "it says {:?}", condition(&retyped));
        Ok(())
    })
    .await?;

    // The whole pool is lent, but for what another load balancer shows.
    for number in 0..12 {
        tenant.service(&format!("more-{number}"), json!({})).await?;
    }
    eventually(PATIENCE, "the pool is exhausted", async || {
        let services = tenant.services().list(&Default::default()).await?.items;
        let holders = holders(&services)?;
        let double = holders.iter().find(|(_, names)| names.len() > 1);
        ensure!(double.is_none(), "shown twice: {double:?}");
        ensure!(holders.len() == 16, "{} of 16 are shown", holders.len());
        Ok(())
    })
    .await?;
    assert!(
        tenant.claim("10.24.0.6").await?.is_none(),
        "it is not ours to lend"
    );
    let now = tenant.services().get("foreign").await?;
    assert_eq!(
        now.metadata.resource_version, foreign.metadata.resource_version,
        "it was written to"
    );
    // Once it is not shown any more, it can be lent.
    tenant.delete("foreign").await?;
    tenant.claim_is("10.24.0.6", "Held").await?;
    Ok(())
}

/// Restarts a controller while nothing happens: whoever watches the Services sees nothing of it.
async fn is_restarted_unseen(tenant: &Tenant, controller: &mut Controller) -> Result<()> {
    let since = tenant.version().await?;
    controller.kill()?;
    controller.start()?;
    controller.wait_ready().await?;
    // It works: what is new is served.
    tenant.service("new", json!({})).await?;
    let last = tenant.shows("new", &["10.24.0.5"]).await?;
    for version in tenant.versions(&since, &last).await? {
        ensure!(version.name_any() == "new", "it was written to: {version:?}");
    }
    tenant.delete("new").await?;
    tenant.has_no_claim("10.24.0.5").await
}

/// The one address that a Service gets.
async fn shown_by(tenant: &Tenant, name: &str) -> Result<String> {
    eventually(PATIENCE, &format!("{name} has an address"), async || {
        let shown = shown(&tenant.services().get(name).await?);
        let address = shown[0]["ip"].as_str().context("it has none")?;
        Ok(address.to_owned())
    })
    .await
}
