//! Which pool serves a Service that asks for none: pools for some before pools for anybody, by priority and then by
//! name, until all are exhausted.
//!
//! They have a cluster of their own: a pool for anybody would serve whoever waits in any other test.

use anyhow::{Result, ensure};
use ferrolb_tests::lab::eventually;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking, merge};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_no_pool_is_served_by_the_first_that_may_and_can_or_waits() -> Result<()> {
    let (lab, _controllers) = start_with(1, &[]).await?;
    one_of_two_is_closed(&Tenant::new(&lab, "closed").await?).await?;
    some_avoid_addresses(&Tenant::new(&lab, "avoiding").await?).await?;
    some_are_for_some(&Tenant::new(&lab, "pinned").await?).await
}

/// A Service of this tier.
fn of_tier(tier: &str) -> Value {
    json!({ "metadata": { "labels": { "tier": tier } } })
}

/// Makes a pool that lends to anybody.
async fn open(tenant: &Tenant, name: &str, addresses: &str, avoids: bool) -> Result<()> {
    let spec = json!({ "addresses": [addresses], "autoAssign": true, "avoidBuggyIPs": avoids });
    tenant.pool(name, spec).await?;
    Ok(())
}

/// Deletes all Services, then all pools.
async fn leave(tenant: &Tenant) -> Result<()> {
    for service in tenant.services().list(&Default::default()).await?.items {
        tenant.delete(&service.name_any()).await?;
    }
    eventually(PATIENCE, "no claim is left", async || {
        let claims = tenant.claims().list(&Default::default()).await?.items;
        ensure!(claims.is_empty(), "there are {}", claims.len());
        Ok(())
    })
    .await?;
    let all = ListParams::default();
    tenant
        .pools()
        .delete_collection(&Default::default(), &all)
        .await?;
    Ok(())
}

/// Creates Services that ask for nothing, and waits until each has its address.
async fn are_served(tenant: &Tenant, prefix: &str, addresses: &[&str]) -> Result<()> {
    for (number, address) in addresses.iter().enumerate() {
        let name = format!("{prefix}{number}");
        tenant.service(&name, json!({})).await?;
        tenant.shows(&name, &[address]).await?;
    }
    Ok(())
}

/// Two pools serve four Services, and with one of them closed two.
async fn one_of_two_is_closed(tenant: &Tenant) -> Result<()> {
    open(tenant, "closed-a", "10.32.0.0/31", false).await?;
    open(tenant, "closed-b", "10.32.0.2/31", false).await?;
    let all = ["10.32.0.0", "10.32.0.1", "10.32.0.2", "10.32.0.3"];
    are_served(tenant, "s", &all).await?;
    tenant.service("s4", json!({})).await?;
    tenant.is_refused("s4", "PoolExhausted").await?;

    let closed = json!({ "autoAssign": false });
    tenant.change_pool("closed-a", closed).await?;
    // Whoever has an address keeps it, and nobody else is better off.
    for (number, address) in all.into_iter().enumerate() {
        tenant.shows(&format!("s{number}"), &[address]).await?;
    }
    tenant.is_refused("s4", "PoolExhausted").await?;
    for number in (0..5).rev() {
        tenant.delete(&format!("s{number}")).await?;
    }
    for address in all {
        tenant.has_no_claim(address).await?;
    }

    are_served(tenant, "t", &all[2..]).await?;
    for name in ["t2", "t3"] {
        tenant.service(name, json!({})).await?;
        tenant.is_refused(name, "PoolExhausted").await?;
    }
    tenant.change("t2", asking("closed-a")).await?;
    tenant.shows("t2", &["10.32.0.0"]).await?;
    tenant.is_refused("t3", "PoolExhausted").await?;
    leave(tenant).await
}

/// Of four pools of two addresses those that avoid some serve one Service each.
async fn some_avoid_addresses(tenant: &Tenant) -> Result<()> {
    for (name, addresses, avoids) in [
        ("avoiding-a", "10.32.1.0/31", false),
        ("avoiding-b", "10.32.1.254/31", false),
        ("avoiding-c", "10.32.2.0/31", true),
        ("avoiding-d", "10.32.2.254/31", true),
    ] {
        open(tenant, name, addresses, avoids).await?;
    }
    let usable = [
        "10.32.1.0",
        "10.32.1.1",
        "10.32.1.254",
        "10.32.1.255",
        "10.32.2.1",
        "10.32.2.254",
    ];
    are_served(tenant, "s", &usable).await?;
    for name in ["s6", "s7"] {
        tenant.service(name, json!({})).await?;
        tenant.is_refused(name, "PoolExhausted").await?;
    }
    leave(tenant).await
}

/// Pools for some go first, by priority, and are for nobody else; their names come in another order.
async fn some_are_for_some(tenant: &Tenant) -> Result<()> {
    let pinned = |addresses: &str, allocation: Value| {
        let mut allocation = allocation;
        merge(&mut allocation, json!({ "namespaces": ["pinned"] }));
        json!({ "addresses": [addresses], "autoAssign": true, "allocation": allocation })
    };
    let for_edge = |addresses: &str, priority: u8| {
        let tier = json!([{ "matchLabels": { "tier": "edge" } }]);
        pinned(
            addresses,
            json!({ "priority": priority, "serviceSelectors": tier }),
        )
    };
    let open = json!({ "addresses": ["10.31.4.16/32"], "autoAssign": true, "allocation": { "priority": 1 } });
    for (name, spec) in [
        ("pinned-a-open", open),
        ("pinned-b", pinned("10.31.4.2/31", json!({ "priority": 11 }))),
        ("pinned-c", pinned("10.31.4.0/31", json!({ "priority": 10 }))),
        ("pinned-edge-a", for_edge("10.31.4.8/32", 8)),
        ("pinned-edge-b", for_edge("10.31.4.9/32", 5)),
    ] {
        tenant.pool(name, spec).await?;
    }
    // The next by priority once one is exhausted, and those for everybody last.
    for (name, tier, address) in [
        ("plain-0", "core", "10.31.4.0"),
        ("edge-0", "edge", "10.31.4.9"),
        ("edge-1", "edge", "10.31.4.8"),
        ("edge-2", "edge", "10.31.4.1"),
        ("plain-1", "core", "10.31.4.2"),
        ("plain-2", "core", "10.31.4.3"),
        ("plain-3", "core", "10.31.4.16"),
    ] {
        tenant.service(name, of_tier(tier)).await?;
        tenant.shows(name, &[address]).await?;
    }
    tenant.service("plain-4", of_tier("core")).await?;
    tenant.is_refused("plain-4", "PoolExhausted").await?;
    tenant.delete("plain-4").await?;
    // Not even by asking.
    let other = Tenant::new_beside(tenant, "pinned-other").await?;
    other.service_from("pinned-b", "web").await?;
    let message = other.is_refused("web", "NotAdmitted").await?;
    assert_eq!(
        message,
        "The Service asks for pool pinned-b, but pool pinned-b is not for namespace pinned-other"
    );
    // A label that goes moves who is not admitted any more.
    tenant.change("edge-0", of_tier("core")).await?;
    tenant.is_refused("edge-0", "PoolExhausted").await?;
    tenant.delete("plain-0").await?;
    tenant.shows("edge-0", &["10.31.4.0"]).await?;
    other.delete("web").await?;
    leave(tenant).await
}
