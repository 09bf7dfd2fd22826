//! How long a client is without service when the owner of an address is lost.
//!
//! Real speakers on process nodes, a client that asks every millisecond, and endpoints on a node
//! that can never be the owner: what kube-proxy adds while it still believes in a dead node's
//! endpoints is another question.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;

use super::percentile;
use crate::lab::node::Node;
use crate::lab::prober::ProberOptions;
use crate::lab::{Lab, eventually};

/// Nodes with this label may not own addresses.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// How long a client may be without service before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many datagrams are answered before and after each fault.
const CALM: u64 = 300;

/// How to measure.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// How often each fault is made, alternately on an IPv4 and an IPv6 address.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many nodes can own the address; one more runs the endpoints.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=20))]
    nodes: u8,
    /// Only this fault.
    #[arg(long, value_enum)]
    fault: Option<Fault>,
}

/// What happens to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// Its speaker is killed with SIGKILL.
    Killed,
    /// Its cable to the LAN is pulled.
    LinkDown,
    /// The whole node loses power.
    NodeGone,
    /// Its speaker is asked to leave with SIGTERM.
    Leaves,
}

/// What the client saw of one fault.
struct Round {
    outage: Duration,
    lost: usize,
    sent: usize,
}

/// Measures and prints a table.
pub(super) async fn run(args: Args) -> Result<()> {
    println!(
        "A client asks every millisecond; an outage lasts from the first datagram without a reply\n\
         within 50 ms to the next reply. {} nodes can own the address; {} rounds of each fault.\n",
        args.nodes, args.rounds
    );
    let lab = Lab::builder().process_nodes(args.nodes + 1).start().await?;
    lab.install_crds().await?;
    // Dropped, they end.
    let _controllers = lab.start_controller(1, &[]).await?;
    let vips = prepare(&lab).await?;
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>20}",
        "owner", "p50 ms", "p99 ms", "max ms", "datagrams lost"
    );
    for &fault in Fault::value_variants() {
        if args.fault.is_some_and(|only| only != fault) {
            continue;
        }
        let mut rounds = Vec::new();
        for (number, vip) in (1..=args.rounds).zip(vips.iter().cycle()) {
            let round = measure(&lab, fault, *vip).await;
            rounds.push(round.with_context(|| format!("round {number}: owner {}", fault.as_str()))?);
        }
        print(fault, &rounds)?;
    }
    Ok(())
}

/// Starts the speakers, with a Service whose endpoints are on the last node, which owns nothing.
/// Returns the Service's addresses.
async fn prepare(lab: &Lab) -> Result<Vec<IpAddr>> {
    let last = lab.nodes().last().context("the lab has nodes")?.name();
    lab.label_node(&last, EXCLUDED, Some("")).await?;
    lab.create_pool("bench", &["192.0.2.200-192.0.2.209", "2001:db8::200/124"])
        .await?;
    lab.start_speakers(&[]).await?;
    lab.run_app("web", &[&last]).await?;
    lab.create_load_balancer("web", json!({})).await?;
    lab.wait_addresses("web", 2).await
}

/// Makes one fault, lets the client see it through, and repairs it.
async fn measure(lab: &Lab, fault: Fault, vip: IpAddr) -> Result<Round> {
    let owner = lab.wait_owner(vip, None).await?;
    let node = lab.node(&owner)?;
    let client = lab.client_host()?;
    eventually(PATIENCE, "the page is served", async || {
        client.http_get(vip, 80).await
    })
    .await?;
    let prober = client.probe(vip, 80, ProberOptions::default())?;
    prober.wait_for_answers(CALM, PATIENCE).await?;
    fault.make(node).await?;
    if fault == Fault::Killed {
        // The node goes on forwarding, so that only who has to ask for its address sees the fault.
        client.forget_neighbor(vip)?;
    }
    // Answers of the last owner may still be under way, so the next owner's word comes first.
    lab.wait_owner(vip, Some(&owner)).await?;
    prober.wait_for_answers(CALM, PATIENCE).await?;
    let report = prober.stop()?;
    fault.repair(node)?;
    node.wait_speaker_ready().await?;
    // Its kube-proxy begins anew, too, and may be asked to forward for the next round's client.
    let host = node.as_host()?;
    eventually(PATIENCE, "the node forwards again", async || {
        host.http_get(vip, 80).await
    })
    .await?;
    Ok(Round {
        outage: report.longest_outage(),
        lost: report.lost(),
        sent: report.sent(),
    })
}

fn print(fault: Fault, rounds: &[Round]) -> Result<()> {
    let mut outages: Vec<Duration> = rounds.iter().map(|round| round.outage).collect();
    outages.sort();
    let millis = |percent| anyhow::Ok(percentile(&outages, percent)?.as_secs_f64() * 1000.0);
    let lost: usize = rounds.iter().map(|round| round.lost).sum();
    let sent: usize = rounds.iter().map(|round| round.sent).sum();
    println!(
        "{:<10} {:>9.1} {:>9.1} {:>9.1} {:>20}",
        fault.as_str(),
        millis(50)?,
        millis(99)?,
        millis(100)?,
        format!("{lost} of {sent}")
    );
    Ok(())
}

// === impl Fault ===

impl Fault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::LinkDown => "link down",
            Self::NodeGone => "node gone",
            Self::Leaves => "leaves",
        }
    }

    async fn make(self, node: &Node) -> Result<()> {
        match self {
            Self::Killed => node.kill_speaker(),
            Self::LinkDown => node.cut_link(),
            Self::NodeGone => node.power_off().await,
            Self::Leaves => node.term_speaker().await,
        }
    }

    fn repair(self, node: &Node) -> Result<()> {
        match self {
            Self::Killed | Self::Leaves => node.start_speaker(),
            Self::LinkDown => node.restore_link(),
            Self::NodeGone => node.boot(),
        }
    }
}
