//! Objects that nobody understands, as an older schema may have let them through: stored through a
//! schema that lets everything pass, read under our own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::{Lab, eventually, throughout};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant};

/// Longer than the grace of a deleted pool, which is 10 s.
const LONG: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_an_address_to_an_object_that_nobody_understands() -> Result<()> {
    let (lab, mut controllers) = start_with(1, &[]).await?;
    let tenant = Tenant::new(&lab, "malformed").await?;
    tenant
        .pool("malformed", json!({ "addresses": ["10.30.0.0/29"] }))
        .await?;
    for (number, name) in ["web", "api"].into_iter().enumerate() {
        tenant.service_from("malformed", name).await?;
        tenant.shows(name, &[&format!("10.30.0.{number}")]).await?;
    }

    loosen(&lab)?;
    let broken = json!({ "spec": { "holders": [{
        "namespace": "malformed", "name": "api", "uid": 7, "ports": "80", "advertisements": 7,
    }], "state": "Lent" } });
    write(&tenant, "AddressClaim", "10.30.0.1", broken).await?;
    write(
        &tenant,
        "AddressPool",
        "malformed",
        json!({ "spec": { "addresses": 7 } }),
    )
    .await?;
    lab.replace_crds()?;

    for is_restarted in [false, true] {
        if is_restarted {
            controllers[0].kill()?;
            controllers[0].start()?;
            controllers[0].wait_ready().await?;
        }
        eventually(PATIENCE, "the pool says what is wrong", async || {
            let ready = ready(&tenant).await?;
            ensure!(
                ready["status"] == "False" && ready["reason"] == "Unreadable",
                "{ready}"
            );
            Ok(())
        })
        .await?;
        throughout(LONG, "both keep their addresses", async || {
            tenant.shows("web", &["10.30.0.0"]).await?;
            tenant.shows("api", &["10.30.0.1"]).await?;
            Ok(())
        })
        .await?;
        let metrics = controllers[0].admin("/metrics").await?.body;
        let line = "ferrolb_controller_unreadable_objects{kind=\"addresspools\"} 1";
        ensure!(metrics.contains(line), "the metrics do not say {line}");
    }
    // The claim was written anew, and can be understood.
    let claim = tenant.claim_is("10.30.0.1", "Held").await?;
    ensure!(
        claim.spec.held_by.as_deref() == Some("malformed/api"),
        "{:?}",
        claim.spec
    );
    tenant.service_from("malformed", "later").await?;
    let message = tenant.is_refused("later", "PoolInvalid").await?;
    ensure!(message.contains("cannot be understood"), "{message}");

    let right = json!({ "spec": { "addresses": ["10.30.0.0/29"] } });
    write(&tenant, "AddressPool", "malformed", right).await?;
    tenant.shows("later", &["10.30.0.2"]).await?;
    tenant.shows("web", &["10.30.0.0"]).await?;
    Ok(())
}

/// Lets everything pass for our kinds.
fn loosen(lab: &Lab) -> Result<()> {
    let anything = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    }]);
    for kind in ["addresspools.ferrolb.io", "addressclaims.ferrolb.io"] {
        lab.kubectl(["patch", "crd", kind, "--type=json", "-p", &anything.to_string()])?;
    }
    Ok(())
}

/// Changes an object, as soon as the API server takes it.
async fn write(tenant: &Tenant, kind: &str, name: &str, change: Value) -> Result<()> {
    let objects = untyped(tenant, kind);
    let patch = Patch::Merge(&change);
    eventually(PATIENCE, &format!("{kind} {name} is changed"), async || {
        objects.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    })
    .await
}

/// What the pool says of itself.
async fn ready(tenant: &Tenant) -> Result<Value> {
    let pool = untyped(tenant, "AddressPool").get("malformed").await?;
    let conditions = pool.data["status"]["conditions"]
        .as_array()
        .context("no conditions")?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    ready.cloned().context("no condition Ready")
}

fn untyped(tenant: &Tenant, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("ferrolb.io", "v1alpha1", kind);
    Api::all_with(tenant.client.clone(), &ApiResource::from_gvk(&kind))
}
