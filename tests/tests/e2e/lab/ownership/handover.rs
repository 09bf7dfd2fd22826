//! The owner is asked to go: no datagram is lost on the way to the next one.

use anyhow::{Result, ensure};
use ferrolb_core::candidate::EXCLUDE_LABEL;
use ferrolb_tests::lab::eventually;

use super::ROUNDS;
use super::stage::{FAILOVER, OWNERS, PATIENCE, Stage};
use crate::rounds::Rounds;

/// How many datagrams are answered after each handover before it counts as survived.
const AFTERWARDS: u64 = 1_000;

/// Why the owner goes.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Its speaker gets SIGTERM, as in every update.
    Terminated,
    /// Its Node gets the label that keeps it out of load balancers.
    Excluded,
}

// === impl Cause ===

impl Cause {
    async fn begin(self, stage: &Stage, node: &str) -> Result<()> {
        match self {
            Self::Terminated => stage.lab.node(node)?.term_speaker().await,
            Self::Excluded => stage.lab.label_node(node, EXCLUDE_LABEL, Some("")).await,
        }
    }

    async fn end(self, stage: &Stage, name: &str) -> Result<()> {
        match self {
            Self::Terminated => {
                let node = stage.lab.node(name)?;
                node.start_speaker()?;
                node.wait_speaker_ready().await
            }
            Self::Excluded => stage.lab.label_node(name, EXCLUDE_LABEL, None).await,
        }
    }

    /// What the claim tells of the move.
    fn reason(self) -> &'static str {
        match self {
            Self::Terminated => "Leave",
            Self::Excluded => "Drain",
        }
    }
}

/// Has the owner go again and again, under a client that sends a thousand datagrams a second. A client of
/// the other VIP notices nothing either.
async fn loses_nothing(cause: Cause) -> Result<()> {
    let stage = Stage::start().await?;
    let (mut rounds, mut sent, mut late) = (Rounds::new(ROUNDS), 0, 0);
    while let Some(round) = rounds.next() {
        stage.separate().await?;
        let (vip, other) = (stage.vips[round % 2], stage.vips[(round + 1) % 2]);
        let (before, beside) = (stage.wait_owned(vip).await?, stage.wait_owned(other).await?);
        let (prober, untouched) = (stage.probe(vip).await?, stage.probe_beside(other).await?);
        cause.begin(&stage, &before.node).await?;
        let after = stage.wait_moved_from(vip, &before.node).await?;
        prober.wait_for_answers(AFTERWARDS, FAILOVER).await?;
        let report = prober.stop()?;
        sent += report.sent();
        late += report.late();
        assert_eq!(
            report.lost(),
            0,
            "{cause:?}, round {round}: {vip} went from {} to {}; of {} datagrams: {:?}",
            before.node,
            after.node,
            report.sent(),
            report.outages()
        );
        assert_eq!(report.duplicates, 0, "one owner, one reply");
        // It may have been served by the old one to the end: that forwards what still comes.
        let mac = stage.lab.node(&after.node)?.lan().mac();
        eventually(PATIENCE, "the client asks the new owner", async || {
            let asked = stage.lab.client_host()?.neighbor(vip)?;
            ensure!(asked.as_ref() == Some(&mac), "it asks {asked:?}, and {after:?}");
            Ok(())
        })
        .await?;
        let aside = stage.is_untouched(untouched, other, &beside).await?;
        assert_eq!(after.reason, cause.reason());
        assert!(OWNERS.contains(&after.node.as_str()), "{after:?}");
        cause.end(&stage, &before.node).await?;
        stage.wait_candidate(&before.node).await?;
        assert_eq!(
            stage.wait_owned(vip).await?,
            after,
            "a node that may own again takes nothing back"
        );
        rounds.count([&report, &aside])?;
    }
    println!("{cause:?}: {rounds}: 0 of {sent} datagrams lost, {late} late");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_datagram_is_lost_when_an_owner_is_asked_to_leave() -> Result<()> {
    loses_nothing(Cause::Terminated).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_datagram_is_lost_when_the_owners_node_is_excluded() -> Result<()> {
    loses_nothing(Cause::Excluded).await
}
