//! Each reason why a Service does not have what it wants: provoked, and read in the condition, the Event and
//! the metric, which say the same word.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_core::reason::Refused;
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{Lab, eventually};
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
        ("10.30.0.7", Some("reserved-in-two")),
        ("fd30:1::", Some("reserved-in-two")),
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

/// A reason, the Service that provokes it, what it wants, and what it is told.
type Case = (Refused, &'static str, Value, &'static str);

/// Services and why each is refused.
fn refused() -> Vec<Case> {
    vec![
        (
            Refused::InvalidAddress,
            "nonsense",
            addresses("ten"),
            "the load-balancer-ips annotation says \"ten\", which is no address: write one address per family",
        ),
        (
            Refused::ConflictingRequest,
            "torn",
            with(
                addresses("10.30.0.1"),
                json!({ "spec": { "loadBalancerIP": "10.30.0.6" } }),
            ),
            "spec.loadBalancerIP asks for 10.30.0.6 and the load-balancer-ips annotation for 10.30.0.1: \
             remove one of them",
        ),
        (
            Refused::FamilyMismatch,
            "mismatch",
            addresses("fd30:1::1"),
            "The addresses asked for are IPv6, the Service is IPv4: ask for one address of each of its families",
        ),
        (
            Refused::PoolNotFound,
            "no-such-pool",
            asking("nowhere"),
            "The Service asks for pool nowhere, which does not exist: there are pools broken, dual, full, \
             main, quota, theirs",
        ),
        (
            Refused::NoAutoAssignPool,
            "unasked",
            json!({}),
            "No pool lends without being asked for (pools broken, dual, full, main, quota, theirs with \
             autoAssign: false): ask for a pool by annotation",
        ),
        (
            Refused::NotAdmitted,
            "not-admitted",
            asking("theirs"),
            "The Service asks for pool theirs, but pool theirs is not for namespace reasons",
        ),
        (
            Refused::AddressNotInPool,
            "nowhere",
            addresses("10.99.0.1"),
            "The Service asks for 10.99.0.1, which no pool lends (tried pools broken, dual, full, main, \
             quota, theirs): ask for another, or add it to a pool",
        ),
        (
            Refused::AddressInOtherPool,
            "other-pool",
            with(asking("main"), addresses("10.30.1.0")),
            "The Service asks for 10.30.1.0 and for pool main, but the address is in pool dual",
        ),
        (
            Refused::AddressesInTwoPools,
            "two-pools",
            with(addresses("10.30.0.1,fd30:1::1"), both_families()),
            "The addresses asked for lie in two pools (10.30.0.1 in pool main, fd30:1::1 in pool dual): ask \
             for two of one pool",
        ),
        (
            Refused::AddressesInTwoPools,
            "reserved-in-two",
            both_families(),
            "10.30.0.7 and fd30:1:: are reserved for the Service, and lie in two pools: reserve two addresses \
             of one pool",
        ),
        (
            Refused::AddressInUse,
            "in-use",
            addresses("10.30.0.0"),
            "The Service asks for 10.30.0.0, which is held by reasons/holder",
        ),
        (
            Refused::AddressReserved,
            "reserved",
            addresses("10.30.0.2"),
            "The Service asks for 10.30.0.2, which is reserved for nobody: its AddressClaim keeps it from \
             everybody",
        ),
        (
            Refused::SeveralReservations,
            "several",
            asking("main"),
            "10.30.0.4 and 10.30.0.5 are reserved for the Service, and it can have one IPv4 address: take it \
             out of reservedFor of all but one AddressClaim",
        ),
        (
            Refused::ReservationOutsidePool,
            "outside",
            asking("main"),
            "10.99.9.9 is reserved for the Service, but no pool lends it (tried pools broken, dual, full, \
             main, quota, theirs): add it to a pool, or delete the AddressClaim",
        ),
        (
            Refused::RequestOverridden,
            "overridden",
            addresses("10.30.0.6"),
            "The Service asks for 10.30.0.6, but has what is reserved for it: 10.30.0.3",
        ),
        (
            Refused::SharingRefused,
            "unshared",
            with(addresses("10.30.0.0"), sharing("k")),
            "The Service asks for 10.30.0.0, which is held by reasons/holder, which uses TCP/80 too",
        ),
        (
            Refused::PoolExhausted,
            "exhausted",
            asking("full"),
            "No IPv4 address: pool full has none free",
        ),
        (
            Refused::QuotaExceeded,
            "over-quota",
            asking("quota"),
            "No IPv4 address: pool quota lends a namespace at most 1 address (allocation.maxPerNamespace), \
             and none is left for reasons",
        ),
        (
            Refused::NoDualStackPool,
            "no-dual",
            with(asking("main"), both_families()),
            "No IPv4 and IPv6 address together: pool main has no IPv6 addresses",
        ),
        (
            Refused::PoolInvalid,
            "invalid-pool",
            asking("broken"),
            "No IPv4 address: pool broken lends nothing new until it is corrected: spec.exclude[0]: the range \
             \"fd30::9-fd30::1\" is backwards: its first address is above its last, so swap them",
        ),
    ]
}

