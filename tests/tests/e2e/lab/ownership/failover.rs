//! The owner is lost without a word: another node answers, the one that comes back takes nothing, and
//! what others own is not touched.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::ROUNDS;
use super::stage::{FAILOVER, Stage};
use crate::rounds::Rounds;

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
                stage.wait_forwards(name, &stage.vips).await?;
            }
        }
        node.wait_speaker_ready().await?;
        // Back as a member: the next round may need it as the successor.
        stage.wait_candidate(name).await
    }
}

/// Takes the owner away again and again: another one answers each time, the one that comes back takes
/// nothing back, and a client of the other VIP notices nothing.
async fn fails_over(loss: Loss) -> Result<()> {
    let stage = Stage::start().await?;
    let (mut rounds, mut outages) = (Rounds::new(ROUNDS), Vec::new());
    let (mut late, mut duplicates) = (0, 0);
    while let Some(round) = rounds.next() {
        stage.separate().await?;
        let (vip, other) = (stage.vips[round % 2], stage.vips[(round + 1) % 2]);
        let (before, beside) = (stage.wait_owned(vip).await?, stage.wait_owned(other).await?);
        let (prober, untouched) = (stage.probe(vip).await?, stage.probe_beside(other).await?);
        loss.begin(&stage, &before.node, vip).await?;
        let after = stage.wait_moved_from(vip, &before.node).await?;
        let report = Stage::report(prober).await?;
        outages.push(report.longest_outage());
        late += report.late();
        duplicates += report.duplicates;
        let aside = stage.is_untouched(untouched, other, &beside).await?;
        assert!(after.epoch > before.epoch, "{before:?} then {after:?}");
        assert_eq!(after.reason, "NodeDown", "{loss:?} of {}", before.node);

        loss.end(&stage, &before.node).await?;
        assert_eq!(
            stage.wait_owned(vip).await?.node,
            after.node,
            "a node that comes back takes nothing back"
        );
        rounds.count([&report, &aside])?;
    }
    outages.sort();
    println!(
        "{loss:?}: {rounds}: outages in ms: {:?}; {late} late replies, {duplicates} twice",
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
