//! How a Service loses its address, and when somebody else may have it.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::clock;
use serde_json::json;

use super::shared::with_tenant;
use super::tenant::{asking, condition, shown};

#[test]
fn a_deleted_service_leaves_nothing_behind() -> Result<()> {
    with_tenant("deleted", async |tenant| {
        tenant
            .pool("deleted", json!({ "addresses": ["10.21.0.0", "fd21::"] }))
            .await?;
        let both = |mut change: serde_json::Value| {
            super::tenant::merge(
                &mut change,
                json!({ "spec": { "ipFamilyPolicy": "RequireDualStack" } }),
            );
            change
        };
        tenant.service("web", both(asking("deleted"))).await?;
        tenant.shows("web", &["10.21.0.0", "fd21::"]).await?;
        tenant.service("next", both(asking("deleted"))).await?;
        let message = tenant.is_refused("next", "PoolExhausted").await?;
        ensure!(message.contains("deleted"), "{message}");
        tenant.delete("web").await?;
        tenant.shows("next", &["10.21.0.0", "fd21::"]).await?;
        tenant.delete("next").await?;
        for address in ["10.21.0.0", "fd21::"] {
            tenant.has_no_claim(address).await?;
        }
        Ok(())
    })
}

#[test]
fn a_freed_address_rests_for_its_last_holder() -> Result<()> {
    with_tenant("resting", async |tenant| {
        let rest = Duration::from_secs(4);
        let spec = json!({ "addresses": ["10.21.1.0/31"], "quarantine": "4s" });
        tenant.pool("resting", spec).await?;
        tenant.service_from("resting", "first").await?;
        tenant.shows("first", &["10.21.1.0"]).await?;
        tenant.service_from("resting", "second").await?;
        tenant.shows("second", &["10.21.1.1"]).await?;

        tenant.delete("first").await?;
        tenant.delete("second").await?;
        let claim = tenant.claim_is("10.21.1.1", "Quarantined").await?;
        let rests_since = clock::now();
        let last = serde_json::to_value(claim.spec.last_holder)?;
        assert_eq!(last, json!({ "namespace": "resting", "name": "second" }));
        ensure!(
            claim.spec.holders.is_empty(),
            "nobody holds it: {:?}",
            claim.spec.holders
        );
        // Back in time: its own address, and not the first that rests.
        tenant.service_from("resting", "second").await?;
        tenant.shows("second", &["10.21.1.1"]).await?;
        tenant.service_from("resting", "other").await?;
        tenant.shows("other", &["10.21.1.0"]).await?;
        let waited = rests_since.elapsed();
        ensure!(
            // The claim says since when in whole seconds.
            waited + Duration::from_secs(1) > rest,
            "10.21.1.0 went to somebody else after {waited:?}"
        );
        Ok(())
    })
}

#[test]
fn a_service_that_changes_its_type_keeps_no_mark_of_ours() -> Result<()> {
    with_tenant("retyped", async |tenant| {
        tenant
            .pool("retyped", json!({ "addresses": ["10.21.2.0/31"] }))
            .await?;
        tenant.service_from("retyped", "web").await?;
        let before = tenant.shows("web", &["10.21.2.0"]).await?;
        let foreign = json!({
            "type": "example.com/Checked", "status": "True", "reason": "Checked", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let mut conditions = before
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        conditions.push(serde_json::from_value(foreign)?);
        tenant
            .change_status("web", json!({ "conditions": conditions }))
            .await?;

        // As kubectl would: allocateLoadBalancerNodePorts may not stay without the type.
        let change = json!({ "spec": { "type": "ClusterIP", "allocateLoadBalancerNodePorts": null } });
        tenant.change("web", change).await?;
        tenant.has_no_claim("10.21.2.0").await?;
        let service = tenant.services().get("web").await?;
        ensure!(
            condition(&service).is_none(),
            "the condition is gone: {:?}",
            condition(&service)
        );
        assert_eq!(shown(&service), json!([]));
        let annotations = service.metadata.annotations.clone().unwrap_or_default();
        ensure!(
            !annotations.contains_key("ferrolb.io/allocated-from-pool"),
            "the annotation is gone: {annotations:?}"
        );
        let left = service
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let types: Vec<&str> = left.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, ["example.com/Checked"], "what is not ours stays");

        // And back.
        let change = json!({ "spec": { "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false } });
        tenant.change("web", change).await?;
        tenant.shows("web", &["10.21.2.0"]).await?;
        Ok(())
    })
}

#[test]
fn a_new_wish_keeps_the_old_address_until_it_is_granted() -> Result<()> {
    with_tenant("moved", async |tenant| {
        tenant
            .pool("moved", json!({ "addresses": ["10.21.3.0/30"] }))
            .await?;
        tenant
            .pool("moved-full", json!({ "addresses": ["10.21.3.4"] }))
            .await?;
        tenant.service_from("moved-full", "blocker").await?;
        tenant.shows("blocker", &["10.21.3.4"]).await?;
        tenant.service_from("moved", "web").await?;
        tenant.shows("web", &["10.21.3.0"]).await?;

        tenant.change("web", asking("moved-full")).await?;
        let message = tenant.keeps("web", &["10.21.3.0"], "PoolExhausted").await?;
        assert_eq!(message, "No IPv4 address: pool moved-full has none free");
        tenant.delete("blocker").await?;
        tenant.shows("web", &["10.21.3.4"]).await?;
        tenant.has_no_claim("10.21.3.0").await
    })
}

#[test]
fn a_pool_that_is_recreated_at_once_moves_nothing() -> Result<()> {
    with_tenant("recreated", async |tenant| {
        let spec = json!({ "addresses": ["10.21.4.0/30"] });
        tenant.pool("recreated", spec.clone()).await?;
        tenant.service_from("recreated", "web").await?;
        let before = tenant.shows("web", &["10.21.4.0"]).await?;
        tenant.pools().delete("recreated", &Default::default()).await?;
        tenant.pool("recreated", spec).await?;
        // Served by the new pool: so the controller has seen all of it.
        tenant.service_from("recreated", "next").await?;
        tenant.shows("next", &["10.21.4.1"]).await?;
        let after = tenant.services().get("web").await?;
        assert_eq!(
            after.metadata.resource_version, before.metadata.resource_version,
            "it was written to"
        );
        Ok(())
    })
}

#[test]
fn a_pool_that_is_gone_takes_its_addresses_with_it() -> Result<()> {
    with_tenant("gone", async |tenant| {
        tenant
            .pool("gone", json!({ "addresses": ["10.21.5.0/30"] }))
            .await?;
        tenant.service_from("gone", "web").await?;
        tenant.shows("web", &["10.21.5.0"]).await?;
        tenant.pools().delete("gone", &Default::default()).await?;
        tenant.is_refused("web", "PoolNotFound").await?;
        // What is left of it follows no pool any more, and goes after the quarantine that pools have
        // unless they say otherwise.
        tenant.claim_is("10.21.5.0", "Quarantined").await?;
        tenant
            .pool("gone", json!({ "addresses": ["10.21.5.0/30"] }))
            .await?;
        tenant.shows("web", &["10.21.5.0"]).await?;
        Ok(())
    })
}
