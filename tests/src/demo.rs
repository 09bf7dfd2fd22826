//! `cargo xtask demo`: FerroLB doing its job on a real cluster, for a person who watches.
//!
//! This file decides what is shown and in which order. Nothing in it is arranged for the show: the
//! chart, the images and the commands are those of the README, the nodes are real kubelets, and what
//! the client saw is measured by the instrument that the tests use.

#![allow(clippy::print_stdout, reason = "what the demo prints is its product")]

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use k8s_openapi::api::core::v1::Service;
use kube::Api;

use self::progress::{show, step};
use crate::chart;
use crate::lab::host::Host;
use crate::lab::prober::{ProbeReport, Prober, ProberOptions};
use crate::lab::{Lab, clock, eventually};

mod progress;

const POOL: &str = include_str!("demo/pool.yaml");
const SERVICE: &str = include_str!("demo/service.yaml");
const DEPLOYMENT: &str = include_str!("demo/deployment.yaml");

/// How long any one thing may take before the demo gives up and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port that the demo's Service shows.
const PORT: u16 = 80;

/// Show FerroLB on a cluster of real nodes: install, serve, lose the owner.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
    /// Leave the cluster running.
    #[arg(long)]
    keep: bool,
}

/// One address of the Service, and who answered for it before the cut.
struct Subject {
    address: IpAddr,
    owner: String,
}

