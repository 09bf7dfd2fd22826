//! Claims that a person makes: an address for some Services alone, or for nobody.

use anyhow::{Context, Result, ensure};
use ferrolb_crds::AddressClaim;
use ferrolb_tests::lab::eventually;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, Tenant};

/// Makes a claim that says only for whom its address is reserved.
async fn reserve(tenant: &Tenant, address: &str, names: &[&str]) -> Result<AddressClaim> {
    let names = names
        .iter()
        .map(|name| json!({ "namespace": tenant.namespace, "name": name }));
    let mut spec = json!({ "address": address, "reserved": true });
    if names.len() > 0 {
        spec["reservedFor"] = names.collect();
    }
    create(tenant, address, spec).await
}

async fn create(tenant: &Tenant, name: &str, spec: Value) -> Result<AddressClaim> {
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim", "metadata": { "name": name }, "spec": spec,
    });
    let claim = serde_json::from_value(claim)?;
    Ok(tenant.claims().create(&PostParams::default(), &claim).await?)
}

/// Waits until nothing is left in a claim but what its person wrote.
async fn is_only_reserved(tenant: &Tenant, written: &AddressClaim) -> Result<()> {
    let address = written.spec.address.clone();
    eventually(PATIENCE, &format!("{address} is only reserved"), async || {
        let claim = tenant.claim(&address).await?.context("the reservation is gone")?;
        ensure!(claim.metadata.uid == written.metadata.uid, "it is another claim");
        ensure!(claim.spec == written.spec, "it says {:?}", claim.spec);
        Ok(())
    })
    .await
}

#[test]
fn a_reservation_gives_its_address_to_whom_it_is_for_and_outlives_it() -> Result<()> {
    with_tenant("reserved", async |tenant| {
        let spec = json!({ "addresses": ["10.47.0.0/29"] });
        tenant.pool("reserved", spec).await?;
        let written = reserve(&tenant, "10.47.0.0", &["web"]).await?;
        let blocked = reserve(&tenant, "10.47.0.1", &[]).await?;
        tenant.service_from("reserved", "other").await?;
        tenant.shows("other", &["10.47.0.2"]).await?;
        for _ in 0..2 {
            // It does not ask for the pool, which lends only when asked.
            tenant.service("web", json!({})).await?;
            tenant.shows("web", &["10.47.0.0"]).await?;
            let claim = tenant.claim_is("10.47.0.0", "Held").await?;
            ensure!(
                claim.spec.reserved,
                "the reservation stays in the claim: {:?}",
                claim.spec
            );
            assert_eq!(claim.spec.reserved_for, written.spec.reserved_for);
            tenant.delete("web").await?;
            is_only_reserved(&tenant, &written).await?;
        }
        is_only_reserved(&tenant, &blocked).await?;
        let counts = json!({ "total": 8, "assigned": 1, "reserved": 2, "quarantined": 0, "available": 5 });
        eventually(PATIENCE, "the pool counts what is reserved", async || {
            let pool = tenant.pools().get("reserved").await?;
            let status = serde_json::to_value(pool.status)?;
            ensure!(status["capacity"]["ipv4"] == counts, "it says {status}");
            Ok(())
        })
        .await
    })
}

#[test]
fn a_reservation_that_reserves_nothing_is_explained() -> Result<()> {
    with_tenant("misplaced", async |tenant| {
        tenant
            .pool("misplaced", json!({ "addresses": ["10.47.1.0/29"] }))
            .await?;
        let outside = reserve(&tenant, "10.47.99.9", &["lost"]).await?;
        tenant.service_from("misplaced", "lost").await?;
        let message = tenant.is_refused("lost", "ReservationOutsidePool").await?;
        ensure!(
            message.starts_with("10.47.99.9 is reserved for the Service, but no pool lends it"),
            "{message}"
        );
        eventually(PATIENCE, "the person is told", async || {
            let events: Api<Event> = Api::namespaced(tenant.client.clone(), "default");
            let events = events.list(&ListParams::default()).await?.items;
            let about = events.iter().filter(|event| {
                event
                    .regarding
                    .as_ref()
                    .is_some_and(|regarding| regarding.uid == outside.metadata.uid)
            });
            let told: Vec<_> = about.map(|event| event.reason.as_deref()).collect();
            ensure!(told == [Some("ReservationOutsidePool")], "{told:?}");
            Ok(())
        })
        .await?;
        let params = DeleteParams::default();
        tenant.claims().delete("10.47.99.9", &params).await?;
        tenant.shows("lost", &["10.47.1.0"]).await?;

        for address in ["10.47.1.3", "10.47.1.4"] {
            reserve(&tenant, address, &["twice"]).await?;
        }
        tenant.service_from("misplaced", "twice").await?;
        let message = tenant.is_refused("twice", "SeveralReservations").await?;
        ensure!(
            message.starts_with("10.47.1.3 and 10.47.1.4 are reserved for the Service"),
            "{message}"
        );
        tenant.claims().delete("10.47.1.3", &params).await?;
        tenant.shows("twice", &["10.47.1.4"]).await?;

        // It asks for another, and is told why it does not get that.
        let ask = json!({ "metadata": { "annotations": { "ferrolb.io/load-balancer-ips": "10.47.1.6" } } });
        tenant.change("twice", ask).await?;
        let message = tenant.keeps("twice", &["10.47.1.4"], "RequestOverridden").await?;
        assert_eq!(
            message,
            "The Service asks for 10.47.1.6, but has what is reserved for it: 10.47.1.4"
        );

        let spec = json!({ "address": "10.47.1.5", "reserved": true });
        let error = create(&tenant, "web", spec)
            .await
            .err()
            .context("a name that is no address")?;
        ensure!(
            error
                .to_string()
                .contains("the name \"web\" is not that of address \"10.47.1.5\""),
            "{error}"
        );
        Ok(())
    })
}
