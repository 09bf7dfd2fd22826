//! The API server is away for a minute: nothing moves because of it, failover goes on without it, and
//! what is new is served soon after it is back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::prober::ProberOptions;
use ferrolb_tests::lab::product::leader;
use ferrolb_tests::lab::{clock, eventually, writes};
use serde_json::{Value, json};

use super::stage::{FAILOVER, Held, OWNERS, Owned, PATIENCE, SERVICE, Stage};

/// Services beside that of the stage, so that there is much that could move.
const OTHERS: [&str; 3] = ["other-1", "other-2", "other-3"];

/// The Service that is created when the API server is back, and the address that it gets: kube-proxy is
/// told of that one before, as of an external IP of another Service. After a minute without an API server,
/// kube-proxy itself pauses for up to 90 s before it looks for new Services, which is not in our hands.
const LATE: &str = "late";
const LATE_VIP: &str = "192.0.2.240";

/// A datagram each 10 ms for a minute is enough to notice whatever moves.
const ASKING: ProberOptions = ProberOptions {
    interval: Duration::from_millis(10),
    tolerance: Duration::from_millis(200),
};

/// How long a datagram may be under way on a busy machine.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Datagrams from the begin of the outage to the failover, and from there to its end: together a minute.
const EACH_HALF: u64 = 3_000;

/// How long each half may take on a busy machine.
const HALF_PATIENCE: Duration = Duration::from_secs(90);

/// From the API server's being ready to a client's being served by a new Service; the product aims at 3 s,
/// and this machine may be busy.
const SERVED: Duration = Duration::from_secs(12);

/// How long nobody writes when everything has been said: members that are believed to be dead for a second
/// are given up.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_for_a_minute_moves_nothing_and_stops_no_failover() -> Result<()> {
    let stage = Stage::start().await?;
    let client = stage.lab.client_host()?;
    let vips = lend_others(&stage).await?;
    prepare_late(&stage).await?;
    stage.separate().await?;
    let before = wait_held(&stage, &OWNERS, &vips).await?;
    let claimed = claimed(&stage, &vips).await?;
    let [moves, stays] = stage.vips;
    let victim = before[&moves].owner.clone();
    let survivors: Vec<_> = OWNERS.into_iter().filter(|node| *node != victim).collect();
    let untouched = client.probe(stays, 80, ASKING)?;
    let prober = client.probe(moves, 80, ASKING)?;
    for prober in [&untouched, &prober] {
        prober.wait_for_answers(10, FAILOVER).await?;
    }

    let stopped = clock::now();
    stage.lab.api_server().stop()?;
    wait_standing_by(&stage).await?;
    untouched.wait_for_answers(EACH_HALF, HALF_PATIENCE).await?;
    assert_eq!(
        stage.held_by(&OWNERS).await?,
        before,
        "an outage of the API server alone changes nothing"
    );
    let cut = prober.elapsed().saturating_sub(UNDER_WAY);
    stage.lab.node(&victim)?.cut_link()?;
    let after = wait_moved(&stage, &survivors, &before, &victim).await?;
    prober.wait_for_answers(30, FAILOVER).await?;
    let served = prober.elapsed();
    untouched.wait_for_answers(EACH_HALF, HALF_PATIENCE).await?;

    Stage::lost_nothing(untouched, stays)?.check_pace()?;
    let report = prober.stop()?;
    report.check_pace()?;
    let beside: Vec<_> = report
        .lost_at()
        .filter(|at| !(cut..served).contains(at))
        .collect();
    assert!(
        beside.is_empty(),
        "{moves} failed over from {cut:?} to {served:?}, and these were lost beside that: {beside:?}"
    );
    assert!(report.lost() > 0, "a cut cable costs the client something");
    assert_eq!(
        stage.held_by(&survivors).await?,
        after,
        "after the failover nothing moved"
    );
    wait_standing_by(&stage).await?;
    println!(
        "{} VIPs, the API server away for {:?}; the failover cost {} datagrams of {:?}, {} were late",
        vips.len(),
        stopped.elapsed(),
        report.lost(),
        ASKING.interval,
        report.late()
    );

    stage.lab.api_server().start().await?;
    is_served_soon(&stage).await?;
    leader(&stage.controllers).await?;
    for vip in vips {
        let now = stage.wait_moved_from(vip, &victim).await?;
        let was = &claimed[&vip];
        if was.node == victim {
            assert_eq!(now.reason, "NodeDown", "{vip} went from {was:?} to {now:?}");
            assert_eq!(
                now.node, after[&vip].owner,
                "the claim of {vip} tells what happened"
            );
        } else {
            assert_eq!(now, *was, "nothing happened to {vip}");
        }
    }
    // The victim reaches the API server and nobody else, so that it believes all the others to be dead.
    writes::wait_quiet(&stage.lab.client(), QUIET, PATIENCE).await
}

