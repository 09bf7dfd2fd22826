//! How fast Services get their addresses, and what our programs need in memory for them.
//!
//! The yardstick is the same API server asked for the same writes by nobody in particular: a Service,
//! an object of the size of its claim, a status patch. Both happen in one run, one after the other, on
//! the same machine.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use futures::{TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::lab::clock;
use crate::lab::objects::holders;
use crate::lab::{Lab, eventually};

/// What is lent: 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
const POOL: &str = "198.18.0.0/16";
/// The first address of the yardstick's objects, in the other half of that range.
const YARDSTICK: u32 = u32::from_be_bytes([198, 19, 0, 0]);
/// How long everything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// How to measure.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// How many Services are created at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    services: u32,
    /// How many requests are under way at a time when Services are created.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
}

/// Measures and prints a table.
pub(super) async fn run(args: Args) -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.install_crds().await?;

    println!(
        "Bare API writes: {} times a Service, a claim, a status.",
        args.services
    );
    let bare = yardstick(&lab, args).await?;

    lab.create_pool("bench", &[POOL]).await?;
    let controllers = lab.start_controller(1, &[]).await?;
    lab.start_speakers(&[]).await?;
    let controller = controllers.first().context("a controller runs")?;
    let node = lab.nodes().first().context("a node runs")?;
    let idle = (
        controller.process()?.resident_kib()?,
        node.speaker()?.resident_kib()?,
    );

    println!("FerroLB: {} Services are created at once.", args.services);
    let served = allocate(&lab, args).await?;
    eventually(PATIENCE, "every claim names its owner", async || {
        owners(&lab, args).await
    })
    .await?;
    let loaded = (
        controller.process()?.resident_kib()?,
        node.speaker()?.resident_kib()?,
    );

    let count = f64::from(args.services);
    println!("\n{:<46} {:>9} {:>12}", "", "seconds", "Services/s");
    for (what, time) in [
        ("bare writes of the same kind", bare),
        ("created until all have an address", served),
    ] {
        let seconds = time.as_secs_f64();
        println!("{what:<46} {seconds:>9.2} {:>12.0}", count / seconds);
    }
    println!(
        "{:<46} {:>9.2}",
        "ratio",
        served.as_secs_f64() / bare.as_secs_f64()
    );
    println!("\n{:<46} {:>9} {:>12}", "resident memory, MiB", "idle", "loaded");
    for (what, idle, loaded) in [
        ("controller", idle.0, loaded.0),
        ("speaker, owner of all", idle.1, loaded.1),
    ] {
        println!("{what:<46} {:>9.1} {:>12.1}", mebibytes(idle), mebibytes(loaded));
    }
    Ok(())
}

/// Writes the same objects without us; returns how long it took, and removes them.
async fn yardstick(lab: &Lab, args: Args) -> Result<Duration> {
    let namespace = namespace(lab, "yardstick").await?;
    let services: Api<Service> = Api::namespaced(lab.client(), &namespace);
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let started = clock::now();
    // Twice the connections: the controller writes while Services are created.
    stream::iter((0..args.services).map(anyhow::Ok))
        .try_for_each_concurrent(2 * usize::from(args.connections), async |number| {
            let name = format!("s{number}");
            let address = IpAddr::V4(Ipv4Addr::from_bits(YARDSTICK + number));
            services.create(&PostParams::default(), &service(&name)?).await?;
            claims
                .create(&PostParams::default(), &claim(&namespace, &name, address)?)
                .await?;
            let status =
                json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address, "ipMode": "VIP" }] } } });
            services
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
                .await?;
            Ok(())
        })
        .await?;
    let taken = started.elapsed();
    services
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    claims
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    eventually(PATIENCE, "the yardstick's objects are gone", async || {
        let left = services.list(&ListParams::default()).await?.items.len();
        ensure!(left == 0, "{left} Services are left");
        Ok(())
    })
    .await?;
    Ok(taken)
}

/// Creates the Services at once; returns how long it took until each had an address of its own.
async fn allocate(lab: &Lab, args: Args) -> Result<Duration> {
    let services: Api<Service> = Api::namespaced(lab.client(), &namespace(lab, "served").await?);
    let started = clock::now();
    stream::iter((0..args.services).map(anyhow::Ok))
        .try_for_each_concurrent(usize::from(args.connections), async |number| {
            services
                .create(&PostParams::default(), &service(&format!("s{number}"))?)
                .await?;
            Ok(())
        })
        .await?;
    eventually(PATIENCE, "every Service has an address", async || {
        let holders = holders(&services.list(&ListParams::default()).await?.items)?;
        let double = holders.iter().find(|(_, names)| names.len() > 1);
        ensure!(double.is_none(), "{double:?} is lent twice");
        ensure!(
            holders.len() == args.services as usize,
            "{} have one",
            holders.len()
        );
        Ok(())
    })
    .await?;
    Ok(started.elapsed())
}

async fn owners(lab: &Lab, args: Args) -> Result<()> {
    let claims = Api::<AddressClaim>::all(lab.client())
        .list(&ListParams::default())
        .await?;
    let owned = claims
        .items
        .iter()
        .filter(|claim| claim.status.as_ref().is_some_and(|s| s.owner.is_some()));
    let owned = owned.count();
    ensure!(owned == args.services as usize, "{owned} do");
    Ok(())
}

async fn namespace(lab: &Lab, name: &str) -> Result<String> {
    let object: Namespace = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
    }))?;
    Api::all(lab.client())
        .create(&PostParams::default(), &object)
        .await?;
    Ok(name.to_owned())
}

/// A Service without node ports, of which a cluster has fewer than this benchmark may want.
fn service(name: &str) -> Result<Service> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": false,
            "ports": [{ "port": 80 }],
        },
    });
    Ok(serde_json::from_value(service)?)
}

fn claim(namespace: &str, service: &str, address: IpAddr) -> Result<AddressClaim> {
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressClaim",
        "metadata": { "name": claim_name(address), "labels": { "ferrolb.io/pool": "yardstick" } },
        "spec": {
            "address": address,
            "pool": "yardstick",
            "heldBy": format!("{namespace}/{service}"),
            "holders": [{
                "namespace": namespace,
                "name": service,
                "uid": "00000000-0000-0000-0000-000000000000",
                "ports": [{ "protocol": "TCP", "port": 80 }],
                "externalTrafficPolicy": "Cluster",
                "advertisements": ["default"],
            }],
        },
    });
    Ok(serde_json::from_value(claim)?)
}

/// Exact as long as it is below 4 TiB.
fn mebibytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
