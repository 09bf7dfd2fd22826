//! The API server is away, killed or hanging: afterwards a new Service is served within seconds, and
//! meanwhile nothing is forgotten. With all that runs in a cluster a minute of it is shown in
//! `lab/ownership/outage.rs`.
//!
//! The two ways of being away take place side by side, each with a control plane of its own, since most
//! of their time is waiting. `FERROLB_OUTAGES` says how long they last, in seconds: `5,60,300`, say.

use std::env::VarError;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{Lab, clock, eventually, throughout};
use serde_json::json;

use super::shared::start_with;
use super::tenant::Tenant;

/// Short: nothing may have noticed. Long: every wait between attempts has grown to its longest, the
/// Lease is lost, and watches are older than they may become.
const OUTAGES: &str = "5,60";

/// From the API server's being ready to a new Service's address, on a machine that may be busy.
const SERVED: Duration = Duration::from_secs(10);

/// The same as the product promises it: whoever asks for outages of their own measures that.
const PROMISED: Duration = Duration::from_secs(3);

/// How long the Lease lasts, with some room.
const LEASE: Duration = Duration::from_secs(10);

/// How the API server is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Every connection breaks, new ones are refused.
    Killed,
    /// Connections stay open and are taken, and nothing is answered.
    Hung,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_is_served_seconds_after_the_api_server_is_back() -> Result<()> {
    let (outages, served) = match std::env::var("FERROLB_OUTAGES") {
        Ok(text) => (parse(&text)?, PROMISED),
        Err(VarError::NotPresent) => (parse(OUTAGES)?, SERVED),
        Err(error) => return Err(error).context("FERROLB_OUTAGES"),
    };
    tokio::try_join!(
        is_away(Away::Killed, &outages, served),
        is_away(Away::Hung, &outages, served)
    )?;
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Duration>> {
    let seconds = text.split(',').map(|word| word.trim().parse());
    let seconds: Result<Vec<u64>, _> = seconds.collect();
    let seconds = seconds.with_context(|| format!("FERROLB_OUTAGES is {text}, no list of seconds"))?;
    Ok(seconds.into_iter().map(Duration::from_secs).collect())
}

async fn is_away(how: Away, outages: &[Duration], served: Duration) -> Result<()> {
    let (lab, controllers) = start_with(1, &[]).await?;
    let controller = &controllers[0];
    let tenant = Tenant::new(&lab, "away").await?;
    let spec = json!({ "addresses": ["10.28.0.0/28"], "autoAssign": true });
    tenant.pool("away", spec).await?;
    tenant.service("s0", json!({})).await?;
    tenant.shows("s0", &["10.28.0.0"]).await?;
    let pid = controller.process()?.pid();
    for (number, outage) in outages.iter().enumerate() {
        begin(how, &lab)?;
        let ended = lasts(*outage, controller, number + 1).await;
        end(how, &lab).await?;
        ended?;
        let began = clock::now();
        let name = format!("s{}", number + 1);
        eventually(served, "the API server takes a Service", async || {
            tenant.service(&name, json!({})).await
        })
        .await?;
        tenant.shows(&name, &[&format!("10.28.0.{}", number + 1)]).await?;
        let took = began.elapsed();
        println!("{how:?} for {outage:?}: a new Service is served {took:?} after the API server is back");
        ensure!(took <= served, "{how:?} for {outage:?}: it took {took:?}");
        tenant.shows("s0", &["10.28.0.0"]).await?;
        assert_eq!(controller.process()?.pid(), pid, "it is the same process");
    }
    controller.process()?.check_running()
}

fn begin(how: Away, lab: &Lab) -> Result<()> {
    match how {
        Away::Killed => lab.api_server().stop(),
        Away::Hung => lab.api_server().freeze(),
    }
}

async fn end(how: Away, lab: &Lab) -> Result<()> {
    match how {
        Away::Killed => lab.api_server().start().await,
        Away::Hung => lab.api_server().thaw(),
    }
}

/// Waits for an outage to last as long as it shall. One that is long costs the Lease and nothing else.
async fn lasts(outage: Duration, controller: &Controller, services: usize) -> Result<()> {
    let began = clock::now();
    if outage > LEASE {
        eventually(LEASE, "the Lease is lost", async || {
            ensure!(!controller.is_leading().await?, "it leads");
            Ok(())
        })
        .await?;
    }
    let left = outage.saturating_sub(began.elapsed());
    throughout(left, "it is well and forgets nothing", async || {
        controller.process()?.check_running()?;
        let state = controller.state().await?;
        ensure!(state["services"] == services, "what it knew it knows: {state}");
        let ready = controller.admin("/readyz").await?;
        ensure!(
            ready.status == 200,
            "an outage is no reason to restart it: {ready:?}"
        );
        Ok(())
    })
    .await
}
