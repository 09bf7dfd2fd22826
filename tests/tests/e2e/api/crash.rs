//! The controller is killed at any moment, again and again, while Services come and go.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::objects::{holders, ingress};
use ferrolb_tests::lab::product::Controller;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;

use super::shared::start_with;
use super::tenant::Tenant;

const SERVICES: usize = 200;
const KILLS: usize = 20;

/// How long all may take to be served after the last kill.
const SETTLED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_lent_twice_or_lost_by_a_controller_that_is_killed_20_times() -> Result<()> {
    // Without the Lease it works at once when it starts, so that a kill hits it at work.
    let (lab, mut controllers) = start_with(1, &["--leader-elect=false"]).await?;
    let tenant = Tenant::new(&lab, "crash").await?;
    let churn = Churn::start(&tenant, seed()).await?;
    let mut random = StdRng::seed_from_u64(churn.seed);
    for _ in 0..KILLS {
        let after = Duration::from_millis(random.random_range(20..900));
        tokio::time::sleep(after).await;
        controllers[0].kill()?;
        controllers[0].start()?;
    }
    churn.settle(&controllers).await
}

/// Two replicas that both believe to lead are the worst that a Lease can come to.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lead_at_once_lend_no_address_twice() -> Result<()> {
    let (lab, mut controllers) = start_with(2, &["--leader-elect=false"]).await?;
    let tenant = Tenant::new(&lab, "crash").await?;
    let churn = Churn::start(&tenant, seed()).await?;
    let mut random = StdRng::seed_from_u64(churn.seed);
    for _ in 0..6 {
        let after = Duration::from_millis(random.random_range(20..900));
        tokio::time::sleep(after).await;
        let one = random.random_range(0..2);
        controllers[one].kill()?;
        controllers[one].start()?;
    }
    // One of them sees the truth and goes; the other one cleans up.
    controllers[1].kill()?;
    controllers.truncate(1);
    churn.settle(&controllers).await
}

/// Services that are created and deleted, and somebody who watches what they show.
struct Churn {
    tenant: Tenant,
    seed: u64,
    is_over: Arc<AtomicBool>,
    work: JoinHandle<Result<()>>,
    watch: JoinHandle<Result<usize>>,
}

// === impl Churn ===

impl Churn {
    async fn start(tenant: &Tenant, seed: u64) -> Result<Self> {
        println!("seed {seed}");
        let spec = json!({ "addresses": ["10.26.0.0/24"], "autoAssign": true });
        tenant.pool("crash", spec).await?;
        let version = tenant
            .services()
            .list(&ListParams::default())
            .await?
            .metadata
            .resource_version;
        let is_over = Arc::new(AtomicBool::new(false));
        let watch = watch(
            tenant.services(),
            version.context("a list has a version")?,
            Arc::clone(&is_over),
        );
        Ok(Self {
            tenant: tenant.clone(),
            seed,
            work: tokio::spawn(come_and_go(tenant.clone(), seed, Arc::clone(&is_over))),
            watch: tokio::spawn(watch),
            is_over,
        })
    }

    /// Ends the coming and going, and waits until what is left is served, and nothing else is lent.
    async fn settle(mut self, controllers: &[Controller]) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        (&mut self.work).await??;
        let what = "every Service has its claim and every claim its Service";
        eventually(SETTLED, what, async || {
            for controller in controllers {
                controller.process()?.check_running()?;
            }
            let count = self.lent().await?;
            let services = self.tenant.services().list(&ListParams::default()).await?;
            let services = services.items.len();
            ensure!(count == services, "{count} of {services} have an address");
            Ok(())
        })
        .await?;
        // The watcher has seen everything once it has seen this one.
        self.tenant.service("the-end", json!({})).await?;
        let changes = (&mut self.watch).await??;
        println!("{changes} changes of Services, and never two that showed one address");
        ensure!(changes > SERVICES, "too little happened: {changes} changes");
        Ok(())
    }

    /// How many addresses are lent; an error if Services and claims do not say the same.
    async fn lent(&self) -> Result<usize> {
        let services = self.tenant.services().list(&ListParams::default()).await?.items;
        let claims = self.tenant.claims().list(&ListParams::default()).await?.items;
        let mut shown = BTreeSet::new();
        for (address, names) in holders(&services)? {
            shown.extend(names.into_iter().map(|name| (address, format!("crash/{name}"))));
        }
        let mut claimed = BTreeSet::new();
        for claim in claims {
            let holders = claim.spec.held_by.unwrap_or_default();
            claimed.insert((claim.spec.address.parse()?, holders));
        }
        let wrong: Vec<_> = shown.symmetric_difference(&claimed).collect();
        ensure!(wrong.is_empty(), "only one of Service and claim says {wrong:?}");
        Ok(shown.len())
    }
}

/// Another one each time; the test prints it.
fn seed() -> u64 {
    // The standard library's hasher is keyed at random.
    RandomState::new().hash_one(())
}

/// Creates all at once, then deletes and creates at random until it is over.
async fn come_and_go(tenant: Tenant, seed: u64, is_over: Arc<AtomicBool>) -> Result<()> {
    let name = |number: usize| format!("s{number}");
    stream::iter((0..SERVICES).map(anyhow::Ok))
        .try_for_each_concurrent(8, async |number| {
            tenant.service(&name(number), json!({})).await?;
            Ok(())
        })
        .await?;
    let mut random = StdRng::seed_from_u64(!seed);
    let mut is_there = [true; SERVICES];
    while !is_over.load(Ordering::Relaxed) {
        let number = random.random_range(0..SERVICES);
        if is_there[number] {
            tenant.delete(&name(number)).await?;
        } else {
            tenant.service(&name(number), json!({})).await?;
        }
        is_there[number] = !is_there[number];
    }
    Ok(())
}

/// Follows every change of every Service, as the API server orders them, and fails as soon as two
/// show one address. Returns how many changes there were.
async fn watch(services: Api<Service>, mut version: String, is_over: Arc<AtomicBool>) -> Result<usize> {
    let mut shown: BTreeMap<String, BTreeSet<std::net::IpAddr>> = BTreeMap::new();
    let mut changes = 0;
    loop {
        let mut events = services
            .watch(&WatchParams::default().timeout(290), &version)
            .await?
            .boxed();
        while let Some(event) = events.try_next().await? {
            let (service, is_gone) = match event {
                WatchEvent::Added(service) | WatchEvent::Modified(service) => (service, false),
                WatchEvent::Deleted(service) => (service, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("the watch ends: {}", status.message),
            };
            changes += 1;
            version = service.resource_version().context("a version")?;
            let name = service.name_any();
            if is_gone {
                shown.remove(&name);
                continue;
            }
            let addresses: BTreeSet<_> = ingress(&service)?.into_iter().collect();
            let others = shown.iter().filter(|(other, _)| **other != name);
            for (other, theirs) in others {
                let both: Vec<_> = theirs.intersection(&addresses).collect();
                ensure!(
                    both.is_empty(),
                    "{name} and {other} show {both:?} in version {version}"
                );
            }
            shown.insert(name.clone(), addresses);
            if name == "the-end" && is_over.load(Ordering::Relaxed) {
                return Ok(changes);
            }
        }
    }
}
