//! Services that come and go all the time, and somebody who watches that no two ever show one address.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::address_pool::FamilyCapacity;
use ferrolb_tests::lab::objects::{holders, ingress};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{clock, eventually};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::tenant::Tenant;

const SERVICES: usize = 200;

const POOL: &str = "churn";

/// The Service by which the watcher knows that it has seen everything.
const THE_END: &str = "the-end";

/// How long all may take to be served after the last fault.
const SETTLED: Duration = Duration::from_secs(60);

/// How much earlier than at its end the watcher may believe a quarantine to be over: it hears of the begin
/// and of what comes after with different delays.
const SLACK: Duration = Duration::from_secs(1);

/// Services that are created and deleted, and somebody who watches what they show.
pub(crate) struct Churn {
    tenant: Tenant,
    seed: u64,
    quarantine: Duration,
    course: Arc<Course>,
    work: JoinHandle<Result<()>>,
    watch: JoinHandle<Result<()>>,
}

/// How far it has come.
#[derive(Default)]
struct Course {
    is_over: AtomicBool,
    /// How often a Service has begun to show an address. That it ends to show one is no sign of a controller
    /// at work: it may just have been deleted.
    lent: AtomicUsize,
}

// === impl Churn ===

impl Churn {
    /// Starts it, with addresses that rest for so long when they are free.
    pub(crate) async fn start(tenant: &Tenant, addresses: &str, quarantine: Duration) -> Result<Self> {
        // Another one each time: the standard library's hasher is keyed at random.
        let seed = RandomState::new().hash_one(());
        println!("seed {seed}");
        let quarantined = format!("{}s", quarantine.as_secs());
        let spec = json!({ "addresses": [addresses], "autoAssign": true, "quarantine": quarantined });
        tenant.pool(POOL, spec).await?;
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
            watch: tokio::spawn({
                let watching = watch(tenant.services(), version, quarantine, Arc::clone(&course));
                // Said at once: whoever waits for the churn to go on only sees that nobody watches any more.
                async {
                    watching
                        .await
                        .inspect_err(|error| println!("the watcher: {error:#}"))
                }
            }),
            quarantine,
            course,
        })
    }

    /// Random numbers that follow from its seed.
    pub(crate) fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// Lets the controller come so many changes further, then a moment more, that a kill may hit it anywhere.
    pub(crate) async fn goes_on(&self, random: &mut StdRng, changes: Range<usize>) -> Result<()> {
        let enough = self.course.lent.load(Ordering::Relaxed) + random.random_range(changes);
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

    /// Ends the coming and going, waits until what is left is served and nothing else is lent, then removes
    /// it and waits until nothing is lent at all.
    pub(crate) async fn settle(mut self, controllers: &[Controller]) -> Result<()> {
        self.course.is_over.store(true, Ordering::Relaxed);
        (&mut self.work).await??;
        let what = "every Service has its claim and every claim its Service, and the pool counts them";
        eventually(SETTLED, what, async || {
            for controller in controllers {
                controller.process()?.check_running()?;
            }
            let count = self.lent().await?;
            let services = self.tenant.services().list(&ListParams::default()).await?;
            let services = services.items.len();
            ensure!(count == services, "{count} of {services} have an address");
            let counted = self.counted().await?;
            ensure!(
                counted.assigned == i64::try_from(count)?,
                "{count}, but {counted:?}"
            );
            Ok(())
        })
        .await?;
        let services = self.tenant.services();
        services
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        eventually(
            SETTLED + self.quarantine,
            "no address is lent or rests",
            async || {
                let claims = self.tenant.claims().list(&ListParams::default()).await?.items;
                let left: Vec<_> = claims.iter().map(|claim| &claim.spec).take(3).collect();
                ensure!(left.is_empty(), "{} claims are left, like {left:?}", claims.len());
                let counted = self.counted().await?;
                ensure!(
                    counted.available == counted.total,
                    "no claim is left, but {counted:?}"
                );
                Ok(())
            },
        )
        .await?;
        // The watcher has seen everything once it has seen this one.
        self.tenant.service(THE_END, json!({})).await?;
        (&mut self.watch).await??;
        let lent = self.course.lent.load(Ordering::Relaxed);
        println!("{lent} times a Service got an address, and never had two the same");
        Ok(())
    }

    /// How many addresses are lent; an error if Services and claims do not say the same.
    async fn lent(&self) -> Result<usize> {
        let services = self.tenant.services().list(&ListParams::default()).await?.items;
        let claims = self.tenant.claims().list(&ListParams::default()).await?.items;
        let mut shown = BTreeSet::new();
        for (address, names) in holders(&services)? {
            let own = |name| (claim_name(address), format!("{}/{name}", self.tenant.namespace));
            shown.extend(names.into_iter().map(own));
        }
        let held = claims
            .into_iter()
            .filter_map(|claim| Some((claim.name_any(), claim.spec.held_by?)));
        let held: BTreeSet<_> = held.collect();
        let wrong: Vec<_> = shown.symmetric_difference(&held).collect();
        ensure!(wrong.is_empty(), "only one of Service and claim says {wrong:?}");
        Ok(shown.len())
    }

    /// What the pool says of its addresses, which must add up.
    async fn counted(&self) -> Result<FamilyCapacity> {
        let status = self.tenant.pools().get(POOL).await?.status.context("no status")?;
        let counted = status.capacity.context("the pool counts nothing")?.ipv4;
        let sum = counted.assigned + counted.quarantined + counted.available;
        ensure!(sum == counted.total, "{counted:?}");
        Ok(counted)
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
/// show one address, or one shows what another one had shortly before.
async fn watch(
    services: Api<Service>,
    mut version: String,
    quarantine: Duration,
    course: Arc<Course>,
) -> Result<()> {
    let mut shown: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut freed: BTreeMap<IpAddr, (String, Instant)> = BTreeMap::new();
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
            for address in &addresses {
                if let Some((last, at)) = freed.get(address).filter(|(last, _)| *last != name) {
                    let rested = at.elapsed();
                    ensure!(
                        rested + SLACK >= quarantine,
                        "{name} shows {address} {rested:?} after {last} did, in version {version}"
                    );
                }
            }
            let before = shown.insert(name.clone(), addresses.clone()).unwrap_or_default();
            for address in before.difference(&addresses) {
                freed.insert(*address, (name.clone(), clock::now()));
            }
            if !addresses.is_subset(&before) {
                course.lent.fetch_add(1, Ordering::Relaxed);
            }
            if name == THE_END {
                return Ok(());
            }
        }
    }
}