/// Adds the other Services; returns all VIPs.
async fn lend_others(stage: &Stage) -> Result<Vec<IpAddr>> {
    let mut vips = stage.vips.to_vec();
    for name in OTHERS {
        create_alike(stage, name, json!({})).await?;
        vips.extend(stage.lab.wait_addresses(name, 2).await?);
    }
    Ok(vips)
}

/// Creates a Service with the endpoints of that of the stage.
async fn create_alike(stage: &Stage, name: &str, spec: Value) -> Result<()> {
    let mut alike = json!({ "selector": { "app": SERVICE } });
    alike
        .as_object_mut()
        .context("a map")?
        .extend(spec.as_object().cloned().unwrap_or_default());
    stage.lab.create_load_balancer(name, alike).await?;
    Ok(())
}

/// Has every kube-proxy forward what comes for the address of the late Service.
async fn prepare_late(stage: &Stage) -> Result<()> {
    let spec = json!({ "type": "ClusterIP", "externalIPs": [LATE_VIP] });
    create_alike(stage, "prepares-late", spec).await?;
    for node in OWNERS {
        stage.wait_forwards(node, &[LATE_VIP.parse()?]).await?;
    }
    Ok(())
}

/// Waits until these nodes agree on who owns each of these VIPs.
async fn wait_held(stage: &Stage, nodes: &[&str], vips: &[IpAddr]) -> Result<BTreeMap<IpAddr, Held>> {
    let what = format!("{nodes:?} agree on the owners of {} VIPs", vips.len());
    eventually(PATIENCE, &what, async || {
        let held = stage.held_by(nodes).await?;
        let missing: Vec<_> = vips.iter().filter(|vip| !held.contains_key(vip)).collect();
        ensure!(missing.is_empty(), "{missing:?} are not known");
        Ok(held)
    })
    .await
}

/// Waits until the VIPs of the victim are owned by survivors, with all others where they were.
async fn wait_moved(
    stage: &Stage,
    survivors: &[&str],
    before: &BTreeMap<IpAddr, Held>,
    victim: &str,
) -> Result<BTreeMap<IpAddr, Held>> {
    let what = format!("what {victim} owned has other owners, and nothing else has");
    eventually(FAILOVER, &what, async || {
        let now = stage.held_by(survivors).await?;
        for (vip, was) in before {
            let is = now.get(vip).with_context(|| format!("{vip} is forgotten"))?;
            if was.owner == victim {
                ensure!(is.owner != victim && is.epoch > was.epoch, "{vip}: {is:?}");
            } else {
                ensure!(is == was, "{vip} went from {was:?} to {is:?}");
            }
        }
        Ok(now)
    })
    .await
}

/// What the claims say.
async fn claimed(stage: &Stage, vips: &[IpAddr]) -> Result<BTreeMap<IpAddr, Owned>> {
    let mut claimed = BTreeMap::new();
    for vip in vips {
        claimed.insert(*vip, stage.wait_owned(*vip).await?);
    }
    Ok(claimed)
}

/// Waits until both controllers run without the Lease, which nobody can renew.
async fn wait_standing_by(stage: &Stage) -> Result<()> {
    eventually(PATIENCE, "both controllers stand by", async || {
        for controller in &stage.controllers {
            controller.process()?.check_running()?;
            ensure!(!controller.is_leading().await?, "one leads");
        }
        Ok(())
    })
    .await
}

/// Creates a Service, and waits until a client is served.
async fn is_served_soon(stage: &Stage) -> Result<()> {
    let began = clock::now();
    eventually(SERVED, "the API server takes a Service", async || {
        let spec = json!({ "ipFamilyPolicy": "SingleStack", "loadBalancerIP": LATE_VIP });
        create_alike(stage, LATE, spec).await
    })
    .await?;
    let vips = stage.lab.wait_addresses(LATE, 1).await?;
    let shown = began.elapsed();
    let vip: IpAddr = LATE_VIP.parse()?;
    assert_eq!(vips, [vip]);
    let client = stage.lab.client_host()?;
    eventually(SERVED, &format!("a client is served by {vip}"), async || {
        client.http_get(vip, 80).await
    })
    .await?;
    let served = began.elapsed();
    println!(
        "a Service created when the API server was back: its address after {shown:?}, a page after {served:?}"
    );
    ensure!(served < SERVED, "the first page took {served:?}");
    Ok(())
}
