//! How fast Services get their addresses, and what our programs need in memory for them.
//!
//! The yardstick is the same API server asked for the same writes by nobody in particular: a Service,
//! an object of the size of its claim, a status patch. Both happen in one run, one after the other, on
//! the same machine. The last thing printed is a table of what was promised and what was measured, as it
//! stands in `docs/performance.md`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use self::table::Table;
use super::percentile;
use crate::lab::Lab;
use crate::lab::artifacts::Artifacts;
use crate::lab::product::Controller;

mod bulk;
mod latency;
mod objects;
mod pure;
mod table;

/// The pool that everything is lent from.
const POOL_NAME: &str = "bench";
/// What is lent: 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
const POOL: &str = "198.18.0.0/16";

/// How to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How many Services are created at once; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    services: Vec<u32>,
    /// How many requests are under way at a time when Services are created.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// How many Services are created one after the other to see how long each waits.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=5_000))]
    rounds: u32,
}

/// Services that are created at once.
#[derive(Clone, Copy, Debug)]
struct Bulk {
    services: u32,
    connections: u8,
}

/// Measures and prints a table.
pub(super) async fn run(args: Args) -> Result<()> {
    let mut table = Table::default();
    println!("The allocator alone.");
    measure_allocator(&mut table, &Artifacts::from_env()?.allocations())?;

    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.install_crds().await?;
    let mut bare = Vec::new();
    let bulks = args.services.iter().map(|services| Bulk {
        services: *services,
        connections: args.connections,
    });
    let bulks: Vec<Bulk> = bulks.collect();
    for bulk in &bulks {
        println!(
            "Bare API writes: {} times a Service, a claim, a status.",
            bulk.services
        );
        bare.push(bulk::yardstick(&lab, *bulk).await?);
    }
    create_pool(&lab).await?;
    // Without a Lease, which a killed controller would have to wait for: it has a budget of its own.
    let mut controllers = lab.start_controller(1, &["--leader-elect=false"]).await?;
    let controller = controllers.first_mut().context("a controller runs")?;
    measure_memory(&mut table, controller, "no Service", None)?;
    println!("FerroLB: {} Services, one after the other.", args.rounds);
    measure_latency(&lab, &mut table, args.rounds).await?;
    for (bulk, bare) in bulks.into_iter().zip(bare) {
        println!("FerroLB: {} Services are created at once.", bulk.services);
        measure_bulk(&lab, &mut table, controller, bulk, bare).await?;
    }
    println!();
    print!("{table}");
    Ok(())
}

fn measure_allocator(table: &mut Table, program: &Path) -> Result<()> {
    let ten = pure::milliseconds(program, &["10000"])?;
    let hundred = pure::milliseconds(program, &["100000"])?;
    table.row("10,000 Services in the allocator alone", ten, "ms", Some(100.0));
    // A balanced tree ten times as large is a fifth deeper, and does not fit the caches.
    table.row(
        "100,000 Services, beside ten times that",
        hundred / ten / 10.0,
        "x",
        Some(2.0),
    );
    let small = pure::milliseconds(program, &["10000", "500"])?;
    table.row(
        "10,000 Services and 500 pools too small for them",
        small,
        "ms",
        None,
    );
    Ok(())
}

async fn measure_latency(lab: &Lab, table: &mut Table, rounds: u32) -> Result<()> {
    let latency = latency::measure(lab, rounds).await?;
    let of = |sorted: &[_], percent| anyhow::Ok(percentile(sorted, percent)?.as_secs_f64() * 1e3);
    let (served, bare) = (of(&latency.served, 99)?, of(&latency.bare, 99)?);
    table.row(
        "create to EXTERNAL-IP, idle, p50",
        of(&latency.served, 50)?,
        "ms",
        None,
    );
    table.row("create to EXTERNAL-IP, idle, p99", served, "ms", Some(20.0));
    table.row("bare create and patch, p50", of(&latency.bare, 50)?, "ms", None);
    table.row("bare create and patch, p99", bare, "ms", None);
    table.row(
        "p99 beside that of the bare writes",
        served / bare,
        "x",
        Some(3.0),
    );
    Ok(())
}

async fn measure_bulk(
    lab: &Lab,
    table: &mut Table,
    controller: &mut Controller,
    bulk: Bulk,
    [bare, changed]: [Duration; 2],
) -> Result<()> {
    let services = bulk.services;
    let served = bulk::allocate(lab, controller, bulk).await?;
    table.row(
        format!("{services} bare: Service, claim, status"),
        bare.as_secs_f64(),
        "s",
        None,
    );
    table.row(
        format!("{services} Services until each has an address"),
        served.as_secs_f64(),
        "s",
        None,
    );
    let ratio = served.as_secs_f64() / bare.as_secs_f64();
    table.row(
        format!("{services} Services beside the bare writes"),
        ratio,
        "x",
        Some(1.3),
    );
    let budget = match services {
        0..=1000 => Some(15.0),
        1001..=10_000 => Some(60.0),
        _ => None,
    };
    measure_memory(table, controller, &services.to_string(), budget)?;
    let [ready, listed] = bulk::restart(lab, controller, services).await?;
    table.row(
        format!("to list {services} Services and their claims"),
        listed.as_secs_f64(),
        "s",
        None,
    );
    table.row(
        format!("restart with {services}, beyond such a list, until a new Service is served"),
        ready.saturating_sub(listed).as_secs_f64(),
        "s",
        Some(2.0),
    );
    measure_memory(table, controller, &format!("{services}, restarted"), budget)?;
    let edited = bulk::edit_pool(lab, controller).await?;
    table.row(
        format!("{services} bare patches of claims"),
        changed.as_secs_f64(),
        "s",
        None,
    );
    table.row(
        format!("a pool edit that changes {services} claims"),
        edited.as_secs_f64(),
        "s",
        None,
    );
    table.row(
        format!("that edit beside the bare patches of {services}"),
        edited.as_secs_f64() / changed.as_secs_f64(),
        "x",
        None,
    );
    bulk::remove(lab, services).await
}

fn measure_memory(table: &mut Table, controller: &Controller, when: &str, budget: Option<f64>) -> Result<()> {
    let resident = mebibytes(controller.process()?.resident_kib()?);
    table.row(
        format!("controller's memory with {when}"),
        resident,
        "MiB",
        budget,
    );
    Ok(())
}

/// Its addresses do not rest, so that one measurement does not wait for the one before.
async fn create_pool(lab: &Lab) -> Result<()> {
    let pool = json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": POOL_NAME },
        "spec": { "addresses": [POOL], "quarantine": "0s" },
    });
    Api::<ferrolb_crds::AddressPool>::all(lab.client())
        .create(&PostParams::default(), &serde_json::from_value(pool)?)
        .await?;
    Ok(())
}

/// Exact as long as it is below 4 TiB.
fn mebibytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
