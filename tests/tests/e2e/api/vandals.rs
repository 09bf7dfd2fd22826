//! What strangers write: a status, a condition, an annotation, claims, and another load balancer that
//! writes all the time. It is put right or refused with a reason, and holds up nobody else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::writes::{between, count};
use ferrolb_tests::lab::{clock, eventually};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, Tenant, asking, condition, merge};

/// How long the other load balancer insists.
const INSISTS: Duration = Duration::from_secs(15);

/// How often it looks.
const EVERY: Duration = Duration::from_millis(20);

/// Our writes meanwhile: at first two at once, then after 1, 2, 4 and 8 s, and the conditions that
/// say so.
const PATIENT: u64 = 12;

#[test]
fn what_strangers_write_is_put_right_and_holds_up_nobody() -> Result<()> {
    with_tenant("vandals", async |tenant| {
        tenant
            .pool("vandals", json!({ "addresses": ["10.29.0.0/28"] }))
            .await?;
        tenant
            .pool("vandals-other", json!({ "addresses": ["10.29.0.16/28"] }))
            .await?;
        tenant.service_from("vandals", "web").await?;
        tenant.shows("web", &["10.29.0.0"]).await?;

        for status in [
            json!({ "loadBalancer": null }),
            json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } }),
            json!({ "conditions": null }),
            json!({ "conditions": [{
                "type": "ferrolb.io/AddressAssigned", "status": "False", "reason": "Nonsense",
                "message": "somebody says so", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]}),
        ] {
            tenant.change_status("web", status.clone()).await?;
            is_right(&tenant)
                .await
                .with_context(|| format!("after {status}"))?;
        }
        for from in [Value::Null, json!("elsewhere")] {
            let edit = json!({ "metadata": { "annotations": { "ferrolb.io/allocated-from-pool": from } } });
            tenant.change("web", edit.clone()).await?;
            is_right(&tenant).await.with_context(|| format!("after {edit}"))?;
        }
        let stranger = json!([{ "namespace": "vandals", "name": "nobody", "uid": "no such" }]);
        for spec in [
            json!({ "holders": null }),
            json!({ "holders": stranger }),
            json!({ "state": null }),
            json!({ "state": "Quarantined" }),
            json!({ "state": "Releasing", "holders": null, "lastHolder": { "namespace": "vandals", "name": "x" } }),
            json!({ "pool": "vandals-other" }),
            json!({ "pool": null, "stateSince": null, "heldBy": "everybody" }),
        ] {
            let patch = Patch::Merge(json!({ "spec": spec }));
            let claims = tenant.claims();
            claims.patch("10.29.0.0", &PatchParams::default(), &patch).await?;
            is_right(&tenant).await.with_context(|| format!("after {spec}"))?;
        }
        tenant
            .claims()
            .delete("10.29.0.0", &DeleteParams::default())
            .await?;
        is_right(&tenant).await.context("after its claim was deleted")?;

        let mistakes = make_mistakes(&tenant).await?;
        // They hold up nobody, and are cleared away.
        tenant.service_from("vandals", "next").await?;
        eventually(PATIENCE, "another Service is served", async || {
            let next = tenant.services().get("next").await?;
            let said = condition(&next).context("no condition")?;
            ensure!(said.status == "True", "{said:?}");
            Ok(())
        })
        .await?;
        for address in mistakes {
            eventually(
                PATIENCE,
                &format!("the claim of {address} is put right"),
                async || {
                    let holder = tenant.claim(&address).await?.map(|claim| claim.spec.held_by);
                    ensure!(
                        holder.is_none() || holder == Some(Some("vandals/next".to_owned())),
                        "it is held by {holder:?}"
                    );
                    Ok(())
                },
            )
            .await?;
        }
        is_right(&tenant).await
    })
}

