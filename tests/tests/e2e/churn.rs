//! Services that come and go all the time, and somebody who watches that no two ever show one address.
//!
//! `FERROLB_CHANGES_PER_SECOND` says how much people change who change everything that they can; the test fails
//! if they do not get that far. `FERROLB_SEED` repeats the choices of an earlier run, though not its timing. All
//! that was seen is in `versions.log` beside the logs of the lab.

mod disturbed;
mod people;
mod pools;
mod rest;
mod watcher;

use std::collections::hash_map::RandomState;
use std::env;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::BufWriter;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{Lab, clock, eventually};
use futures::future::try_join_all;
use kube::api::{DeleteParams, ListParams};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Interval, interval};

use self::disturbed::Disturbed;
pub(crate) use self::people::Life;
use self::people::Person;
use self::pools::Administrator;
use self::watcher::{THE_END, version_of, watch};
use crate::tenant::Tenant;

const SERVICES: usize = 200;

/// How many people change Services at a time: as many as fill the API server's time without a pace, and
/// enough to keep one while it is slow.
const PEOPLE: usize = 4;
const PEOPLE_IN_STEP: usize = 40;

/// How many changes there are in a second if nobody asks for more: what a machine manages that runs other
/// tests, too.
const CHANGES: u32 = 25;

/// How long all may take to be served after the last fault.
const SETTLED: Duration = Duration::from_secs(60);

/// How long a claim rests that a stranger made rest, if no pool has its address.
const RESTED: Duration = Duration::from_secs(60);

/// What part of the changes that were asked for must have been made.
const FAR_BELOW: f64 = 0.75;

/// An address that no pool lends. Somebody reserves it when all is over.
const ELSEWHERE: &str = "203.0.113.1";

/// Services that are created, changed and deleted, and somebody who watches what they show.
pub(crate) struct Churn {
    tenant: Tenant,
    seed: u64,
    life: Life,
    /// How many changes in a second somebody asked for.
    asked: Option<u32>,
    quarantine: Duration,
    course: Arc<Course>,
    began: Instant,
    work: JoinHandle<Result<()>>,
    watch: JoinHandle<Result<()>>,
}

/// How far it has come.
#[derive(Default)]
struct Course {
    is_over: AtomicBool,
    /// How often somebody changed something.
    changes: AtomicUsize,
    /// How often a Service has begun to show an address. That it ends to show one is no sign of a controller
    /// at work: it may just have been deleted.
    lent: AtomicUsize,
    /// How many versions of Services and claims were judged.
    versions: AtomicUsize,
}

// === impl Churn ===

impl Churn {
    /// Starts Services that come and go as fast as can be, with addresses that rest for so long when they
    /// are free.
    pub(crate) async fn start(
        lab: &Lab,
        tenant: &Tenant,
        addresses: &str,
        quarantine: Duration,
    ) -> Result<Self> {
        let quarantined = format!("{}s", quarantine.as_secs());
        let spec = json!({ "addresses": [addresses], "autoAssign": true, "quarantine": quarantined });
        tenant.pool("churn", spec).await?;
        Self::begin(lab, tenant, seed()?, (Life::Plain, None), quarantine).await
    }

    /// Starts everything that people can do to Services, pools and claims.
    pub(crate) async fn start_colorful(lab: &Lab, tenant: &Tenant, seed: u64) -> Result<Self> {
        let asked = number("FERROLB_CHANGES_PER_SECOND")?;
        Self::begin(lab, tenant, seed, (Life::Colorful, asked), Duration::ZERO).await
    }

