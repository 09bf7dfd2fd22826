//! The API server is away: nothing moves because of it, and failover goes on without it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::prober::ProberOptions;

use super::stage::{FAILOVER, OWNERS, Seen, Stage};

/// A datagram each 10 ms for a minute is enough to notice whatever moves; a reply may take as long as half a
/// failover, which a busy machine takes at times.
const ASKING: ProberOptions = ProberOptions {
    interval: Duration::from_millis(10),
    tolerance: Duration::from_millis(200),
};

/// Datagrams from the begin of the outage to the failover, and from there to its end: together a minute.
const EACH_HALF: u64 = 3_000;

/// How long each half may take on a busy machine.
const HALF_PATIENCE: Duration = Duration::from_secs(90);

/// Gives the VIPs different owners, so that one of them can be left alone.
async fn separate(stage: &Stage) -> Result<()> {
    let [stays, moves] = stage.vips;
    while stage.owned(stays).await?.node == stage.owned(moves).await?.node {
        let both = stage.owned(stays).await?.node;
        let node = stage.lab.node(&both)?;
        node.term_speaker().await?;
        stage.wait_moved_from(moves, &both).await?;
        node.start_speaker()?;
        node.wait_speaker_ready().await?;
    }
    Ok(())
}

/// What some nodes hold of a VIP.
async fn seen_by(stage: &Stage, nodes: &[&str], vip: IpAddr) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for node in nodes {
        seen.push(stage.seen_by(node, vip).await?);
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_moves_nothing_and_stops_no_failover() -> Result<()> {
    let stage = Stage::start().await?;
    let client = stage.lab.client_host()?;
    separate(&stage).await?;
    let [stays, moves] = stage.vips;
    // Known to kube-proxy before, which after an outage may take a minute to look again.
    let new: IpAddr = "192.0.2.201".parse()?;
    stage.prepare_more(new).await?;
    let (staying, moving) = (stage.owned(stays).await?, stage.owned(moves).await?);
    let survivors: Vec<_> = OWNERS.into_iter().filter(|node| *node != moving.node).collect();
    let witness = survivors.first().copied().context("there are three nodes")?;
    let before = seen_by(&stage, &OWNERS, stays).await?;
    let untouched = client.probe(stays, 80, ASKING)?;
    let prober = client.probe(moves, 80, ASKING)?;
    for prober in [&untouched, &prober] {
        prober.wait_for_answers(10, FAILOVER).await?;
    }

    stage.lab.api_server().stop()?;
    untouched.wait_for_answers(EACH_HALF, HALF_PATIENCE).await?;
    assert_eq!(
        seen_by(&stage, &OWNERS, stays).await?,
        before,
        "an outage of the API server alone changes nothing"
    );
    stage.lab.node(&moving.node)?.kill_speaker()?;
    client.forget_neighbor(moves)?;
    eventually(
        FAILOVER,
        "another node owns what the killed one did",
        async || {
            let seen = stage.seen_by(witness, moves).await?;
            ensure!(seen.owner != moving.node, "{witness} still sees {seen:?}");
            Ok(())
        },
    )
    .await?;
    prober.wait_for_answers(30, FAILOVER).await?;
    untouched.wait_for_answers(EACH_HALF, HALF_PATIENCE).await?;

    let report = untouched.stop()?;
    assert_eq!(
        report.lost(),
        0,
        "nothing happened to {stays}: {:?}",
        report.outages()
    );
    let report = prober.stop()?;
    assert_eq!(
        report.outages().len(),
        1,
        "one failover of {moves}, and nothing else: {:?}",
        report.outages()
    );
    let after = seen_by(&stage, &survivors, stays).await?;
    let expected: Vec<_> = before
        .iter()
        .filter(|seen| seen.by != moving.node)
        .cloned()
        .collect();
    assert_eq!(after, expected, "the failover of {moves} moved nothing else");

    stage.lab.api_server().start().await?;
    let after = stage.wait_moved_from(moves, &moving.node).await?;
    assert_eq!(
        after.reason, "NodeDown",
        "the status tells what happened meanwhile"
    );
    assert_eq!(stage.owned(stays).await?, staying, "nothing else moved");

    stage.lend_more(new)?;
    stage.wait_served(new).await?;
    Ok(())
}
