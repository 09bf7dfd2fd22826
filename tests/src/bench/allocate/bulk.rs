//! Many Services at once: the same writes by nobody in particular, then by the controller; then what a
//! restart and an edit of their pool cost.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use futures::{TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::objects::{claim, namespace, service};
use super::{Bulk, POOL_NAME};
use crate::lab::objects::{holders, ingress};
use crate::lab::product::Controller;
use crate::lab::{Lab, clock, eventually};

/// The first address of the yardstick's objects: 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
const YARDSTICK: u32 = u32::from_be_bytes([198, 19, 0, 0]);
/// How long everything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Calls that the controller makes at a time, and so does the yardstick for an edit.
const CALLS_AT_ONCE: usize = 16;
/// The Service that is created while the controller is down.
const MEANWHILE: &str = "meanwhile";

/// Writes the same objects without us; returns how long it took to create and serve them, and then to
/// change each claim once. Removes them.
pub(super) async fn yardstick(lab: &Lab, bulk: Bulk) -> Result<[Duration; 2]> {
    let services = bulk.services;
    let namespace = namespace(lab, &format!("yardstick-{services}")).await?;
    let api: Api<Service> = Api::namespaced(lab.client(), &namespace);
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let address = |number| IpAddr::V4(Ipv4Addr::from_bits(YARDSTICK + number));
    let started = clock::now();
    // Twice the connections: the controller writes while Services are created.
    stream::iter((0..services).map(anyhow::Ok))
        .try_for_each_concurrent(2 * usize::from(bulk.connections), async |number| {
            let name = format!("s{number}");
            api.create(&PostParams::default(), &service(&name)?).await?;
            claims
                .create(
                    &PostParams::default(),
                    &claim(&namespace, &name, address(number))?,
                )
                .await?;
            let entry = json!({ "ip": address(number), "ipMode": "VIP" });
            let status = json!({ "status": { "loadBalancer": { "ingress": [entry] } } });
            api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
                .await?;
            Ok(())
        })
        .await?;
    let created = started.elapsed();
    let started = clock::now();
    stream::iter((0..services).map(anyhow::Ok))
        .try_for_each_concurrent(CALLS_AT_ONCE, async |number| {
            let change = json!({ "spec": { "heldBy": format!("another {number}") } });
            let name = claim_name(address(number));
            claims
                .patch(&name, &PatchParams::default(), &Patch::Merge(change))
                .await?;
            Ok(())
        })
        .await?;
    let changed = started.elapsed();
    delete_each(&api, (0..services).map(|number| format!("s{number}"))).await?;
    delete_each(&claims, (0..services).map(|number| claim_name(address(number)))).await?;
    Ok([created, changed])
}

/// Creates the Services at once; returns how long it took until each had an address of its own.
pub(super) async fn allocate(lab: &Lab, controller: &Controller, bulk: Bulk) -> Result<Duration> {
    let services = bulk.services;
    let api: Api<Service> = Api::namespaced(lab.client(), &namespace(lab, &served(services)).await?);
    let before = calls_made(controller, "PatchService").await?;
    let started = clock::now();
    stream::iter((0..services).map(anyhow::Ok))
        .try_for_each_concurrent(usize::from(bulk.connections), async |number| {
            api.create(&PostParams::default(), &service(&format!("s{number}"))?)
                .await?;
            Ok(())
        })
        .await?;
    eventually(PATIENCE, "every status is written", async || {
        let written = calls_made(controller, "PatchService").await? - before;
        ensure!(written >= u64::from(services), "{written} are");
        Ok(())
    })
    .await?;
    let taken = started.elapsed();
    let holders = holders(&api.list(&ListParams::default()).await?.items)?;
    let double = holders.iter().find(|(_, names)| names.len() > 1);
    ensure!(double.is_none(), "{double:?} is lent twice");
    ensure!(
        holders.len() == services as usize,
        "{} have an address",
        holders.len()
    );
    Ok(taken)
}

