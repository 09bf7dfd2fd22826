//! Who answers for a VIP, on real kernels with a real client: taking, failing over, handing over,
//! and an API server that is away.

mod stage;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::eventually;

use stage::{FAILOVER, OWNERS, PATIENCE, Stage};

/// How often each way to lose an owner is tried.
const ROUNDS: usize = 10;

/// What takes an owner away, and gives the node back.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Killed,
    Unplugged,
    PoweredOff,
}

// === impl Loss ===

impl Loss {
    async fn begin(self, stage: &Stage, node: &str, vip: IpAddr) -> Result<()> {
        let node = stage.lab.node(node)?;
        match self {
            Self::Killed => {
                node.kill_speaker()?;
                // The node goes on forwarding: only who has to ask for its address sees the loss.
                stage.lab.client_host()?.forget_neighbor(vip)
            }
            Self::Unplugged => node.cut_link(),
            Self::PoweredOff => node.power_off().await,
        }
    }

    async fn end(self, stage: &Stage, name: &str) -> Result<()> {
        let node = stage.lab.node(name)?;
        match self {
            Self::Killed => node.start_speaker()?,
            Self::Unplugged => node.restore_link()?,
            Self::PoweredOff => {
                node.boot()?;
                stage.lab.wait_nodes_ready(&[name.to_owned()], true).await?;
                stage.wait_forwards(name).await?;
            }
        }
        node.wait_speaker_ready().await?;
        // Back as a member: the next round may need it as the successor.
        eventually(PATIENCE, &format!("all others see {name} again"), async || {
            for other in OWNERS.iter().filter(|other| **other != name) {
                let state = stage.lab.node(other)?.speaker_admin("/debug/state").await?;
                let state: serde_json::Value = serde_json::from_str(&state.body)?;
                let members = state["members"].as_array().map_or(&[][..], Vec::as_slice);
                let is_live = members
                    .iter()
                    .any(|member| member["name"] == name && member["isLive"] == true);
                ensure!(is_live, "{other} sees {members:?}");
            }
            Ok(())
        })
        .await
    }
}

/// Takes the owner away again and again: another one answers each time, and the one that comes back
/// takes nothing back.
async fn fails_over(loss: Loss) -> Result<()> {
    let stage = Stage::start().await?;
    let mut outages: Vec<Duration> = Vec::new();
    for round in 0..ROUNDS {
        let vip = stage.vips[round % 2];
        let before = stage.owned(vip).await?;
        let prober = stage.probe(vip).await?;
        loss.begin(&stage, &before.node, vip).await?;
        let after = stage.wait_moved_from(vip, &before.node).await?;
        let report = Stage::report(prober).await?;
        outages.push(report.longest_outage());
        assert!(after.epoch > before.epoch, "{before:?} then {after:?}");
        assert_eq!(after.reason, "NodeDown", "{loss:?} of {}", before.node);

        loss.end(&stage, &before.node).await?;
        assert_eq!(
            stage.owned(vip).await?,
            after,
            "a node that comes back takes nothing back"
        );
    }
    outages.sort();
    println!(
        "{loss:?}: outages of {ROUNDS} failovers, in ms: {:?}",
        millis(&outages)
    );
    assert!(
        outages
            .iter()
            .all(|outage| *outage > Duration::ZERO && *outage < FAILOVER),
        "{outages:?}"
    );
    Ok(())
}

fn millis(durations: &[Duration]) -> Vec<u128> {
    durations.iter().map(Duration::as_millis).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_answers_when_the_owners_speaker_is_killed() -> Result<()> {
    fails_over(Loss::Killed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_answers_when_the_owners_link_goes() -> Result<()> {
    fails_over(Loss::Unplugged).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_answers_when_the_owner_is_gone() -> Result<()> {
    fails_over(Loss::PoweredOff).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_datagram_is_lost_when_an_owner_is_asked_to_leave() -> Result<()> {
    let stage = Stage::start().await?;
    for round in 0..ROUNDS {
        let vip = stage.vips[round % 2];
        let before = stage.owned(vip).await?;
        let prober = stage.probe(vip).await?;
        stage.lab.node(&before.node)?.term_speaker().await?;
        let after = stage.wait_moved_from(vip, &before.node).await?;
        let report = Stage::report(prober).await?;
        assert_eq!(
            report.lost(),
            0,
            "round {round} from {}: {:?}",
            before.node,
            report.outages()
        );
        assert_eq!(after.reason, "Leave");
        stage.lab.node(&before.node)?.start_speaker()?;
        stage.lab.node(&before.node)?.wait_speaker_ready().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_moves_nothing_and_stops_no_failover() -> Result<()> {
    let stage = Stage::start().await?;
    let [stays, moves] = stage.vips;
    let (mut staying, mut moving) = (stage.owned(stays).await?, stage.owned(moves).await?);
    // They must have different owners, so that one of them can be left alone.
    while staying.node == moving.node {
        stage.lab.node(&moving.node)?.term_speaker().await?;
        stage.lab.node(&moving.node)?.start_speaker()?;
        stage.lab.node(&moving.node)?.wait_speaker_ready().await?;
        staying = stage.owned(stays).await?;
        moving = stage.owned(moves).await?;
    }
    let untouched = stage.probe(stays).await?;
    let prober = stage.probe(moves).await?;

    stage.lab.api_server().stop()?;
    // Thirty seconds of outage on each side of the failover.
    untouched
        .wait_for_answers(25_000, Duration::from_secs(90))
        .await?;
    stage.lab.node(&moving.node)?.kill_speaker()?;
    let witness = OWNERS
        .iter()
        .find(|node| **node != moving.node)
        .copied()
        .unwrap_or_default();
    eventually(
        FAILOVER,
        "another node owns what the killed one did",
        async || {
            let owner = stage.owner_seen_by(witness, moves).await?;
            ensure!(owner != moving.node, "{witness} still sees {owner}");
            Ok(())
        },
    )
    .await?;
    prober.wait_for_answers(300, FAILOVER).await?;
    untouched
        .wait_for_answers(25_000, Duration::from_secs(90))
        .await?;
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

    stage.lab.api_server().start().await?;
    let after = stage.wait_moved_from(moves, &moving.node).await?;
    assert_eq!(
        after.reason, "NodeDown",
        "the status tells what happened meanwhile"
    );
    assert_eq!(stage.owned(stays).await?, staying, "nothing else moved");

    let new: IpAddr = "192.0.2.201".parse()?;
    stage.lend_more(new).await?;
    stage.wait_served(new).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_claim_is_withdrawn_and_a_deleted_one_is_silent() -> Result<()> {
    let stage = Stage::start().await?;
    let client = stage.lab.client_host()?;
    let silent = async |vip: IpAddr| {
        client.forget_neighbor(vip)?;
        eventually(PATIENCE, &format!("nobody answers for {vip}"), async || {
            let answered = client.http_get(vip, 80).await;
            ensure!(answered.is_err(), "{answered:?}");
            Ok(())
        })
        .await
    };
    let [released, deleted] = stage.vips;
    let epoch = stage.owned(released).await?.epoch;
    stage.set_state(released, "Releasing").await?;
    eventually(PATIENCE, "the owner says that it has withdrawn", async || {
        ensure!(stage.owned(released).await.is_err(), "the claim names an owner");
        Ok(())
    })
    .await?;
    silent(released).await?;
    stage.delete(deleted).await?;
    silent(deleted).await?;

    stage.set_state(released, "Held").await?;
    let again = stage.wait_served(released).await?;
    assert!(again.epoch > epoch, "epochs never fall: {epoch} then {again:?}");
    Ok(())
}
