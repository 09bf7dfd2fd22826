//! How long a client is without service when the owner of an address is lost.
//!
//! Real speakers on process nodes, a client that asks every millisecond, and endpoints on a node
//! that can never be the owner: what kube-proxy adds while it still believes in a dead node's
//! endpoints is another question.
//!
//! What is promised of an outage is judged here and in no test: it takes rounds, and a quiet machine.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::json;

use super::percentile;
use crate::lab::node::Node;
use crate::lab::prober::ProberOptions;
use crate::lab::{Lab, eventually};

/// Nodes with this label may not own addresses.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// What the client asks.
const SERVICE: &str = "web";
/// How long a client may be without service before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many datagrams are answered before and after each fault.
const CALM: u64 = 300;
/// The 99th percentile of the outages has to be below this when an owner is lost.
const LIMIT: Duration = Duration::from_secs(1);

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

/// What the client saw of all rounds of one fault.
struct Summary {
    fault: Fault,
    p50: Duration,
    p99: Duration,
    max: Duration,
    lost: usize,
    sent: usize,
}

/// Measures, prints a table, and fails if a limit is not kept.
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
    let mut excesses = Vec::new();
    for &fault in Fault::value_variants() {
        if args.fault.is_some_and(|only| only != fault) {
            continue;
        }
        let mut rounds = Vec::new();
        for (number, vip) in (1..=args.rounds).zip(vips.iter().cycle()) {
            let round = measure(&lab, fault, *vip).await;
            rounds.push(round.with_context(|| format!("round {number}: owner {}", fault.as_str()))?);
        }
        let summary = Summary::of(fault, &rounds)?;
        println!("{summary}");
        excesses.extend(summary.excess());
    }
    if !excesses.is_empty() {
        bail!("a limit is not kept: {}", excesses.join("; "));
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
    lab.run_app(SERVICE, &[&last]).await?;
    lab.create_load_balancer(SERVICE, json!({})).await?;
    lab.wait_addresses(SERVICE, 2).await
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
    lab.oracle()?.expect(vip);
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
    wait_forwards(lab, node).await?;
    Ok(Round {
        outage: report.longest_outage(),
        lost: report.lost(),
        sent: report.sent(),
    })
}

/// Waits until the kube-proxy of a node, which begins anew at a boot, forwards what comes for either
/// address: the node may be the next owner, and what its proxy lacks is not measured here.
async fn wait_forwards(lab: &Lab, node: &Node) -> Result<()> {
    let host = node.as_host()?;
    for vip in lab.wait_addresses(SERVICE, 2).await? {
        eventually(PATIENCE, &format!("{} forwards {vip}", node.name()), async || {
            host.http_get(vip, 80).await
        })
        .await?;
    }
    Ok(())
}

// === impl Summary ===

impl Summary {
    fn of(fault: Fault, rounds: &[Round]) -> Result<Self> {
        let mut outages: Vec<Duration> = rounds.iter().map(|round| round.outage).collect();
        outages.sort();
        Ok(Self {
            fault,
            p50: percentile(&outages, 50)?,
            p99: percentile(&outages, 99)?,
            max: percentile(&outages, 100)?,
            lost: rounds.iter().map(|round| round.lost).sum(),
            sent: rounds.iter().map(|round| round.sent).sum(),
        })
    }

    /// What of it is more than was promised, in words.
    fn excess(&self) -> Option<String> {
        let name = self.fault.as_str();
        match self.fault {
            Fault::Killed | Fault::LinkDown | Fault::NodeGone => (self.p99 >= LIMIT).then(|| {
                format!(
                    "{name}: the 99th percentile is {:.1} ms, and has to be below {} ms",
                    millis(self.p99),
                    LIMIT.as_millis()
                )
            }),
            Fault::Leaves => (self.lost > 0).then(|| {
                format!(
                    "{name}: {} of {} datagrams are lost, and none may be",
                    self.lost, self.sent
                )
            }),
        }
    }
}

impl fmt::Display for Summary {
    /// A row of the table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = format!("{} of {}", self.lost, self.sent);
        write!(
            f,
            "{:<10} {:>9.1} {:>9.1} {:>9.1} {lost:>20}",
            self.fault.as_str(),
            millis(self.p50),
            millis(self.p99),
            millis(self.max),
        )
    }
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(fault: Fault, outage_ms: u64, lost: usize) -> Option<String> {
        let round = Round {
            outage: Duration::from_millis(outage_ms),
            lost,
            sent: 2000,
        };
        Summary::of(fault, &[round]).unwrap().excess()
    }

    #[test]
    fn a_lost_owner_has_a_second_and_one_that_leaves_has_nothing() {
        for fault in [Fault::Killed, Fault::LinkDown, Fault::NodeGone] {
            assert_eq!(excess(fault, 999, 999), None);
        }
        assert_eq!(
            excess(Fault::NodeGone, 1000, 1000).unwrap(),
            "node gone: the 99th percentile is 1000.0 ms, and has to be below 1000 ms"
        );
        assert_eq!(excess(Fault::Leaves, 0, 0), None);
        assert_eq!(
            excess(Fault::Leaves, 1, 1).unwrap(),
            "leaves: 1 of 2000 datagrams are lost, and none may be"
        );
    }
}
