//! The rules of lending that are more than one address for one Service: order, pools for some, quota, pools
//! that change. Each example of the rule book that no other test here shows.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{Tenant, asking, merge};

/// A Service of this tier.
fn of_tier(tier: &str) -> Value {
    json!({ "metadata": { "labels": { "tier": tier } } })
}

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
        tenant.delete("s0").await?;
        tenant.shows("s4", &["10.31.0.4"]).await?;
        tenant.is_refused("s5", "PoolExhausted").await?;
        Ok(())
    })
}

#[test]
fn avoided_addresses_are_lent_to_nobody() -> Result<()> {
    with_tenant("avoided", async |tenant| {
        tenant
            .pool(
                "avoided-no",
                json!({ "addresses": ["10.31.1.0/31", "10.31.1.254/31"] }),
            )
            .await?;
        let avoiding = json!({ "addresses": ["10.31.2.0/31", "10.31.2.254/31"], "avoidBuggyIPs": true });
        tenant.pool("avoided-yes", avoiding).await?;
        for (number, address) in ["10.31.1.0", "10.31.1.1", "10.31.1.254", "10.31.1.255"]
            .into_iter()
            .enumerate()
        {
            tenant.service_from("avoided-no", &format!("n{number}")).await?;
            tenant.shows(&format!("n{number}"), &[address]).await?;
        }
        for (name, address) in [("y0", "10.31.2.1"), ("y1", "10.31.2.254")] {
            tenant.service_from("avoided-yes", name).await?;
            tenant.shows(name, &[address]).await?;
        }
        tenant.service_from("avoided-yes", "y2").await?;
        tenant.is_refused("y2", "PoolExhausted").await?;
        Ok(())
    })
}

#[test]
fn a_service_that_names_another_pool_moves_there() -> Result<()> {
    with_tenant("moves", async |tenant| {
        tenant
            .pool("moves-a", json!({ "addresses": ["10.31.3.0/30"] }))
            .await?;
        tenant
            .pool("moves-b", json!({ "addresses": ["10.31.3.8/32"] }))
            .await?;
        tenant.service_from("moves-a", "web").await?;
        tenant.shows("web", &["10.31.3.0"]).await?;
        tenant.change("web", asking("moves-b")).await?;
        tenant.shows("web", &["10.31.3.8"]).await?;
        tenant.has_no_claim("10.31.3.0").await
    })
}

/// The only pools here that lend without being asked are for this namespace alone.
#[test]
fn pools_for_some_go_first_by_priority_and_are_for_nobody_else() -> Result<()> {
    with_tenant("pinned", async |tenant| {
        let pinned = |addresses: &str, allocation: Value| {
            let mut allocation = allocation;
            merge(&mut allocation, json!({ "namespaces": ["pinned"] }));
            json!({ "addresses": [addresses], "autoAssign": true, "allocation": allocation })
        };
        tenant
            .pool("pinned-11", pinned("10.31.4.2/31", json!({ "priority": 11 })))
            .await?;
        tenant
            .pool("pinned-10", pinned("10.31.4.0/32", json!({ "priority": 10 })))
            .await?;
        tenant
            .pool(
                "pinned-edge",
                pinned(
                    "10.31.4.9/32",
                    json!({ "priority": 5, "serviceSelectors": [{ "matchLabels": { "tier": "edge" } }] }),
                ),
            )
            .await?;
        tenant.service("edge", of_tier("edge")).await?;
        tenant.shows("edge", &["10.31.4.9"]).await?;
        // The next by priority once one is exhausted.
        for (name, address) in [("s1", "10.31.4.0"), ("s2", "10.31.4.2"), ("s3", "10.31.4.3")] {
            tenant.service(name, json!({})).await?;
            tenant.shows(name, &[address]).await?;
        }
        // Not even by asking.
        let other = Tenant::new_beside(&tenant, "pinned-other").await?;
        other.service_from("pinned-11", "web").await?;
        let message = other.is_refused("web", "NotAdmitted").await?;
        ensure!(message.contains("not for namespace pinned-other"), "{message}");
        // A label that goes moves who is not admitted any more.
        tenant.change("edge", of_tier("core")).await?;
        tenant.is_refused("edge", "PoolExhausted").await?;
        tenant.delete("s1").await?;
        tenant.shows("edge", &["10.31.4.0"]).await?;
        for pool in ["pinned-11", "pinned-10", "pinned-edge"] {
            tenant.change_pool(pool, json!({ "autoAssign": false })).await?;
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
fn a_pool_that_is_split_renamed_or_shrunk_moves_only_who_must() -> Result<()> {
    with_tenant("split", async |tenant| {
        tenant
            .pool("split", json!({ "addresses": ["10.31.7.0/29"] }))
            .await?;
        for (name, address) in [("s0", "10.31.7.0"), ("s1", "10.31.7.1")] {
            tenant.service_from("split", name).await?;
            tenant.shows(name, &[address]).await?;
        }
        // Who must leave has the next one at once.
        tenant
            .change_pool("split", json!({ "exclude": ["10.31.7.0"] }))
            .await?;
        tenant.shows("s0", &["10.31.7.2"]).await?;
        tenant.shows("s1", &["10.31.7.1"]).await?;
        tenant.has_no_claim("10.31.7.0").await
    })
}