    async fn begin(
        lab: &Lab,
        tenant: &Tenant,
        seed: u64,
        (life, asked): (Life, Option<u32>),
        quarantine: Duration,
    ) -> Result<Self> {
        let versions = (
            version_of(&tenant.services()).await?,
            version_of(&tenant.claims()).await?,
        );
        let course = Arc::new(Course::default());
        let disturbed = Disturbed::default();
        let administrator = match life {
            Life::Plain => None,
            Life::Colorful => {
                let random = StdRng::seed_from_u64(!seed ^ u64::MAX >> 1);
                Some(Administrator::start(tenant.clone(), random, disturbed.clone()).await?)
            }
        };
        let pace = match life {
            Life::Plain => None,
            Life::Colorful => Some(interval(Duration::from_secs(1) / asked.unwrap_or(CHANGES))),
        };
        let count = if pace.is_some() { PEOPLE_IN_STEP } else { PEOPLE };
        let person = |number: usize| {
            let random = StdRng::seed_from_u64(!seed ^ number as u64);
            Person::new(tenant.clone(), random, life, number, SERVICES / count)
        };
        let people = (0..count).map(person).collect();
        let watching = watch(
            tenant.clone(),
            versions,
            quarantine,
            (Arc::clone(&course), disturbed),
            BufWriter::new(File::create(lab.home().log("versions"))?),
        );
        Ok(Self {
            tenant: tenant.clone(),
            seed,
            life,
            asked,
            quarantine,
            began: clock::now(),
            work: tokio::spawn(live(people, administrator, pace, Arc::clone(&course))),
            watch: tokio::spawn(async {
                // Said at once: whoever waits for the churn to go on only sees that nobody watches any more.
                watching
                    .await
                    .inspect_err(|error| println!("the watcher: {error:#}"))
            }),
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
            ensure!(!self.work.is_finished(), "nobody changes anything any more");
            let lent = self.course.lent.load(Ordering::Relaxed);
            ensure!(lent >= enough, "{lent} of {enough}");
            Ok(())
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        Ok(())
    }

    /// Whether people change things, and somebody watches.
    pub(crate) fn is_going_on(&self) -> bool {
        !self.watch.is_finished() && !self.work.is_finished()
    }

    /// Fails as soon as somebody who watches or changes has failed, and says why.
    pub(crate) async fn check(&mut self) -> Result<()> {
        for task in [&mut self.watch, &mut self.work] {
            if task.is_finished() {
                task.await??;
                bail!("it has ended too early");
            }
        }
        Ok(())
    }

    /// Ends all changes, waits until what is left is served and nothing else is lent, then removes
    /// it and waits until nothing is lent at all.
    pub(crate) async fn settle(mut self, controllers: &mut [Controller]) -> Result<()> {
        let rate = self.end_of_work().await?;
        let what = "every Service has what it should have, and the pools count it";
        let served = eventually(SETTLED + RESTED, what, async || {
            for controller in controllers.iter() {
                controller.process()?.check_running()?;
            }
            rest::check(&self.tenant).await
        })
        .await?;
        println!("at rest: {served}");
        if self.life == Life::Colorful {
            rest::is_left_alone(&self.tenant, controllers).await?;
        }
        rest::clear(&self.tenant).await?;
        let services = self.tenant.services();
        services
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        let what = "no address is lent or rests";
        eventually(SETTLED + self.quarantine, what, async || {
            rest::is_empty(&self.tenant).await
        })
        .await?;
        // The watcher has seen everything once it has seen the first of these, and that nothing is between.
        self.tenant.service(THE_END, json!({})).await?;
        self.tenant.reserve(ELSEWHERE.parse()?).await?;
        (&mut self.watch).await??;
        let lent = self.course.lent.load(Ordering::Relaxed);
        let versions = self.course.versions.load(Ordering::Relaxed);
        println!(
            "{lent} times a Service got an address, and never had two the same who may not: {versions} \
             versions judged"
        );
        if let Some(asked) = self.asked {
            ensure!(
                rate >= f64::from(asked) * FAR_BELOW,
                "{rate:.1} changes in a second are far below the {asked} that were asked for"
            );
        }
        Ok(())
    }

    /// Ends all changes, and says how many there were in a second.
    async fn end_of_work(&mut self) -> Result<f64> {
        let (changes, took) = (
            self.course.changes.load(Ordering::Relaxed),
            self.began.elapsed().as_secs_f64(),
        );
        self.course.is_over.store(true, Ordering::Relaxed);
        (&mut self.work).await??;
        let rate = changes as f64 / took;
        println!("{changes} changes in {took:.0} s, {rate:.1} in a second");
        Ok(rate)
    }
}

/// A number that whoever runs the tests may give in the environment.
pub(crate) fn number<T>(variable: &str) -> Result<Option<T>>
where
    T: FromStr,
{
    let Some(text) = env::var_os(variable) else {
        return Ok(None);
    };
    let number = text.to_str().and_then(|text| text.trim().parse().ok());
    let number = number.with_context(|| anyhow!("{variable} is {text:?}, which is not the number it takes"));
    number.map(Some)
}

/// What all choices of a run follow from: another one each time, unless somebody asks for an earlier run's.
pub(crate) fn seed() -> Result<u64> {
    // The standard library's hasher is keyed at random.
    let seed = number("FERROLB_SEED")?.unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("FERROLB_SEED={seed}");
    Ok(seed)
}

/// Lets everybody change things until it is over, each in turn if there is a pace.
async fn live(
    people: Vec<Person>,
    administrator: Option<Administrator>,
    pace: Option<Interval>,
    course: Arc<Course>,
) -> Result<()> {
    let pace = Mutex::new(pace);
    let may_go_on = async || {
        if let Some(pace) = &mut *pace.lock().await {
            pace.tick().await;
        }
        !course.is_over.load(Ordering::Relaxed)
    };
    let count = || course.changes.fetch_add(1, Ordering::Relaxed);
    let people = people.into_iter().map(async |mut person: Person| {
        while may_go_on().await {
            while !person.change().await? {}
            count();
        }
        anyhow::Ok(())
    });
    let administrates = async {
        let Some(mut administrator) = administrator else {
            return Ok(());
        };
        while may_go_on().await {
            while !administrator.change().await? {}
            count();
        }
        administrator.end().await
    };
    tokio::try_join!(try_join_all(people), administrates)?;
    Ok(())
}
