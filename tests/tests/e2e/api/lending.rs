//! What a Service gets: which address, and what is written where.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, asking, condition, merge, version};

#[test]
fn a_service_shows_its_address_only_after_the_claim_names_it() -> Result<()> {
    with_tenant("shown", async |tenant| {
        tenant
            .pool("shown", json!({ "addresses": ["10.20.0.0/30"] }))
            .await?;
        tenant.service_from("shown", "web").await?;
        let service = tenant.shows("web", &["10.20.0.0"]).await?;

        let said = condition(&service).context("no condition")?;
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "Assigned"));
        assert_eq!(said.message, "10.20.0.0 from pool shown");
        let annotations = service.metadata.annotations.clone().unwrap_or_default();
        assert_eq!(annotations["ferrolb.io/allocated-from-pool"], "shown");

        let claim = tenant.claim("10.20.0.0").await?.context("no claim")?;
        ensure!(
            version(&claim)? < version(&service)?,
            "the claim was written at {}, after the status at {}",
            version(&claim)?,
            version(&service)?
        );
        assert_eq!(
            claim.metadata.labels.clone().unwrap_or_default()["ferrolb.io/pool"],
            "shown"
        );
        let mut spec = serde_json::to_value(&claim.spec)?;
        ensure!(spec["stateSince"].is_string(), "since when it is held: {spec}");
        spec["stateSince"] = Value::Null;
        let expected = json!({
            "address": "10.20.0.0", "pool": "shown", "state": "Held", "stateSince": null, "heldBy": "shown/web",
            "holders": [{
                "namespace": "shown", "name": "web", "uid": service.metadata.uid,
                "ports": [{ "protocol": "TCP", "port": 80 }],
                "externalTrafficPolicy": "Cluster", "advertisements": ["default"],
            }],
        });
        assert_eq!(spec, expected);
        tenant
            .has_events("Service", "web", &[["Normal", "Assigned"]])
            .await
    })
}

