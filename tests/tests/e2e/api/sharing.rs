//! Services that share an address, and what becomes of them when one of them changes.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, Tenant, asking, merge};

const OURS: &str = "ferrolb.io/sharing-key";
const METALLBS: &str = "metallb.io/allow-shared-ip";

/// Asks for a pool, and to share under a key; on one port.
fn sharing(pool: &str, (annotation, key): (&str, &str), (protocol, port): (&str, u16)) -> Value {
    let mut change = asking(pool);
    let ports = json!([{ "name": "main", "protocol": protocol, "port": port }]);
    merge(
        &mut change,
        json!({ "metadata": { "annotations": { annotation: key } }, "spec": { "ports": ports } }),
    );
    change
}

/// Waits until a claim names these Services, in this order, and no others.
async fn is_held_by(tenant: &Tenant, address: &str, names: &[&str]) -> Result<()> {
    eventually(PATIENCE, &format!("{address} is held by {names:?}"), async || {
        let claim = tenant.claim(address).await?.context("no claim")?;
        let holders: Vec<&str> = claim.spec.holders.iter().map(|holder| &*holder.name).collect();
        ensure!(holders == names, "it says {:?}", claim.spec);
        Ok(())
    })
    .await
}

#[test]
fn services_of_one_key_share_an_address_by_ports_and_protocols() -> Result<()> {
    with_tenant("sharing", async |tenant| {
        tenant
            .pool("sharing", json!({ "addresses": ["10.48.0.0/29"] }))
            .await?;
        let mut s4 = sharing("sharing", (OURS, "share"), ("TCP", 80));
        let wish = json!({ "metadata": { "annotations": { "ferrolb.io/load-balancer-ips": "10.48.0.3" } } });
        merge(&mut s4, wish.clone());
        tenant.service("s4", s4).await?;
        tenant.shows("s4", &["10.48.0.3"]).await?;
        // The key that MetalLB knows means the same.
        for (name, annotation, port) in [("s3", METALLBS, ("TCP", 443)), ("udp", OURS, ("UDP", 80))] {
            let change = sharing("sharing", (annotation, "share"), port);
            tenant.service(name, change).await?;
            tenant.shows(name, &["10.48.0.3"]).await?;
        }
        let change = sharing("sharing", (OURS, "share"), ("TCP", 80));
        tenant.service("same-port", change.clone()).await?;
        tenant.shows("same-port", &["10.48.0.0"]).await?;
        is_held_by(&tenant, "10.48.0.3", &["s3", "s4", "udp"]).await?;

        // Asking for it does not help, and the reason says why.
        let mut asks = change;
        merge(&mut asks, wish);
        tenant.service("asks", asks).await?;
        let message = tenant.is_refused("asks", "SharingRefused").await?;
        assert_eq!(
            message,
            "The Service asks for 10.48.0.3, which is held by sharing/s4, which uses TCP/80 too"
        );

        // One leaves; the others stay, and who asked is served.
        tenant.delete("s4").await?;
        tenant.shows("asks", &["10.48.0.3"]).await?;
        is_held_by(&tenant, "10.48.0.3", &["asks", "s3", "udp"]).await
    })
}

#[test]
fn of_two_that_share_the_one_that_changes_loses_the_address_and_gets_it_back() -> Result<()> {
    with_tenant("partners", async |tenant| {
        tenant
            .pool("partners", json!({ "addresses": ["10.48.1.0/32"] }))
            .await?;
        for (name, port) in [("s1", 80), ("s2", 81)] {
            let mut change = sharing("partners", (OURS, "k"), ("TCP", port));
            merge(&mut change, json!({ "spec": { "selector": { "app": "both" } } }));
            tenant.service(name, change).await?;
            tenant.shows(name, &["10.48.1.0"]).await?;
        }
        let local = json!({ "spec": { "externalTrafficPolicy": "Local" } });
        tenant.change("s2", local.clone()).await?;
        tenant.is_refused("s2", "PoolExhausted").await?;
        tenant.shows("s1", &["10.48.1.0"]).await?;
        is_held_by(&tenant, "10.48.1.0", &["s1"]).await?;
        tenant.change("s1", local).await?;
        for name in ["s1", "s2"] {
            tenant.shows(name, &["10.48.1.0"]).await?;
        }
        is_held_by(&tenant, "10.48.1.0", &["s1", "s2"]).await
    })
}
