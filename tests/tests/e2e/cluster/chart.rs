//! The README's installation on real nodes: what comes up, with which rights, and what is left when
//! it goes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use ferrolb_tests::chart;
use ferrolb_tests::lab::{Lab, eventually, http};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::stage::{self, PATIENCE};

mod confinement;

const POOL: &str = r#"
apiVersion: ferrolb.io/v1alpha1
kind: AddressPool
metadata: {name: home}
spec: {addresses: ["192.0.2.200-192.0.2.240", "2001:db8::200-2001:db8::2ff"]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_installs_serves_and_uninstalls() -> Result<()> {
    let lab = Lab::builder().pod_nodes(3).start().await?;
    let printed = stage::install(&lab, &[])?;
    confinement::check(&lab)?;
    a_second_release_is_refused(&lab)?;

    // The README's words and the notes' are the same, which another test sees to.
    stage::type_from_notes(&lab, &printed, "AddressPool")?;
    lab.kubectl([
        "wait",
        "addresspool/home",
        "--for=condition=Ready",
        "--timeout=10s",
    ])?;
    // Addresses of this network, and of both families.
    lab.apply(POOL)?;
    stage::run_web(&lab, &["n1", "n2", "n3"])?;
    lab.create_load_balancer("web", json!({})).await?;
    let addresses = lab.wait_addresses("web", 2).await?;
    stage::wait_served(&lab, &addresses).await?;
    nothing_was_forbidden(&lab).await?;

    let looked = stage::type_from_notes(&lab, &printed, "kubectl get addressclaims")?;
    ensure!(
        looked.contains(&addresses[0].to_string()) && looked.contains("default/web"),
        "{looked}"
    );
    let written = stage::type_from_notes(&lab, &printed, "helm show crds")?;
    ensure!(written.lines().count() == 2, "both kinds are written: {written}");
    uninstall_leaves_services_deletable(&lab).await?;

    // The claims have stayed, so the addresses come back.
    stage::install(&lab, &["--set-string=speaker.metricsBind=[::]:7982"])?;
    lab.apply(POOL)?;
    lab.create_load_balancer("web", json!({})).await?;
    ensure!(
        lab.wait_addresses("web", 2).await? == addresses,
        "a new installation gives the Service the address it had"
    );
    metrics_are_on_the_network(&lab).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_refuses_speakers_is_explained() -> Result<()> {
    let lab = Lab::builder().pod_nodes(1).start().await?;
    lab.kubectl(["create", "namespace", chart::NAMESPACE])?;
    let baseline = "pod-security.kubernetes.io/enforce=baseline";
    lab.kubectl(["label", "namespace", chart::NAMESPACE, baseline])?;
    let printed = lab.helm(chart::readme_install()?)?;
    stage::wait_rolled_out(&lab, "deployment/ferrolb-controller")?;
    let reason = "--field-selector=reason=NoSpeakerPods";
    let note = eventually(
        PATIENCE,
        "an Event says that the speakers have no pods",
        || async {
            let notes = [
                "get",
                "events",
                "-A",
                reason,
                "-o",
                "jsonpath={.items[*].message}",
            ];
            let note = lab.kubectl(notes)?;
            ensure!(!note.is_empty(), "there is no such Event");
            Ok(note)
        },
    )
    .await?;
    let remedy = "pod-security.kubernetes.io/enforce=privileged";
    ensure!(note.contains(remedy), "the Event names the remedy: {note}");
    every_controller_says(&lab, |page| page.contains(remedy)).await?;

    stage::type_from_notes(&lab, &printed, remedy)?;
    stage::wait_rolled_out(&lab, "daemonset/ferrolb-speaker")?;
    every_controller_says(&lab, |page| !page.contains(remedy)).await
}

/// Waits until `/readyz` of every controller is as it should be.
async fn every_controller_says(lab: &Lab, is_right: impl Fn(&str) -> bool) -> Result<()> {
    eventually(PATIENCE, "every controller says so in /readyz", async || {
        for pod in stage::pods(lab, "controller").await? {
            let page = stage::controller_page(lab, &pod.name_any(), "/readyz")?;
            ensure!(is_right(&page), "{} says {page}", pod.name_any());
        }
        Ok(())
    })
    .await
}

fn a_second_release_is_refused(lab: &Lab) -> Result<()> {
    let chart = chart::directory().display().to_string();
    let second = [
        "install",
        "second",
        &chart,
        "-n",
        "elsewhere",
        "--create-namespace",
    ];
    let refusal = lab.helm(second).err().context("a second release was installed")?;
    let refusal = refusal.to_string();
    ensure!(
        refusal.contains("ClusterRole") && refusal.contains("invalid ownership metadata"),
        "{refusal}"
    );
    Ok(())
}

/// Every call that the programs make is one that their roles allow.
async fn nothing_was_forbidden(lab: &Lab) -> Result<()> {
    let mut pages = Vec::new();
    for pod in stage::pods(lab, "controller").await? {
        pages.push(stage::controller_page(lab, &pod.name_any(), "/metrics")?);
    }
    for node in lab.nodes() {
        pages.push(node.speaker_admin("/metrics").await?.body);
    }
    for page in pages {
        let listed = page.lines().find(|line| line.contains("_watch_lists_total{"));
        ensure!(listed.is_some(), "lists are counted: {page}");
        let refused = ["\"Forbidden\"", "\"Rejected\""];
        let refused = page
            .lines()
            .find(|line| refused.iter().any(|word| line.contains(word)));
        ensure!(refused.is_none(), "{refused:?}");
    }
    Ok(())
}

/// A value of the chart lets scrapers see what is otherwise on loopback, and no other page.
async fn metrics_are_on_the_network(lab: &Lab) -> Result<()> {
    let client = lab.client_host()?;
    for node in lab.nodes() {
        for address in [IpAddr::V4(node.lan().ipv4()), IpAddr::V6(node.lan().ipv6())] {
            let server = SocketAddr::new(address, 7982);
            let metrics = http::request(client.netns(), "GET", server, "/metrics").await?;
            ensure!(
                metrics.status == 200 && metrics.body.contains("ferrolb_speaker_members "),
                "{server}: {metrics:?}"
            );
            let state = http::request(client.netns(), "GET", server, "/debug/state").await?;
            ensure!(state.status == 404, "{server}: {state:?}");
        }
    }
    Ok(())
}

async fn uninstall_leaves_services_deletable(lab: &Lab) -> Result<()> {
    lab.helm(["uninstall", chart::RELEASE, "-n", chart::NAMESPACE, "--wait"])?;
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let service = services.get("web").await?;
    ensure!(service.finalizers().is_empty(), "{:?}", service.finalizers());
    services.delete("web", &DeleteParams::default()).await?;
    ensure!(
        services.get_opt("web").await?.is_none(),
        "the Service is gone at once"
    );
    let kept = stage::claims(lab).await?.len();
    ensure!(
        kept == 2,
        "both claims stay, for the next installation; there are {kept}"
    );
    Ok(())
}