/// A Service that requires two families and has a cluster IP of one. An API server of two families would give it
/// two, one of one family would refuse it: only the upgrade of a cluster leaves one.
async fn store_single(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let mut service = tenant.services().get("holder").await?;
    service.metadata.name = Some("single".to_owned());
    service.metadata.uid = Some("00000000-0000-4000-8000-000000000001".to_owned());
    service.metadata.resource_version = None;
    service.metadata.managed_fields = None;
    service.metadata.annotations = None;
    service.status = None;
    let spec = service.spec.as_mut().context("a spec")?;
    let cluster_ip = "10.96.255.250".to_owned();
    spec.cluster_ips = Some(vec![cluster_ip.clone()]);
    spec.cluster_ip = Some(cluster_ip);
    spec.ip_family_policy = Some("RequireDualStack".to_owned());
    lab.store_service(&service).await
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

async fn is_told(
    tenant: &Tenant,
    controller: &Controller,
    (reason, name): (Refused, &str),
    wanted: &str,
) -> Result<()> {
    let message = match reason {
        Refused::RequestOverridden => tenant.keeps(name, &["10.30.0.3"], reason.as_str()).await?,
        // Whether it is shown depends on who wrote last.
        Refused::StatusContested => tenant.is_told(name, reason.as_str(), None).await?,
        _ => tenant.is_refused(name, reason.as_str()).await?,
    };
    ensure!(message == wanted, "it is told {message:?} and not {wanted:?}");
    is_counted(controller, reason).await?;
    eventually(PATIENCE, &format!("an Event tells {name} {reason}"), async || {
        let events = tenant.events("Service", name).await?;
        let warned = events
            .iter()
            .filter(|[kind, word, _]| kind == "Warning" && word == reason.as_str());
        let notes: Vec<&str> = warned.map(|[_, _, note]| note.as_str()).collect();
        ensure!(notes == [wanted], "it has {events:?}");
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
    for (reason, name, change, message) in refused() {
        tenant.service(name, change).await?;
        is_told(&tenant, controller, (reason, name), message)
            .await
            .with_context(|| name.to_owned())?;
        seen.insert(reason);
    }

    // Another load balancer takes it back each time.
    let theirs = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.7", "ipMode": "VIP" }] } });
    tenant.service("contested", addresses("10.30.0.1")).await?;
    for _ in 0..3 {
        tenant.shows("contested", &["10.30.0.1"]).await?;
        tenant.change_status("contested", theirs.clone()).await?;
    }
    let contested = (Refused::StatusContested, "contested");
    let message = "somebody-else keeps changing status.loadBalancer back: let one of the two load balancers ignore \
                   this Service";
    is_told(&tenant, controller, contested, message).await?;
    seen.insert(Refused::StatusContested);

    store_single(&lab, &tenant).await?;
    let single = (Refused::SingleClusterIp, "single");
    let message = "ipFamilyPolicy is RequireDualStack, but the Service has a cluster IP of IPv4 only";
    is_told(&tenant, controller, single, message).await?;
    seen.insert(Refused::SingleClusterIp);

    // Without any pool, whoever had an address is told so.
    tenant
        .pools()
        .delete_collection(&DeleteParams::default(), &Default::default())
        .await?;
    let no_pool = (Refused::NoPool, "holder");
    is_told(
        &tenant,
        controller,
        no_pool,
        "There is no AddressPool: create one",
    )
    .await?;
    seen.insert(Refused::NoPool);

    let unseen: Vec<Refused> = Refused::ALL
        .into_iter()
        .filter(|reason| !seen.contains(reason))
        .collect();
    ensure!(unseen.is_empty(), "nobody provokes {unseen:?}");
    Ok(())
}
