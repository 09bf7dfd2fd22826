//! What the status of a pool says: how much is left, and what is wrong.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::shared::with_tenant;
use super::tenant::{PATIENCE, Tenant, asking, condition, merge, shown};

async fn status(tenant: &Tenant, pool: &str) -> Result<Value> {
    let pool = tenant.pools().get(pool).await?;
    Ok(serde_json::to_value(pool.status.context("it has no status")?)?)
}

/// Waits until a pool says for each family how many addresses it has, how many are lent, and how
/// many it could lend.
async fn counts(tenant: &Tenant, pool: &str, wanted: [[u64; 3]; 2]) -> Result<()> {
    eventually(PATIENCE, &format!("pool {pool} counts {wanted:?}"), async || {
        let status = status(tenant, pool).await?;
        let count = |family: &str| {
            ["total", "assigned", "available"].map(|word| status["capacity"][family][word].as_u64())
        };
        let counted = [count("ipv4"), count("ipv6")];
        ensure!(
            counted == wanted.map(|numbers| numbers.map(Some)),
            "it says {status}"
        );
        Ok(())
    })
    .await
}

/// Waits until a condition of a pool has this status, and returns its message.
async fn says(tenant: &Tenant, pool: &str, kind: &str, wanted: &str) -> Result<String> {
    eventually(
        PATIENCE,
        &format!("{kind} of pool {pool} is {wanted}"),
        async || {
            let status = status(tenant, pool).await?;
            let conditions = status["conditions"].as_array().context("it has no conditions")?;
            let condition = conditions.iter().find(|condition| condition["type"] == kind);
            let condition = condition.with_context(|| format!("it has no {kind}: {status}"))?;
            ensure!(condition["status"] == wanted, "it says {condition}");
            Ok(condition["message"].as_str().unwrap_or_default().to_owned())
        },
    )
    .await
}

/// The reason of a condition of a pool.
async fn reason_of(tenant: &Tenant, pool: &str, kind: &str) -> Result<String> {
    let status = status(tenant, pool).await?;
    let conditions = status["conditions"].as_array().context("it has no conditions")?;
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    let reason = condition.and_then(|condition| condition["reason"].as_str());
    Ok(reason
        .with_context(|| format!("it has no {kind}: {status}"))?
        .to_owned())
}

#[test]
fn a_pool_counts_what_it_has_lent() -> Result<()> {
    with_tenant("counted", async |tenant| {
        let spec = json!({ "addresses": ["10.22.0.0/30", "fd22::/126"], "quarantine": "3s" });
        tenant.pool("counted", spec).await?;
        counts(&tenant, "counted", [[4, 0, 4], [4, 0, 4]]).await?;
        let mut both = asking("counted");
        merge(
            &mut both,
            json!({ "spec": { "ipFamilyPolicy": "RequireDualStack" } }),
        );
        tenant.service("web", both).await?;
        counts(&tenant, "counted", [[4, 1, 3], [4, 1, 3]]).await?;
        let larger = json!({ "addresses": ["10.22.0.0/29", "fd22::/125"] });
        tenant.change_pool("counted", larger).await?;
        counts(&tenant, "counted", [[8, 1, 7], [8, 1, 7]]).await?;
        tenant.delete("web").await?;
        // Both rest before they can be lent again.
        counts(&tenant, "counted", [[8, 0, 7], [8, 0, 7]]).await?;
        for address in ["10.22.0.0", "fd22::"] {
            tenant.claim_is(address, "Quarantined").await?;
        }
        counts(&tenant, "counted", [[8, 0, 8], [8, 0, 8]]).await?;
        // Somebody meddles.
        let patch = Patch::Merge(json!({ "status": { "capacity": { "ipv4": { "available": 3 } } } }));
        tenant
            .pools()
            .patch_status("counted", &Default::default(), &patch)
            .await?;
        counts(&tenant, "counted", [[8, 0, 8], [8, 0, 8]]).await?;
        let printed = tenant.pools().get("counted").await?;
        ensure!(
            printed.metadata.generation == Some(2),
            "only people write its spec: {:?}",
            printed.metadata
        );
        Ok(())
    })
}

