//! The controller's replicas are killed at any moment, again and again, while people change everything that
//! they can. With speakers, replicas are killed in `lab/crash.rs`.
//!
//! Services have our finalizer in every second run; the seed says in which.
//!
//! `FERROLB_KILLS` says how many kills there are; what `churn.rs` reads from the environment says how much is
//! changed meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::product::{Controller, LEASE, NAMESPACE};
use ferrolb_tests::lab::{clock, eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use super::churn::{Churn, number, seed};
use super::shared::start_with;
use super::tenant::Tenant;

/// How many kills there are if nobody says so: as many as fit into half a minute.
const KILLS: usize = 20;

/// A kill comes within this time after somebody has begun to work.
const AT_WORK: u64 = 1000;

/// How long it may take until somebody works again: the Lease runs out, and this machine may be busy.
const WORKS: Duration = Duration::from_secs(30);

/// What was killed, and what came of it.
#[derive(Default)]
struct Toll {
    kills: usize,
    leaders: usize,
    standbys: usize,
    both: usize,
    /// Kills that hit calls under way, as far as the victim told a moment before, by call.
    calls: BTreeMap<String, usize>,
    idle: usize,
    /// From a kill to the next address that a Service gets.
    recoveries: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_lent_twice_or_lost_however_often_controllers_are_killed() -> Result<()> {
    let seed = seed()?;
    let (lab, mut controllers) = start_with(2, finalizing(seed.is_multiple_of(2))).await?;
    let mut churn = Churn::start_colorful(&lab, &Tenant::new(&lab, "crash").await?, seed).await?;
    let mut random = churn.random();
    let mut toll = Toll::default();
    for kill in 0..number("FERROLB_KILLS")?.unwrap_or(KILLS) {
        let leads = wait_leader(&churn, &controllers).await?;
        at_any_moment(&mut random).await;
        toll.note_calls(&controllers[leads]).await;
        let victims: &[usize] = match random.random_range(0..10) {
            0..7 => &[leads],
            7 => &[1 - leads],
            _ => &[0, 1],
        };
        let began = clock::now();
        for victim in victims {
            controllers[*victim].kill()?;
        }
        for victim in victims {
            controllers[*victim].start()?;
        }
        toll.count(victims, leads);
        // Mostly the next one shall begin at once, when calls of the last one may just have arrived: more kills
        // fit into an hour, and none is easier.
        if victims.contains(&leads) && random.random_ratio(9, 10) {
            give_up_lease(&lab.client()).await?;
        }
        churn.check().await?;
        recovers(&mut churn, &mut random, began, &mut toll)
            .await
            .with_context(|| format!("after kill {kill}"))?;
    }
    println!("{toll}");
    churn.settle(&mut controllers).await
}

/// Two replicas that both believe to lead are the worst that a Lease can come to.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lead_at_once_lend_no_address_twice() -> Result<()> {
    let seed = seed()?;
    let flags = [&["--leader-elect=false"], finalizing(!seed.is_multiple_of(2))].concat();
    let (lab, mut controllers) = start_with(2, &flags).await?;
    let mut churn = Churn::start_colorful(&lab, &Tenant::new(&lab, "crash").await?, seed).await?;
    let mut random = churn.random();
    let mut toll = Toll::default();
    for kill in 0..number("FERROLB_KILLS")?.unwrap_or(KILLS) / 2 {
        at_any_moment(&mut random).await;
        let one = random.random_range(0..2);
        toll.note_calls(&controllers[one]).await;
        let began = clock::now();
        controllers[one].kill()?;
        controllers[one].start()?;
        toll.count(&[one], one);
        churn.check().await?;
        recovers(&mut churn, &mut random, began, &mut toll)
            .await
            .with_context(|| format!("after kill {kill}"))?;
    }
    println!("{toll}");
    // One of them sees the truth and goes; the other one cleans up.
    controllers[1].kill()?;
    controllers.truncate(1);
    churn.settle(&mut controllers).await
}

/// The flag that one half of all runs has and the other half, as is the default, has not.
fn finalizing(with_finalizer: bool) -> &'static [&'static str] {
    println!("with a finalizer on Services: {with_finalizer}");
    if with_finalizer {
        &["--service-finalizer"]
    } else {
        &[]
    }
}

/// Lets time pass, that the next kill may hit anything: nothing is waited for here.
async fn at_any_moment(random: &mut StdRng) {
    let moment = random.random_range(0..AT_WORK);
    tokio::time::sleep(Duration::from_millis(moment)).await;
}

/// Waits until somebody leads.
async fn wait_leader(churn: &Churn, controllers: &[Controller]) -> Result<usize> {
    eventually(WORKS, "somebody leads", async || {
        for (index, controller) in controllers.iter().enumerate() {
            // One that has just been started does not answer.
            if controller.is_leading().await.unwrap_or(false) {
                return Ok(index);
            }
        }
        ensure!(churn.is_going_on(), "the churn has ended");
        anyhow::bail!("nobody does")
    })
    .await
}

/// Waits until a Service gets an address after a kill.
async fn recovers(churn: &mut Churn, random: &mut StdRng, killed: Instant, toll: &mut Toll) -> Result<()> {
    let gone_on = churn.goes_on(random, 1..2).await;
    churn.check().await?;
    gone_on?;
    toll.recoveries.push(killed.elapsed());
    Ok(())
}

/// Writes into the Lease that nobody has it, as a leader does that is asked to end.
async fn give_up_lease(client: &Client) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let nobody = Patch::Merge(json!({ "spec": { "holderIdentity": "" } }));
    leases.patch(LEASE, &PatchParams::default(), &nobody).await?;
    Ok(())
}

// === impl Toll ===

impl Toll {
    /// Asks who is about to be killed what it is doing.
    async fn note_calls(&mut self, controller: &Controller) {
        let Ok(state) = controller.state().await else {
            self.idle += 1;
            return;
        };
        let calls = state["callsUnderWay"].as_array().cloned().unwrap_or_default();
        if calls.is_empty() {
            self.idle += 1;
        }
        for call in calls {
            let word = call.as_str().unwrap_or_default().to_owned();
            *self.calls.entry(word).or_default() += 1;
        }
    }

    fn count(&mut self, victims: &[usize], leads: usize) {
        self.kills += victims.len();
        match victims {
            [one] if *one == leads => self.leaders += 1,
            [_] => self.standbys += 1,
            _ => self.both += 1,
        }
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            leaders,
            standbys,
            both,
            calls,
            idle,
            recoveries,
        } = self;
        let mut sorted = recoveries.clone();
        sorted.sort();
        let at = |part: usize| sorted.get(sorted.len() * part / 100).or(sorted.last());
        write!(
            f,
            "{kills} kills: {leaders} times who led, {standbys} times who stood by, {both} times both; under way \
             were {calls:?}, and {idle} times nothing; served again after {:?} at the median, {:?} at the 99th \
             percentile, {:?} at worst",
            at(50).unwrap_or(&Duration::ZERO),
            at(99).unwrap_or(&Duration::ZERO),
            sorted.last().unwrap_or(&Duration::ZERO),
        )
    }
}
