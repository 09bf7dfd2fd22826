//! `--service-finalizer`: a Service is not gone before its addresses are given back.

use anyhow::{Result, ensure};
use ferrolb_tests::lab::eventually;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking, merge, shown};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// Waits until a Service has exactly these finalizers.
async fn has(tenant: &Tenant, name: &str, finalizers: &[&str]) -> Result<()> {
    eventually(
        PATIENCE,
        &format!("{name} has the finalizers {finalizers:?}"),
        async || {
            let service = tenant.services().get(name).await?;
            ensure!(
                service.finalizers() == finalizers,
                "it has {:?}",
                service.finalizers()
            );
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizer_is_on_who_holds_an_address_and_keeps_nobody_for_ever() -> Result<()> {
    // Without the Lease a controller works at once when it starts.
    let flags = ["--leader-elect=false", "--service-finalizer"];
    let (lab, mut controllers) = start_with(1, &flags).await?;
    let tenant = Tenant::new(&lab, "finalizer").await?;
    tenant
        .pool("finalizer", json!({ "addresses": ["10.48.0.0/29"] }))
        .await?;

    // It is there as soon as the address is, and goes with it.
    tenant.service_from("finalizer", "web").await?;
    let web = tenant.shows("web", &["10.48.0.0"]).await?;
    assert_eq!(web.finalizers(), [FINALIZER]);
    tenant.delete("web").await?;
    tenant.is_gone("web").await?;
    tenant.has_no_claim("10.48.0.0").await?;
    // What the API server keeps of a Service goes with it: the name and the cluster IP are free.
    let mut again = asking("finalizer");
    let cluster_ip = web.spec.and_then(|spec| spec.cluster_ip);
    merge(&mut again, json!({ "spec": { "clusterIP": cluster_ip } }));
    tenant.service("web", again).await?;
    tenant.shows("web", &["10.48.0.0"]).await?;

    // Somebody else's finalizer is not ours to touch.
    let mut kept = asking("finalizer");
    merge(
        &mut kept,
        json!({ "metadata": { "finalizers": ["example.com/keep"] } }),
    );
    tenant.service("kept", kept).await?;
    tenant.shows("kept", &["10.48.0.1"]).await?;
    has(&tenant, "kept", &[FINALIZER, "example.com/keep"]).await?;
    tenant.delete("kept").await?;
    has(&tenant, "kept", &["example.com/keep"]).await?;
    tenant.has_no_claim("10.48.0.1").await?;
    tenant
        .change("kept", json!({ "metadata": { "finalizers": null } }))
        .await?;
    tenant.is_gone("kept").await?;

    // Nor does it stay when there is nothing left to give back.
    tenant.service_from("finalizer", "retyped").await?;
    tenant.shows("retyped", &["10.48.0.1"]).await?;
    let change = json!({ "spec": { "type": "ClusterIP", "allocateLoadBalancerNodePorts": null } });
    tenant.change("retyped", change.clone()).await?;
    has(&tenant, "retyped", &[]).await?;
    tenant.has_no_claim("10.48.0.1").await?;

    // Not even if somebody deletes the claim that names it while nobody leads.
    let forgotten = tenant.service_from("finalizer", "forgotten").await?;
    tenant.shows("forgotten", &["10.48.0.1"]).await?;
    controllers[0].kill()?;
    tenant.change("forgotten", change).await?;
    let params = DeleteParams::default();
    tenant.claims().delete("10.48.0.1", &params).await?;
    has(&tenant, "forgotten", &[FINALIZER]).await?;
    controllers[0].start()?;
    controllers[0].wait_ready().await?;
    tenant.is_bare(&forgotten).await?;

    // Turned off while nobody leads, with one Service that waits to be gone.
    tenant.service_from("finalizer", "waits").await?;
    tenant.shows("waits", &["10.48.0.1"]).await?;
    controllers[0].kill()?;
    tenant.delete("waits").await?;
    has(&tenant, "waits", &[FINALIZER]).await?;
    let mut without = lab.controller(0, &["--leader-elect=false"]);
    without.start()?;
    without.wait_ready().await?;
    tenant.is_gone("waits").await?;
    has(&tenant, "web", &[]).await?;
    let web = tenant.services().get("web").await?;
    ensure!(
        shown(&web) == json!([{ "ip": "10.48.0.0", "ipMode": "VIP" }]),
        "it keeps its address"
    );
    Ok(())
}
