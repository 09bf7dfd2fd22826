//! Speakers that are replaced on purpose: a client that asks a thousand times a second misses nothing.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use ferrolb_tests::chart;
use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::prober::{ProbeReport, Prober, ProberOptions};
use kube::Api;
use serde_json::json;

use super::stage::{self, PATIENCE};
use crate::rounds::Rounds;

/// How often the owner is taken away from each address.
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_pod_of_an_owners_speaker_loses_no_datagram() -> Result<()> {
    let lab = stage::installed().await?;
    let addresses = serve(&lab).await?;
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let mut rounds = Rounds::new(addresses.len() * ROUNDS);
    while let Some(round) = rounds.next() {
        let address = &addresses[round % addresses.len()];
        let owner = lab.wait_owner(*address, None).await?;
        let pod = stage::speaker_pod(&lab, &owner).await?;
        let probers = probe(&lab, &addresses).await?;
        lab.kubectl(["-n", chart::NAMESPACE, "delete", "pod", &pod, "--timeout=30s"])?;
        lab.wait_owner(*address, Some(&owner)).await?;
        let [one, other] = nothing_is_lost(probers).await?;
        rounds.count([&one, &other])?;
        let claim = claims.get(&claim_name(*address)).await?;
        let last = claim.status.and_then(|status| status.last_move);
        ensure!(
            last.as_ref().is_some_and(|last| last.reason == "Leave"),
            "{address} moved from {owner}, and the claim says {last:?}"
        );
        stage::wait_rolled_out(&lab, "daemonset/ferrolb-speaker")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_everything_loses_no_datagram() -> Result<()> {
    let lab = stage::installed().await?;
    let addresses = serve(&lab).await?;
    let chart = chart::directory().display().to_string();
    let upgrade = [
        "upgrade",
        chart::RELEASE,
        &chart,
        "-n",
        chart::NAMESPACE,
        "--reuse-values",
    ];
    let mut rounds = Rounds::new(1);
    while let Some(round) = rounds.next() {
        let probers = probe(&lab, &addresses).await?;
        // Whatever changes in the pods has each of them replaced.
        let controller = format!("--set=controller.resources.requests.cpu={}m", 11 + round);
        let speaker = format!("--set=speaker.resources.requests.cpu={}m", 21 + round);
        let change = [&controller, &speaker, "--wait", "--timeout=2m"];
        lab.helm(upgrade.iter().copied().chain(change))?;
        stage::wait_rolled_out(&lab, "daemonset/ferrolb-speaker")?;
        let [one, other] = nothing_is_lost(probers).await?;
        rounds.count([&one, &other])?;
    }
    Ok(())
}

/// A Service with both addresses, served.
async fn serve(lab: &Lab) -> Result<Vec<IpAddr>> {
    stage::run_web(lab, &["n1", "n2", "n3"])?;
    lab.create_load_balancer("web", json!({})).await?;
    let addresses = lab.wait_addresses("web", 2).await?;
    stage::wait_served(lab, &addresses).await?;
    Ok(addresses)
}

/// A client for each address that is being answered a thousand times a second.
async fn probe(lab: &Lab, addresses: &[IpAddr]) -> Result<Vec<(IpAddr, Prober)>> {
    let mut probers = Vec::new();
    for address in addresses {
        let prober = lab.client_host()?.probe(*address, 80, ProberOptions::default())?;
        prober.wait_for_answers(300, PATIENCE).await?;
        probers.push((*address, prober));
    }
    Ok(probers)
}

async fn nothing_is_lost(probers: Vec<(IpAddr, Prober)>) -> Result<[ProbeReport; 2]> {
    let mut reports = Vec::new();
    for (address, prober) in probers {
        prober.wait_for_answers(300, PATIENCE).await?;
        let report = prober.stop()?;
        let lost: Vec<Duration> = report.lost_at().collect();
        ensure!(
            lost.is_empty(),
            "{address}: of {} datagrams these were lost: {lost:?}; served late: {:?}",
            report.sent(),
            report.outages()
        );
        reports.push(report);
    }
    let reports: Result<_, Vec<_>> = reports.try_into();
    reports.map_err(|reports| anyhow!("{} clients, not one for each family", reports.len()))
}
