//! The README's installation on real nodes: what comes up, with which rights, and what is left when
//! it goes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_tests::chart;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::stage::{self, PATIENCE};

const POOL: &str = r#"
apiVersion: ferrolb.io/v1alpha1
kind: AddressPool
metadata: {name: home}
spec: {addresses: ["192.0.2.200-192.0.2.240", "2001:db8::200-2001:db8::2ff"]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_installs_serves_and_uninstalls() -> Result<()> {
    let lab = Lab::builder().pod_nodes(3).start().await?;
    stage::install(&lab, &[])?;
    for node in ["n1", "n2", "n3"] {
        speaker_is_nobody(&lab, node)?;
    }
    a_second_release_is_refused(&lab)?;

    lab.apply(&chart::readme_pool()?)?;
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

    the_notes_upgrade_the_crds(&lab)?;
    uninstall_leaves_services_deletable(&lab).await?;

    // The claims have stayed, so the addresses come back.
    stage::install(&lab, &[])?;
    lab.apply(POOL)?;
    lab.create_load_balancer("web", json!({})).await?;
    ensure!(
        lab.wait_addresses("web", 2).await? == addresses,
        "a new installation gives the Service the address it had"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_refuses_speakers_is_explained() -> Result<()> {
    let lab = Lab::builder().pod_nodes(1).start().await?;
    lab.kubectl(["create", "namespace", chart::NAMESPACE])?;
    let label = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        lab.kubectl(["label", "--overwrite", "namespace", chart::NAMESPACE, &label])
    };
    label("baseline")?;
    lab.helm(chart::readme_install()?)?;
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

    label("privileged")?;
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

/// Reads from the kernel what a speaker has kept of what it was started with.
fn speaker_is_nobody(lab: &Lab, node: &str) -> Result<()> {
    let netns = fs::metadata(lab.node(node)?.netns()?.path())?.ino();
    let status = fs::read_to_string(speaker_process(netns)?.join("status"))?;
    let field = |name: &str| -> Result<Vec<&str>> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("the kernel tells no {name}"))?;
        Ok(line.split_whitespace().collect())
    };
    for (name, expected) in [("Uid:", "65534"), ("Gid:", "65534"), ("Groups:", "65534")] {
        let ids = field(name)?;
        ensure!(ids.iter().all(|id| *id == expected), "{node}: {name} {ids:?}");
    }
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        let set = field(name)?;
        ensure!(set == ["0000000000000000"], "{node}: {name} {set:?}");
    }
    ensure!(
        field("NoNewPrivs:")? == ["1"] && field("Seccomp:")? == ["2"],
        "{node}: {status}"
    );
    Ok(())
}

/// The directory in `/proc` of the speaker that runs on the network of a node.
fn speaker_process(netns: u64) -> Result<PathBuf> {
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let is_speaker = fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("ferrolb-speaker"));
        let is_here = fs::metadata(process.join("ns/net")).is_ok_and(|namespace| namespace.ino() == netns);
        if is_speaker && is_here {
            return Ok(process);
        }
    }
    bail!("no speaker runs there")
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

/// What the notes and `docs/operations.md` have people do before an upgrade.
fn the_notes_upgrade_the_crds(lab: &Lab) -> Result<()> {
    let chart = chart::directory().display().to_string();
    let file = lab.home().path("crds.yaml");
    fs::write(&file, lab.helm(["show", "crds", &chart])?)?;
    let file = file.display().to_string();
    let done = lab.kubectl(["apply", "--server-side", "--force-conflicts", "-f", &file])?;
    ensure!(done.lines().count() == 2, "both kinds are written: {done}");
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