#[test]
fn every_family_policy_gets_its_addresses_ipv4_first() -> Result<()> {
    with_tenant("families", async |tenant| {
        tenant
            .pool(
                "families-both",
                json!({ "addresses": ["10.20.1.0/28", "fd20:1::/124"] }),
            )
            .await?;
        tenant
            .pool("families-v4", json!({ "addresses": ["10.20.1.16/28"] }))
            .await?;
        let cases = [
            (
                "v4",
                "families-both",
                "SingleStack",
                vec!["IPv4"],
                vec!["10.20.1.0"],
            ),
            (
                "v6",
                "families-both",
                "SingleStack",
                vec!["IPv6"],
                vec!["fd20:1::"],
            ),
            (
                "both",
                "families-both",
                "RequireDualStack",
                vec!["IPv4", "IPv6"],
                vec!["10.20.1.1", "fd20:1::1"],
            ),
            (
                "v6-first",
                "families-both",
                "RequireDualStack",
                vec!["IPv6", "IPv4"],
                vec!["10.20.1.2", "fd20:1::2"],
            ),
            (
                "prefers",
                "families-both",
                "PreferDualStack",
                vec!["IPv6", "IPv4"],
                vec!["10.20.1.3", "fd20:1::3"],
            ),
            (
                "takes-one",
                "families-v4",
                "PreferDualStack",
                vec!["IPv6", "IPv4"],
                vec!["10.20.1.16"],
            ),
        ];
        for (name, pool, policy, families, addresses) in cases {
            let mut change = asking(pool);
            merge(
                &mut change,
                json!({ "spec": { "ipFamilyPolicy": policy, "ipFamilies": families } }),
            );
            tenant.service(name, change).await?;
            tenant.shows(name, &addresses).await?;
        }
        let mut change = asking("families-v4");
        merge(
            &mut change,
            json!({ "spec": { "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] } }),
        );
        tenant.service("needs-both", change).await?;
        tenant.is_refused("needs-both", "NoDualStackPool").await?;
        Ok(())
    })
}

#[test]
fn an_address_can_be_asked_for_by_the_field_and_by_every_key() -> Result<()> {
    with_tenant("asked", async |tenant| {
        tenant
            .pool("asked", json!({ "addresses": ["10.20.2.0/24", "fd20:2::/120"] }))
            .await?;
        let by_key = |key: &str, value: &str| json!({ "metadata": { "annotations": { key: value } } });
        let single = [
            (
                "field",
                json!({ "spec": { "loadBalancerIP": "10.20.2.10" } }),
                "10.20.2.10",
            ),
            (
                "ours",
                by_key("ferrolb.io/load-balancer-ips", "10.20.2.11"),
                "10.20.2.11",
            ),
            (
                "metallb",
                by_key("metallb.io/loadBalancerIPs", "10.20.2.12"),
                "10.20.2.12",
            ),
            (
                "older",
                by_key("metallb.universe.tf/loadBalancerIPs", "10.20.2.13"),
                "10.20.2.13",
            ),
        ];
        for (name, change, address) in single {
            tenant.service(name, change).await?;
            tenant.shows(name, &[address]).await?;
        }
        let mut both = by_key("ferrolb.io/load-balancer-ips", " fd20:2::14 , 10.20.2.14 ");
        merge(
            &mut both,
            json!({ "spec": { "ipFamilyPolicy": "RequireDualStack" } }),
        );
        tenant.service("both", both).await?;
        tenant.shows("both", &["10.20.2.14", "fd20:2::14"]).await?;

        let mut torn = by_key("ferrolb.io/load-balancer-ips", "10.20.2.20");
        merge(&mut torn, json!({ "spec": { "loadBalancerIP": "10.20.2.21" } }));
        let refused = [
            ("torn", torn, "ConflictingRequest", "10.20.2.21"),
            (
                "text",
                by_key("ferrolb.io/load-balancer-ips", "web"),
                "InvalidAddress",
                "web",
            ),
            (
                "nowhere",
                by_key("ferrolb.io/load-balancer-ips", "10.99.0.1"),
                "AddressNotInPool",
                "10.99.0.1",
            ),
            (
                "taken",
                by_key("ferrolb.io/load-balancer-ips", "10.20.2.10"),
                "AddressInUse",
                "asked/field",
            ),
        ];
        for (name, change, reason, word) in refused {
            tenant.service(name, change).await?;
            let message = tenant.is_refused(name, reason).await?;
            ensure!(
                message.contains(word),
                "{name} is refused without the word {word}: {message}"
            );
            tenant.has_events("Service", name, &[["Warning", reason]]).await?;
        }
        // A wish that was refused is granted once it can be.
        tenant.delete("field").await?;
        tenant.shows("taken", &["10.20.2.10"]).await?;
        Ok(())
    })
}

#[test]
fn a_pool_can_be_asked_for_by_every_key_and_may_come_later() -> Result<()> {
    with_tenant("pooled", async |tenant| {
        tenant
            .pool("pooled", json!({ "addresses": ["10.20.3.0/28"] }))
            .await?;
        let keys = [
            "ferrolb.io/address-pool",
            "metallb.io/address-pool",
            "metallb.universe.tf/address-pool",
        ];
        for (number, key) in keys.into_iter().enumerate() {
            let name = format!("s{number}");
            tenant
                .service(&name, json!({ "metadata": { "annotations": { key: "pooled" } } }))
                .await?;
            tenant.shows(&name, &[&format!("10.20.3.{number}")]).await?;
        }
        tenant.service_from("pooled-later", "early").await?;
        let message = tenant.is_refused("early", "PoolNotFound").await?;
        ensure!(message.contains("pooled-later"), "{message}");
        tenant
            .pool("pooled-later", json!({ "addresses": ["10.20.3.16"] }))
            .await?;
        tenant.shows("early", &["10.20.3.16"]).await?;
        let events = [["Warning", "PoolNotFound"], ["Normal", "Assigned"]];
        tenant.has_events("Service", "early", &events).await
    })
}

/// The only test here with pools that lend without being asked.
#[test]
fn whoever_asks_for_nothing_gets_the_first_address_of_the_first_pool_by_name() -> Result<()> {
    with_tenant("automatic", async |tenant| {
        tenant
            .pool(
                "automatic-b",
                json!({ "addresses": ["10.20.4.0/30"], "autoAssign": true }),
            )
            .await?;
        let addresses = json!({ "addresses": ["10.20.4.9", "10.20.4.4/31"], "autoAssign": true });
        tenant.pool("automatic-a", addresses).await?;
        // In the order in which the pool lists them, then the next pool.
        for (number, address) in ["10.20.4.9", "10.20.4.4", "10.20.4.5", "10.20.4.0"]
            .into_iter()
            .enumerate()
        {
            let name = format!("s{number}");
            tenant.service(&name, json!({})).await?;
            tenant.shows(&name, &[address]).await?;
        }
        for pool in ["automatic-a", "automatic-b"] {
            tenant.change_pool(pool, json!({ "autoAssign": false })).await?;
        }
        tenant.service("late", json!({})).await?;
        tenant.is_refused("late", "NoAutoAssignPool").await?;
        Ok(())
    })
}

#[test]
fn node_ports_are_neither_needed_nor_added() -> Result<()> {
    with_tenant("ports", async |tenant| {
        tenant
            .pool("ports", json!({ "addresses": ["10.20.5.0/30"] }))
            .await?;
        tenant.service_from("ports", "without").await?;
        let service = tenant.shows("without", &["10.20.5.0"]).await?;
        let ports = serde_json::to_value(service.spec.context("no spec")?.ports)?;
        ensure!(ports[0].get("nodePort").is_none(), "{ports}");

        let mut change = asking("ports");
        merge(
            &mut change,
            json!({ "spec": { "allocateLoadBalancerNodePorts": true } }),
        );
        tenant.service("with", change).await?;
        let service = tenant.shows("with", &["10.20.5.1"]).await?;
        let ports = serde_json::to_value(service.spec.context("no spec")?.ports)?;
        ensure!(ports[0]["nodePort"].is_number(), "{ports}");
        Ok(())
    })
}

#[test]
fn a_status_that_somebody_changed_is_repaired() -> Result<()> {
    with_tenant("repaired", async |tenant| {
        tenant
            .pool("repaired", json!({ "addresses": ["10.20.6.0/30"] }))
            .await?;
        tenant.service_from("repaired", "web").await?;
        tenant.shows("web", &["10.20.6.0"]).await?;
        let edits = [
            json!({ "loadBalancer": null }),
            json!({ "loadBalancer": { "ingress": [{ "ip": "10.20.6.3" }] } }),
            json!({ "loadBalancer": { "ingress": [{ "hostname": "elsewhere.example" }] } }),
        ];
        for edit in edits {
            tenant.change_status("web", edit).await?;
            tenant.shows("web", &["10.20.6.0"]).await?;
        }
        // A condition of somebody else survives all that.
        let foreign = json!({
            "type": "example.com/Checked", "status": "True", "reason": "Checked", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let service = tenant
            .change_status("web", json!({ "conditions": [foreign] }))
            .await?;
        ensure!(condition(&service).is_none(), "the edit has removed ours");
        eventually(PATIENCE, "our condition is back, beside the other", async || {
            let service = tenant.services().get("web").await?;
            let conditions = service
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let types: BTreeSet<&str> = conditions
                .iter()
                .map(|condition| condition.type_.as_str())
                .collect();
            let wanted = BTreeSet::from(["example.com/Checked", "ferrolb.io/AddressAssigned"]);
            ensure!(types == wanted, "there are {types:?}");
            Ok(())
        })
        .await
    })
}

#[test]
fn a_class_that_is_not_ours_is_never_written_to() -> Result<()> {
    with_tenant("classes", async |tenant| {
        tenant
            .pool("classes", json!({ "addresses": ["10.20.7.0/30"] }))
            .await?;
        let classed = |class: &str| {
            let mut change = asking("classes");
            merge(&mut change, json!({ "spec": { "loadBalancerClass": class } }));
            change
        };
        let foreign = tenant.service("foreign", classed("example.com/other")).await?;
        tenant.service("ours", classed("ferrolb.io/layer2")).await?;
        // Created after it and served: so the controller has seen the foreign one.
        tenant.shows("ours", &["10.20.7.0"]).await?;
        let now = tenant.services().get("foreign").await?;
        assert_eq!(
            now.metadata.resource_version, foreign.metadata.resource_version,
            "it was written to"
        );
        assert_eq!(
            tenant.events("Service", "foreign").await?,
            Vec::<[String; 3]>::new()
        );
        Ok(())
    })
}
