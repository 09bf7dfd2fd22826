//! The rules of lending that are more than one address for one Service: order, quota, pools that change. Which
//! pools come first is in `automatic.rs`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::clock;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, Tenant, asking, bound, merge, shown};

async fn label_namespace(tenant: &Tenant, labels: Value) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(tenant.client.clone());
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
    namespaces
        .patch(&tenant.namespace, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[test]
fn who_waits_longest_is_served_first_when_an_address_is_freed() -> Result<()> {
    with_tenant("queue", async |tenant| {
        let addresses = json!({ "addresses": ["10.31.0.4/31", "10.31.0.10/31"] });
        tenant.pool("queue", addresses).await?;
        let served = ["10.31.0.4", "10.31.0.5", "10.31.0.10", "10.31.0.11"];
        for (number, address) in served.into_iter().enumerate() {
            let name = format!("s{number}");
            tenant.service_from("queue", &name).await?;
            tenant.shows(&name, &[address]).await?;
        }
        for name in ["s4", "s5"] {
            tenant.service_from("queue", name).await?;
            tenant.is_refused(name, "PoolExhausted").await?;
        }
        let began = clock::now();
        tenant.delete("s0").await?;
        tenant.shows("s4", &["10.31.0.4"]).await?;
        let took = began.elapsed();
        println!("who waited longest is served {took:?} after an address was freed");
        ensure!(
            took <= bound(Duration::from_secs(1), PATIENCE),
            "it took {took:?}"
        );
        tenant.is_refused("s5", "PoolExhausted").await?;
        Ok(())
    })
}

#[test]
fn a_service_that_names_another_pool_moves_there_and_is_never_without_an_address() -> Result<()> {
    with_tenant("moves", async |tenant| {
        tenant
            .pool("moves-a", json!({ "addresses": ["10.31.3.0/30"] }))
            .await?;
        tenant
            .pool("moves-b", json!({ "addresses": ["10.31.3.8/32"] }))
            .await?;
        tenant.service_from("moves-a", "web").await?;
        let before = tenant.shows("web", &["10.31.3.0"]).await?;
        tenant.change("web", asking("moves-b")).await?;
        let after = tenant.shows("web", &["10.31.3.8"]).await?;
        tenant.has_no_claim("10.31.3.0").await?;
        let since = before.resource_version().context("a version")?;
        let versions = tenant.versions(&since, &after).await?;
        ensure!(versions.len() >= 2, "people's change and ours: {versions:?}");
        for version in versions {
            let shown = shown(&version)[0]["ip"].clone();
            ensure!(
                shown == "10.31.3.0" || shown == "10.31.3.8",
                "nothing is shown in {version:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_namespace_is_admitted_by_its_labels_and_gets_as_much_as_its_quota() -> Result<()> {
    with_tenant("labeled", async |tenant| {
        let allocation = json!({
            "namespaceSelectors": [{ "matchExpressions": [{ "key": "team", "operator": "In", "values": ["a", "b"] }] }],
            "maxPerNamespace": 1,
        });
        tenant
            .pool(
                "labeled",
                json!({ "addresses": ["10.31.5.0/30"], "allocation": allocation }),
            )
            .await?;
        tenant.service_from("labeled", "first").await?;
        tenant.is_refused("first", "NotAdmitted").await?;
        label_namespace(&tenant, json!({ "team": "a" })).await?;
        tenant.shows("first", &["10.31.5.0"]).await?;
        tenant.service_from("labeled", "second").await?;
        let message = tenant.is_refused("second", "QuotaExceeded").await?;
        ensure!(message.contains("at most 1 address "), "{message}");
        tenant
            .change_pool("labeled", json!({ "allocation": { "maxPerNamespace": 2 } }))
            .await?;
        tenant.shows("second", &["10.31.5.1"]).await?;
        label_namespace(&tenant, json!({ "team": null })).await?;
        tenant.is_refused("first", "NotAdmitted").await?;
        tenant.has_no_claim("10.31.5.0").await?;
        tenant.has_no_claim("10.31.5.1").await
    })
}

#[test]
fn the_second_family_comes_later_and_the_first_address_stays() -> Result<()> {
    with_tenant("second", async |tenant| {
        tenant
            .pool("second", json!({ "addresses": ["10.31.6.100/32"] }))
            .await?;
        let mut change = asking("second");
        merge(
            &mut change,
            json!({ "spec": { "ipFamilyPolicy": "PreferDualStack" } }),
        );
        tenant.service("web", change).await?;
        tenant.shows("web", &["10.31.6.100"]).await?;
        let claim = tenant.claim("10.31.6.100").await?.map(|claim| claim.metadata.uid);
        let both = json!({ "addresses": ["10.31.6.100/32", "fc00:f853:ccd:e799::/124"] });
        tenant.change_pool("second", both).await?;
        tenant
            .shows("web", &["10.31.6.100", "fc00:f853:ccd:e799::"])
            .await?;
        let now = tenant.claim("10.31.6.100").await?.map(|claim| claim.metadata.uid);
        ensure!(claim == now, "the first was lent anew");
        Ok(())
    })
}

#[test]
fn a_pool_that_shrinks_moves_only_who_must() -> Result<()> {
    with_tenant("shrunk", async |tenant| {
        tenant
            .pool("shrunk", json!({ "addresses": ["10.31.7.0/29"] }))
            .await?;
        for (name, address) in [("s0", "10.31.7.0"), ("s1", "10.31.7.1")] {
            tenant.service_from("shrunk", name).await?;
            tenant.shows(name, &[address]).await?;
        }
        // Who must leave has the next one at once.
        tenant
            .change_pool("shrunk", json!({ "exclude": ["10.31.7.0"] }))
            .await?;
        tenant.shows("s0", &["10.31.7.2"]).await?;
        tenant.shows("s1", &["10.31.7.1"]).await?;
        tenant.has_no_claim("10.31.7.0").await
    })
}