#[test]
fn an_entry_that_only_the_controller_can_refuse_is_named() -> Result<()> {
    with_tenant("invalid", async |tenant| {
        // Backwards, which CEL cannot see for IPv6.
        let backwards = "fd22:1::9-fd22:1::1";
        tenant
            .pool("invalid", json!({ "addresses": [backwards, "10.22.1.0/31"] }))
            .await?;
        let message = says(&tenant, "invalid", "Ready", "False").await?;
        ensure!(
            message.contains("addresses[0]") && message.contains(backwards),
            "which entry it is: {message}"
        );
        let events = [["Warning", "InvalidEntry"]];
        default_events(&tenant, "invalid", &events).await?;

        // The entries that mean something lend.
        tenant.service_from("invalid", "v4").await?;
        tenant.shows("v4", &["10.22.1.0"]).await?;
        let mut v6 = asking("invalid");
        merge(&mut v6, json!({ "spec": { "ipFamilies": ["IPv6"] } }));
        tenant.service("v6", v6).await?;
        tenant.is_refused("v6", "PoolExhausted").await?;

        let corrected = json!({ "addresses": ["fd22:1::1-fd22:1::9", "10.22.1.0/31"] });
        tenant.change_pool("invalid", corrected).await?;
        says(&tenant, "invalid", "Ready", "True").await?;
        tenant.shows("v6", &["fd22:1::1"]).await?;
        tenant.shows("v4", &["10.22.1.0"]).await?;
        default_events(
            &tenant,
            "invalid",
            &[["Warning", "InvalidEntry"], ["Normal", "Valid"]],
        )
        .await
    })
}

#[test]
fn two_pools_with_one_address_name_each_other() -> Result<()> {
    with_tenant("overlap", async |tenant| {
        tenant
            .pool("overlap-z", json!({ "addresses": ["10.22.2.0/30"] }))
            .await?;
        says(&tenant, "overlap-z", "Overlap", "False").await?;
        // Ages are whole seconds: the second one must be younger, as its name comes first.
        let older = tenant.pools().get("overlap-z").await?.metadata.creation_timestamp;
        eventually(PATIENCE, "a younger pool", async || {
            let younger = tenant
                .pool("overlap-a", json!({ "addresses": ["10.22.2.2/31", "10.22.2.8"] }))
                .await?;
            if younger.metadata.creation_timestamp <= older {
                tenant.pools().delete("overlap-a", &Default::default()).await?;
                anyhow::bail!("it has the same age");
            }
            Ok(())
        })
        .await?;
        for (pool, other) in [("overlap-a", "overlap-z"), ("overlap-z", "overlap-a")] {
            let message = says(&tenant, pool, "Overlap", "True").await?;
            ensure!(message.contains(other), "{pool} names {other}: {message}");
        }
        default_events(&tenant, "overlap-z", &[["Warning", "Overlap"]]).await?;
        // The older pool has the common addresses.
        tenant.service_from("overlap-a", "younger").await?;
        tenant.shows("younger", &["10.22.2.8"]).await?;
        counts(&tenant, "overlap-z", [[4, 0, 4], [0, 0, 0]]).await?;
        counts(&tenant, "overlap-a", [[1, 1, 0], [0, 0, 0]]).await?;

        tenant
            .change_pool("overlap-z", json!({ "addresses": ["10.22.2.0/31"] }))
            .await?;
        for pool in ["overlap-a", "overlap-z"] {
            says(&tenant, pool, "Overlap", "False").await?;
        }
        counts(&tenant, "overlap-a", [[3, 1, 2], [0, 0, 0]]).await
    })
}

#[test]
fn a_pool_over_a_nodes_address_is_told_and_lends_all_the_same() -> Result<()> {
    with_tenant("node-address", async |tenant| {
        tenant
            .pool("node-address", json!({ "addresses": ["10.22.3.0/31"] }))
            .await?;
        says(&tenant, "node-address", "Overlap", "False").await?;
        let nodes: Api<Node> = Api::all(tenant.client.clone());
        let node = json!({ "metadata": { "name": "node-address" } });
        nodes
            .create(&Default::default(), &serde_json::from_value(node)?)
            .await?;
        let addresses = json!([
            { "type": "InternalIP", "address": "10.22.3.1" },
            { "type": "InternalIP", "address": "10.22.99.1" },
        ]);
        let status = Patch::Merge(json!({ "status": { "addresses": addresses } }));
        nodes
            .patch_status("node-address", &Default::default(), &status)
            .await?;

        let message = says(&tenant, "node-address", "Overlap", "True").await?;
        assert_eq!(
            message,
            "The pool lists 10.22.3.1, the address of Node node-address: exclude what is a Node's own, or two hosts \
             answer for it"
        );
        assert_eq!(
            reason_of(&tenant, "node-address", "Overlap").await?,
            "NodeAddress"
        );
        let warned = ["Warning", "NodeAddress"];
        default_events(&tenant, "node-address", &[warned]).await?;
        for (name, address) in [("s0", "10.22.3.0"), ("s1", "10.22.3.1")] {
            tenant.service_from("node-address", name).await?;
            tenant.shows(name, &[address]).await?;
        }

        nodes.delete("node-address", &Default::default()).await?;
        says(&tenant, "node-address", "Overlap", "False").await?;
        assert_eq!(reason_of(&tenant, "node-address", "Overlap").await?, "NoOverlap");
        default_events(&tenant, "node-address", &[warned, ["Normal", "NoOverlap"]]).await
    })
}