/// The Service shows its address, and everything about it says so.
async fn is_right(tenant: &Tenant) -> Result<()> {
    eventually(PATIENCE, "everything is as it was", async || {
        let service = tenant.services().get("web").await?;
        let shown = super::tenant::shown(&service);
        ensure!(
            shown == json!([{ "ip": "10.29.0.0", "ipMode": "VIP" }]),
            "it shows {shown}"
        );
        let said = condition(&service).context("no condition")?;
        ensure!(said.status == "True" && said.reason == "Assigned", "{said:?}");
        let annotations = service.metadata.annotations.clone().unwrap_or_default();
        let from = annotations.get("ferrolb.io/allocated-from-pool");
        ensure!(from.is_some_and(|pool| pool == "vandals"), "{from:?}");
        let claim = tenant.claim("10.29.0.0").await?.context("no claim")?;
        let spec = serde_json::to_value(&claim.spec)?;
        ensure!(
            spec["state"] == "Held" && spec["heldBy"] == "vandals/web" && spec["pool"] == "vandals",
            "{spec}"
        );
        ensure!(spec["holders"][0]["uid"] == json!(service.metadata.uid), "{spec}");
        Ok(())
    })
    .await
}

/// Claims that a person makes by mistake; their addresses.
async fn make_mistakes(tenant: &Tenant) -> Result<Vec<String>> {
    let holder = |name: &str| json!([{ "namespace": "vandals", "name": name, "uid": "no such" }]);
    let specs = [
        json!({ "pool": "vandals-other", "state": "Held", "holders": holder("nobody") }),
        json!({ "pool": "no-such-pool", "state": "Held", "holders": holder("web") }),
        json!({ "pool": "vandals", "state": "Held" }),
        json!({ "pool": "vandals", "holders": holder("nobody") }),
        json!({ "pool": "vandals", "state": "Quarantined", "holders": holder("nobody") }),
        json!({ "pool": "vandals", "state": "Quarantined", "stateSince": "2099-01-01T00:00:00Z" }),
        json!({ "pool": "vandals", "state": "Releasing", "lastHolder": { "namespace": "x", "name": "y" } }),
        json!({}),
    ];
    let mut addresses = Vec::new();
    for (number, spec) in specs.into_iter().enumerate() {
        let address = format!("10.29.0.{}", number + 1);
        let mut claim = json!({
            "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
            "metadata": { "name": address }, "spec": { "address": address },
        });
        merge(&mut claim, json!({ "spec": spec }));
        let claim = serde_json::from_value(claim)?;
        tenant.claims().create(&PostParams::default(), &claim).await?;
        addresses.push(address);
    }
    let misnamed = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": { "name": "10.29.0.14" }, "spec": { "address": "10.29.0.15" },
    });
    let misnamed = serde_json::from_value(misnamed)?;
    let refused = tenant.claims().create(&PostParams::default(), &misnamed).await;
    ensure!(
        refused.is_err(),
        "a claim with another name than its address is taken"
    );
    Ok(addresses)
}

#[test]
fn another_load_balancer_that_insists_is_named_and_not_raced() -> Result<()> {
    with_tenant("contested", async |tenant| {
        tenant
            .pool("contested", json!({ "addresses": ["10.29.1.0/30"] }))
            .await?;
        let theirs = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.7", "ipMode": "VIP" }] } });
        tenant.service("web", asking("contested")).await?;
        tenant.shows("web", &["10.29.1.0"]).await?;

        let before = count(&tenant.client).await?;
        let mut rival = 0;
        let began = clock::now();
        let mut named = None;
        while began.elapsed() < INSISTS {
            let service = tenant.services().get("web").await?;
            let said = condition(&service).context("no condition")?;
            if said.reason == "StatusContested" {
                named = Some(said.message);
            }
            if super::tenant::shown(&service)[0]["ip"] != "203.0.113.7" {
                tenant.change_status("web", theirs.clone()).await?;
                rival += 1;
            }
            // The pace of its load, and no wait: it has no end but the time.
            tokio::time::sleep(EVERY).await;
        }
        let after = count(&tenant.client).await?;
        let patches = between(&before, &after);
        let patches = patches.get("PATCH services/status").copied().unwrap_or(0);
        let ours = patches.saturating_sub(rival);
        println!("in {INSISTS:?} the rival wrote {rival} times, we {ours} times");
        ensure!(rival >= 3, "the rival wrote {rival} times");
        ensure!(ours <= PATIENT, "we wrote {ours} times: {patches} less {rival}");
        let message = named.context("nobody was named")?;
        ensure!(message.contains("somebody-else"), "{message}");
        // It has given up: ours stands again.
        tenant.shows("web", &["10.29.1.0"]).await?;
        Ok(())
    })
}
