//! The controller is killed at any moment, again and again, while Services come and go.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::objects::{holders, ingress};
use ferrolb_tests::lab::product::Controller;
use futures::{StreamExt, TryStreamExt};
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

/// The Service by which the watcher knows that it has seen everything.
const THE_END: &str = "the-end";

/// How long all may take to be served after the last kill.
const SETTLED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_lent_twice_or_lost_by_a_controller_that_is_killed_20_times() -> Result<()> {
    // Without the Lease it works at once when it starts, so that a kill hits it at work.
    let (lab, mut controllers) = start_with(1, &["--leader-elect=false"]).await?;
    let churn = Churn::start(&Tenant::new(&lab, "crash").await?).await?;
    let mut random = StdRng::seed_from_u64(churn.seed);
    for _ in 0..KILLS {
        churn.goes_on(&mut random).await?;
        controllers[0].kill()?;
        controllers[0].start()?;
    }
    churn.settle(&controllers).await
}

/// Two replicas that both believe to lead are the worst that a Lease can come to.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lead_at_once_lend_no_address_twice() -> Result<()> {
    let (lab, mut controllers) = start_with(2, &["--leader-elect=false"]).await?;
    let churn = Churn::start(&Tenant::new(&lab, "crash").await?).await?;
    let mut random = StdRng::seed_from_u64(churn.seed);
    for _ in 0..KILLS / 2 {
        churn.goes_on(&mut random).await?;
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
    course: Arc<Course>,
    work: JoinHandle<Result<()>>,
    watch: JoinHandle<Result<()>>,
}

/// How far it has come.
#[derive(Default)]
struct Course {
    is_over: AtomicBool,
    /// How often a Service has begun to show an address, or ended with one.
    lent: AtomicUsize,
}

// === impl Churn ===

impl Churn {
    async fn start(tenant: &Tenant) -> Result<Self> {
        // Another one each time: the standard library's hasher is keyed at random.
        let seed = RandomState::new().hash_one(());
        println!("seed {seed}");
        let spec = json!({ "addresses": ["10.26.0.0/24"], "autoAssign": true });
        tenant.pool("crash", spec).await?;
        let version = tenant
            .services()
            .list(&ListParams::default())
            .await?
            .metadata
            .resource_version;
        let version = version.context("a list has a version")?;
        let course = Arc::new(Course::default());
        Ok(Self {
            tenant: tenant.clone(),
            seed,
            work: tokio::spawn(come_and_go(tenant.clone(), seed, Arc::clone(&course))),
            watch: tokio::spawn(watch(tenant.services(), version, Arc::clone(&course))),
            course,
        })
    }

    /// Lets the controller come so far, then a moment more, that a kill may hit it anywhere.
    async fn goes_on(&self, random: &mut StdRng) -> Result<()> {
        let enough = self.course.lent.load(Ordering::Relaxed) + random.random_range(1..40);
        eventually(SETTLED, "addresses are lent", async || {
            ensure!(
                !self.watch.is_finished(),
                "the watcher has ended, and settling will say why"
            );
            ensure!(!self.work.is_finished(), "nobody comes and goes any more");
            let lent = self.course.lent.load(Ordering::Relaxed);
            ensure!(lent >= enough, "{lent} of {enough}");
            Ok(())
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        Ok(())
    }

    /// Ends the coming and going, and waits until what is left is served, and nothing else is lent.
    async fn settle(mut self, controllers: &[Controller]) -> Result<()> {
        self.course.is_over.store(true, Ordering::Relaxed);
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
        self.tenant.service(THE_END, json!({})).await?;
        (&mut self.watch).await??;
        let lent = self.course.lent.load(Ordering::Relaxed);
        println!("{lent} times a Service got or lost an address, and never had two the same");
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

/// Creates all at once, then deletes and creates at random until it is over.
async fn come_and_go(tenant: Tenant, seed: u64, course: Arc<Course>) -> Result<()> {
    let quarter = async |quarter: usize| {
        let mut random = StdRng::seed_from_u64(!seed ^ quarter as u64);
        let mut is_there = [false; SERVICES / 4];
        let mut next = 0..is_there.len();
        while !course.is_over.load(Ordering::Relaxed) {
            let number = next
                .next()
                .unwrap_or_else(|| random.random_range(0..is_there.len()));
            let name = format!("s{quarter}-{number}");
            if is_there[number] {
                tenant.delete(&name).await?;
            } else {
                tenant.service(&name, json!({})).await?;
            }
            is_there[number] = !is_there[number];
        }
        anyhow::Ok(())
    };
    tokio::try_join!(quarter(0), quarter(1), quarter(2), quarter(3))?;
    Ok(())
}

/// Follows every change of every Service, as the API server orders them, and fails as soon as two
/// show one address.
async fn watch(services: Api<Service>, mut version: String, course: Arc<Course>) -> Result<()> {
    let mut shown: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
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
            version = service.resource_version().context("a version")?;
            let name = service.name_any();
            let addresses: BTreeSet<IpAddr> = match is_gone {
                true => BTreeSet::new(),
                false => ingress(&service)?.into_iter().collect(),
            };
            for (other, theirs) in shown.iter().filter(|(other, _)| **other != name) {
                let both: Vec<_> = theirs.intersection(&addresses).collect();
                ensure!(
                    both.is_empty(),
                    "{name} and {other} show {both:?} in version {version}"
                );
            }
            let before = shown.insert(name.clone(), addresses.clone());
            if before.unwrap_or_default() != addresses {
                course.lent.fetch_add(1, Ordering::Relaxed);
            }
            if name == THE_END {
                return Ok(());
            }
        }
    }
}