/// Kills the controller and starts it; returns how long it took until a Service that was created in
/// between had its address, and how long a client takes to list what there is to list.
///
/// Such a Service is the last that is decided about: after all that hold an address already.
pub(super) async fn restart(lab: &Lab, controller: &mut Controller, services: u32) -> Result<[Duration; 2]> {
    let api: Api<Service> = Api::namespaced(lab.client(), &served(services));
    let started = clock::now();
    Api::<Service>::all(lab.client())
        .list(&ListParams::default())
        .await?;
    Api::<AddressClaim>::all(lab.client())
        .list(&ListParams::default())
        .await?;
    let listed = started.elapsed();
    controller.kill()?;
    api.create(&PostParams::default(), &service(MEANWHILE)?).await?;
    let started = clock::now();
    controller.start()?;
    eventually(PATIENCE, "who came in between is served", async || {
        let service = api.get(MEANWHILE).await?;
        ensure!(!ingress(&service)?.is_empty(), "it has no address");
        Ok(())
    })
    .await?;
    Ok([started.elapsed(), listed])
}

/// Renames the pool's advertisement, which every claim mentions; returns how long it took until each did.
pub(super) async fn edit_pool(lab: &Lab, controller: &Controller) -> Result<Duration> {
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let pools: Api<ferrolb_crds::AddressPool> = Api::all(lab.client());
    let count = claims.list(&ListParams::default()).await?.items.len();
    let before = calls_made(controller, "UpdateClaim").await?;
    let started = clock::now();
    let change = json!({ "spec": { "layer2": [{ "name": "renamed" }] } });
    pools
        .patch(POOL_NAME, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    eventually(PATIENCE, "every claim is written", async || {
        let written = calls_made(controller, "UpdateClaim").await? - before;
        ensure!(written >= u64::try_from(count)?, "{written} are");
        Ok(())
    })
    .await?;
    let taken = started.elapsed();
    let items = claims.list(&ListParams::default()).await?.items;
    let names: BTreeSet<&str> = items
        .iter()
        .flat_map(|claim| &claim.spec.holders)
        .flat_map(|holder| &holder.advertisements)
        .map(String::as_str)
        .collect();
    ensure!(names == BTreeSet::from(["renamed"]), "they name {names:?}");
    let back = json!({ "spec": { "layer2": null } });
    pools
        .patch(POOL_NAME, &PatchParams::default(), &Patch::Merge(back))
        .await?;
    Ok(taken)
}

/// Deletes the Services and waits until no address is lent.
pub(super) async fn remove(lab: &Lab, services: u32) -> Result<()> {
    let names = (0..services).map(|number| format!("s{number}"));
    let names = names.chain([MEANWHILE.to_owned()]);
    delete_each(
        &Api::<Service>::namespaced(lab.client(), &served(services)),
        names,
    )
    .await?;
    let claims: Api<AddressClaim> = Api::all(lab.client());
    eventually(PATIENCE, "no address is lent any more", async || {
        let left = claims.list(&ListParams::default().limit(1)).await?.items.len();
        ensure!(left == 0, "some are");
        Ok(())
    })
    .await
}

fn served(services: u32) -> String {
    format!("served-{services}")
}

/// Deletes objects one by one: to delete a large collection takes longer than the API server lets a
/// request take.
async fn delete_each<K>(api: &Api<K>, names: impl Iterator<Item = String>) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    stream::iter(names.map(anyhow::Ok))
        .try_for_each_concurrent(CALLS_AT_ONCE, async |name| {
            api.delete(&name, &DeleteParams::default()).await?;
            Ok(())
        })
        .await
}

/// How many calls of a kind the controller has seen succeed; its own count costs the API server nothing.
async fn calls_made(controller: &Controller, call: &str) -> Result<u64> {
    let metrics = controller.admin("/metrics").await?.body;
    let series = format!("ferrolb_controller_calls_total{{call=\"{call}\",outcome=\"Done\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(Ok(0), |count| count.parse().with_context(|| count.to_owned()))
}