/// Waits until a Service and the claim of its address say that this pool lends it.
async fn is_from(tenant: &Tenant, pool: &str, name: &str, address: &str) -> Result<Service> {
    eventually(
        PATIENCE,
        &format!("{name} has {address} from {pool}"),
        async || {
            let service = tenant.shows(name, &[address]).await?;
            let said = condition(&service).context("no condition")?;
            ensure!(
                said.message == format!("{address} from pool {pool}"),
                "it says {said:?}"
            );
            let annotation = service.annotations().get("ferrolb.io/allocated-from-pool");
            ensure!(
                annotation.is_some_and(|named| named == pool),
                "it is annotated {annotation:?}"
            );
            let claim = tenant.claim(address).await?.context("no claim")?;
            let label = claim.labels().get("ferrolb.io/pool").map(String::as_str);
            let named = claim.spec.pool.as_deref();
            ensure!(
                label == Some(pool) && named == Some(pool),
                "the claim says {named:?}, its label {label:?}"
            );
            Ok(service)
        },
    )
    .await
}

/// The pools lend to this namespace without being asked: a Service that asked by name would have to follow.
#[test]
fn pools_that_are_renamed_split_and_merged_move_nothing_and_what_names_them_follows() -> Result<()> {
    with_tenant("renamed", async |tenant| {
        let spec = |addresses: &[&str]| {
            let allocation = json!({ "namespaces": ["renamed"] });
            json!({ "addresses": addresses, "autoAssign": true, "allocation": allocation })
        };
        let whole = spec(&["10.22.4.0/29"]);
        tenant.pool("renamed-a", whole.clone()).await?;
        let kept = [
            ("s0", "10.22.4.0"),
            ("s1", "10.22.4.1"),
            ("s2", "10.22.4.2"),
            ("s3", "10.22.4.3"),
        ];
        for (name, address) in kept {
            tenant.service(name, json!({})).await?;
            is_from(&tenant, "renamed-a", name, address).await?;
        }
        let since = tenant.version().await?;

        // Renamed: there is no other way than a new one in the place of the old one.
        tenant.pool("renamed-b", whole.clone()).await?;
        tenant.pools().delete("renamed-a", &Default::default()).await?;
        for (name, address) in kept {
            is_from(&tenant, "renamed-b", name, address).await?;
        }
        counts(&tenant, "renamed-b", [[8, 4, 4], [0, 0, 0]]).await?;

        // Split.
        tenant.pool("renamed-c", spec(&["10.22.4.2-10.22.4.7"])).await?;
        tenant.change_pool("renamed-b", spec(&["10.22.4.0/31"])).await?;
        for ((name, address), pool) in kept.into_iter().zip(["b", "b", "c", "c"]) {
            is_from(&tenant, &format!("renamed-{pool}"), name, address).await?;
        }
        counts(&tenant, "renamed-b", [[2, 2, 0], [0, 0, 0]]).await?;
        counts(&tenant, "renamed-c", [[6, 2, 4], [0, 0, 0]]).await?;

        // Merged.
        tenant.change_pool("renamed-b", whole).await?;
        tenant.pools().delete("renamed-c", &Default::default()).await?;
        for (name, address) in kept {
            is_from(&tenant, "renamed-b", name, address).await?;
        }
        counts(&tenant, "renamed-b", [[8, 4, 4], [0, 0, 0]]).await?;

        tenant.service("last", json!({})).await?;
        let last = is_from(&tenant, "renamed-b", "last", "10.22.4.4").await?;
        for version in tenant.versions(&since, &last).await? {
            let name = version.name_any();
            let Some((_, address)) = kept.iter().find(|(kept, _)| *kept == name) else {
                continue;
            };
            let shown = shown(&version);
            ensure!(
                shown == json!([{ "ip": address, "ipMode": "VIP" }]),
                "{name} shows {shown} in {version:?}"
            );
        }
        Ok(())
    })
}

/// Events about objects without a namespace are in `default`.
async fn default_events(tenant: &Tenant, pool: &str, wanted: &[[&str; 2]]) -> Result<()> {
    let tenant = Tenant {
        namespace: "default".to_owned(),
        ..tenant.clone()
    };
    tenant.has_events("AddressPool", pool, wanted).await
}
