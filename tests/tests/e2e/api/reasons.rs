//! Each reason why a Service does not have what it wants: provoked, and read in the condition, the Event and
//! the metric, which say the same word.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_core::reason::Refused;
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::product::Controller;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking, merge};

/// A wish for addresses.
fn addresses(text: &str) -> Value {
    json!({ "metadata": { "annotations": { "ferrolb.io/load-balancer-ips": text } } })
}

fn with(mut base: Value, change: Value) -> Value {
    merge(&mut base, change);
    base
}

fn both_families() -> Value {
    json!({ "spec": { "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] } })
}

fn sharing(key: &str) -> Value {
    json!({ "metadata": { "annotations": { "ferrolb.io/sharing-key": key } } })
}

/// What a person reserves, for a Service or for nobody.
async fn reserve(tenant: &Tenant, address: &str, service: Option<&str>) -> Result<()> {
    let reserved_for: Vec<Value> = service
        .into_iter()
        .map(|name| json!({ "namespace": tenant.namespace, "name": name }))
        .collect();
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": { "name": claim_name(address.parse()?) },
        "spec": { "address": address, "reserved": true, "reservedFor": reserved_for },
    });
    tenant
        .claims()
        .create(&PostParams::default(), &serde_json::from_value(claim)?)
        .await?;
    Ok(())
}

/// Pools, reservations, and Services that have what the refused ones want.
async fn prepare(tenant: &Tenant) -> Result<()> {
    let pools = [
        ("main", json!({ "addresses": ["10.30.0.0/29"] })),
        ("dual", json!({ "addresses": ["10.30.1.0/31", "fd30:1::/127"] })),
        ("full", json!({ "addresses": ["10.30.2.0/32"] })),
        (
            "theirs",
            json!({ "addresses": ["10.30.3.0/30"], "allocation": { "namespaces": ["elsewhere"] } }),
        ),
        (
            "quota",
            json!({ "addresses": ["10.30.4.0/30"], "allocation": { "maxPerNamespace": 1 } }),
        ),
        // Backwards, which the API server cannot see in IPv6.
        (
            "broken",
            json!({ "addresses": ["10.30.5.0/30"], "exclude": ["fd30::9-fd30::1"] }),
        ),
    ];
    for (name, spec) in pools {
        tenant.pool(name, spec).await?;
    }
    for (address, service) in [
        ("10.30.0.2", None),
        ("10.30.0.3", Some("overridden")),
        ("10.30.0.4", Some("several")),
        ("10.30.0.5", Some("several")),
        ("10.99.9.9", Some("outside")),
    ] {
        reserve(tenant, address, service).await?;
    }
    tenant
        .service("holder", with(addresses("10.30.0.0"), sharing("k")))
        .await?;
    tenant.shows("holder", &["10.30.0.0"]).await?;
    for pool in ["full", "quota"] {
        tenant.service_from(pool, &format!("has-{pool}")).await?;
        tenant
            .shows(
                &format!("has-{pool}"),
                &[if pool == "full" { "10.30.2.0" } else { "10.30.4.0" }],
            )
            .await?;
    }
    Ok(())
}

/// Services and why each is refused.
fn refused() -> Vec<(Refused, &'static str, Value)> {
    vec![
        (Refused::InvalidAddress, "nonsense", addresses("ten")),
        (
            Refused::ConflictingRequest,
            "torn",
            with(
                addresses("10.30.0.1"),
                json!({ "spec": { "loadBalancerIP": "10.30.0.6" } }),
            ),
        ),
        (Refused::FamilyMismatch, "mismatch", addresses("fd30:1::1")),
        (Refused::PoolNotFound, "no-such-pool", asking("nowhere")),
        (Refused::NoAutoAssignPool, "unasked", json!({})),
        (Refused::NotAdmitted, "not-admitted", asking("theirs")),
        (Refused::AddressNotInPool, "nowhere", addresses("10.99.0.1")),
        (
            Refused::AddressInOtherPool,
            "other-pool",
            with(asking("main"), addresses("10.30.1.0")),
        ),
        (
            Refused::AddressesInTwoPools,
            "two-pools",
            with(addresses("10.30.0.1,fd30:1::1"), both_families()),
        ),
        (Refused::AddressInUse, "in-use", addresses("10.30.0.0")),
        (Refused::AddressReserved, "reserved", addresses("10.30.0.2")),
        (Refused::SeveralReservations, "several", asking("main")),
        (Refused::ReservationOutsidePool, "outside", asking("main")),
        (Refused::RequestOverridden, "overridden", addresses("10.30.0.6")),
        (
            Refused::SharingRefused,
            "unshared",
            with(addresses("10.30.0.0"), sharing("k")),
        ),
        (Refused::PoolExhausted, "exhausted", asking("full")),
        (Refused::QuotaExceeded, "over-quota", asking("quota")),
        (
            Refused::NoDualStackPool,
            "no-dual",
            with(asking("main"), both_families()),
        ),
        (Refused::PoolInvalid, "invalid-pool", asking("broken")),
    ]
}

/// Waits until the metric counts somebody who is refused for this reason.
async fn is_counted(controller: &Controller, reason: Refused) -> Result<()> {
    let series = format!("ferrolb_controller_services_refused{{reason=\"{reason}\"}} ");
    eventually(PATIENCE, &format!("{reason} is counted"), async || {
        let metrics = controller.admin("/metrics").await?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        let count: u64 = line.context("no such series")?.parse()?;
        ensure!(count > 0, "nobody");
        Ok(())
    })
    .await
}

async fn is_told(tenant: &Tenant, controller: &Controller, reason: Refused, name: &str) -> Result<()> {
    match reason {
        Refused::RequestOverridden => tenant.keeps(name, &["10.30.0.3"], reason.as_str()).await?,
        // Whether it is shown depends on who wrote last.
        Refused::StatusContested => tenant.is_told(name, reason.as_str(), None).await?,
        _ => tenant.is_refused(name, reason.as_str()).await?,
    };
    is_counted(controller, reason).await?;
    eventually(PATIENCE, &format!("an Event tells {name} {reason}"), async || {
        let events = tenant.events("Service", name).await?;
        let warned = events
            .iter()
            .filter(|[kind, word, _]| kind == "Warning" && word == reason.as_str());
        ensure!(warned.count() == 1, "it has {events:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_is_provoked_and_said_alike_by_condition_event_and_metric() -> Result<()> {
    let (lab, controllers) = start_with(1, &[]).await?;
    let controller = controllers.first().context("a controller")?;
    let tenant = Tenant::new(&lab, "reasons").await?;
    prepare(&tenant).await?;
    let mut seen = BTreeSet::new();
    for (reason, name, change) in refused() {
        tenant.service(name, change).await?;
        is_told(&tenant, controller, reason, name)
            .await
            .with_context(|| name.to_owned())?;
        seen.insert(reason);
    }

    // Another load balancer takes it back each time.
    tenant.service("contested", addresses("10.30.0.1")).await?;
    for _ in 0..3 {
        tenant.shows("contested", &["10.30.0.1"]).await?;
        tenant
            .change_status("contested", json!({ "loadBalancer": null }))
            .await?;
    }
    is_told(&tenant, controller, Refused::StatusContested, "contested").await?;
    seen.insert(Refused::StatusContested);

    // Without any pool, whoever had an address is told so.
    tenant
        .pools()
        .delete_collection(&DeleteParams::default(), &Default::default())
        .await?;
    is_told(&tenant, controller, Refused::NoPool, "holder").await?;
    seen.insert(Refused::NoPool);

    let unseen: Vec<Refused> = Refused::ALL
        .into_iter()
        .filter(|reason| !seen.contains(reason))
        .collect();
    // An API server of two families gives RequireDualStack two cluster IPs, one of one family refuses it: only
    // an upgrade shows a Service without.
    ensure!(unseen == [Refused::SingleClusterIp], "nobody provokes {unseen:?}");
    Ok(())
}