/// Runs the demo.
pub async fn run(args: Args) -> Result<()> {
    let began = clock::now();
    let title = format!(
        "starting a Kubernetes of {} nodes, each with kubelet, containerd and kube-proxy, and a client",
        args.nodes
    );
    let lab = step(&title, Lab::builder().pod_nodes(args.nodes).start()).await?;
    show(
        "kubectl get nodes -o wide",
        &lab.kubectl(["get", "nodes", "-o", "wide"])?,
    );

    install(&lab).await?;
    let subjects = serve(&lab).await?;
    fetch(&lab.client_host()?, &subjects).await?;
    cut_owner(&lab, &subjects).await?;
    fetch(&lab.client_host()?, &subjects).await?;

    if args.keep {
        make_whole(&lab, &subjects).await?;
        play(&lab, &subjects)?;
        lab.keep()?;
    } else {
        step("removing the cluster", async {
            drop(lab);
            Ok(())
        })
        .await?;
    }
    println!("\nAll of it took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Installs the chart with the README's own command.
async fn install(lab: &Lab) -> Result<()> {
    let command = chart::readme_install()?;
    println!("\n$ helm {}", command.join(" "));
    let waiting = ["--wait", "--timeout=2m"].map(str::to_owned);
    step("installing FerroLB, until every pod is Ready", async {
        lab.helm(command.into_iter().chain(waiting))
    })
    .await?;
    let pods = lab.kubectl(["-n", chart::NAMESPACE, "get", "pods", "-o", "wide"])?;
    show("kubectl -n ferrolb-system get pods -o wide", &pods);
    Ok(())
}

/// Creates pool, Service and Deployment; returns the addresses and their owners.
async fn serve(lab: &Lab) -> Result<Vec<Subject>> {
    show(
        "kubectl apply -f pool.yaml -f service.yaml",
        &format!("{POOL}---\n{SERVICE}"),
    );
    lab.apply(POOL)?;
    lab.apply(SERVICE)?;
    let subjects = step(
        "waiting for an EXTERNAL-IP of each family, and for an owner of each",
        async {
            let addresses = eventually(PATIENCE, "the Service has an address of each family", || {
                external_addresses(lab)
            })
            .await?;
            let mut subjects = Vec::new();
            for address in addresses {
                let what = format!("a node answers for {address}");
                let owner = eventually(PATIENCE, &what, || owner(lab, address)).await?;
                subjects.push(Subject { address, owner });
            }
            Ok(subjects)
        },
    )
    .await?;
    show("kubectl get svc web", &lab.kubectl(["get", "svc", "web"])?);
    show(
        "kubectl get addressclaims",
        &lab.kubectl(["get", "addressclaims"])?,
    );

    let first = subjects.first().context("the Service has an address")?;
    println!(
        "\nThe pods go to other nodes than {}, the owner of {}: it is going to be cut off, and what is to\n\
         be measured is the address, not how long kube-proxy believes in the endpoints of a dead node.",
        first.owner, first.address
    );
    lab.apply(&DEPLOYMENT.replace("OWNER", &first.owner))?;
    let lab_kubectl = ["rollout", "status", "deployment/web", "--timeout=60s"];
    step("starting two pods that serve a page", async {
        lab.kubectl(lab_kubectl)
    })
    .await?;
    show(
        "kubectl get pods -o wide",
        &lab.kubectl(["get", "pods", "-o", "wide"])?,
    );
    Ok(subjects)
}

/// Fetches a page from each address, from the client host.
async fn fetch(client: &Host, subjects: &[Subject]) -> Result<()> {
    println!();
    for Subject { address, .. } in subjects {
        let served = eventually(PATIENCE, &format!("a page from {address}"), || {
            client.http_get(*address, PORT)
        })
        .await?;
        println!(
            "client$ curl http://{}/    pod {} on node {} answered",
            bracketed(*address),
            served.pod,
            served.node
        );
    }
    Ok(())
}

/// Cuts the power of the first address's owner, and says what the client saw.
async fn cut_owner(lab: &Lab, subjects: &[Subject]) -> Result<()> {
    let victim = &subjects.first().context("the Service has an address")?.owner;
    let client = lab.client_host()?;
    let mut probers: Vec<(&Subject, Prober)> = Vec::new();
    for subject in subjects {
        let prober = client.probe(subject.address, PORT, ProberOptions::default())?;
        prober.wait_for_answers(500, PATIENCE).await?;
        probers.push((subject, prober));
    }
    let title = format!("cutting the power of {victim}, while the client sends 1,000 datagrams per second");
    step(&title, async {
        lab.node(victim)?.power_off().await?;
        for (subject, prober) in &probers {
            let what = format!("another node answers for {}", subject.address);
            eventually(PATIENCE, &what, || async {
                let owner = owner(lab, subject.address).await?;
                ensure!(owner != *victim, "{owner} still stands in the claim");
                Ok(())
            })
            .await?;
            prober.wait_for_answers(500, PATIENCE).await?;
        }
        Ok(())
    })
    .await?;
    println!();
    for (subject, prober) in probers {
        let report = prober.stop()?;
        let owner = owner(lab, subject.address).await?;
        println!("{}", verdict(subject, &owner, &report));
    }
    show(
        "kubectl get addressclaims",
        &lab.kubectl(["get", "addressclaims"])?,
    );
    Ok(())
}

/// What the client saw, in one line.
fn verdict(subject: &Subject, owner: &str, report: &ProbeReport) -> String {
    let Subject {
        address,
        owner: before,
    } = subject;
    let outage = report.longest_outage().as_millis();
    let counts = format!("{} of {} datagrams lost", report.lost(), report.sent());
    if owner == before {
        format!("{address}: outage {outage} ms ({counts}); {owner} owned it and still does")
    } else {
        format!("{address}: outage {outage} ms ({counts}); it moved from {before} to {owner}")
    }
}

/// Gives the node its power back, so that whoever plays with the cluster has all of it.
async fn make_whole(lab: &Lab, subjects: &[Subject]) -> Result<()> {
    let victim = &subjects.first().context("the Service has an address")?.owner;
    let title = format!("giving {victim} its power back, which takes nothing back");
    step(&title, async {
        let node = lab.node(victim)?;
        node.boot()?;
        // The control plane may not have noticed that it was away; its speaker knows that it is back.
        eventually(PATIENCE, "its speaker is ready", || async {
            let ready = node.speaker_admin("/readyz").await?;
            ensure!(ready.status == 200, "it says {}", ready.body);
            Ok(())
        })
        .await
    })
    .await
}

/// What a person may do with a cluster that stays.
fn play(lab: &Lab, subjects: &[Subject]) -> Result<()> {
    let kubectl = format!("{} kubectl", lab.artifacts().kc().display());
    println!("\nThe cluster stays. To play with it:\n");
    println!("  export KUBECONFIG={}", lab.kubeconfig().display());
    println!("  alias kubectl='{kubectl}'");
    println!("  kubectl get addressclaims --watch");
    let client = lab.client_host()?;
    for Subject { address, .. } in subjects {
        let url = format!("http://{}/", bracketed(*address));
        println!("  ip netns exec {} curl '{url}'", client.netns().name());
    }
    println!(
        "  ip netns exec {} bash    # be the client",
        client.netns().name()
    );
    println!("\n  cargo xtask cluster down       # remove it");
    Ok(())
}

async fn external_addresses(lab: &Lab) -> Result<Vec<IpAddr>> {
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let service = services.get("web").await?;
    let status = service.status.and_then(|status| status.load_balancer);
    let ingress = status.and_then(|balancer| balancer.ingress).unwrap_or_default();
    let addresses: Vec<IpAddr> = ingress
        .iter()
        .filter_map(|entry| entry.ip.as_ref()?.parse().ok())
        .collect();
    ensure!(addresses.len() == 2, "it has {addresses:?}");
    Ok(addresses)
}

/// The node that answers for an address, as its claim says.
async fn owner(lab: &Lab, address: IpAddr) -> Result<String> {
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let claim = claims.get(&claim_name(address)).await?;
    let owner = claim.status.and_then(|status| status.owner);
    Ok(owner.context("its claim names no owner")?.node)
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
