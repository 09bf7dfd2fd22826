//! The README's installation on real nodes: what comes up, with which rights, and what is left when
//! it goes.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_crds::AddressClaim;
use ferrolb_tests::chart;
use ferrolb_tests::lab::prober::ProberOptions;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

const POOL: &str = r#"
apiVersion: ferrolb.io/v1alpha1
kind: AddressPool
metadata: {name: home}
spec: {addresses: ["192.0.2.200-192.0.2.240", "2001:db8::200-2001:db8::2ff"]}
"#;

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: ferrolb.test/testapp:1
        args: [serve]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_installs_serves_updates_and_uninstalls() -> Result<()> {
    let lab = Lab::builder().pod_nodes(3).start().await?;
    install(&lab)?;
    for node in ["n1", "n2", "n3"] {
        speaker_is_nobody(&lab, node)?;
    }
    a_second_release_is_refused(&lab)?;

    lab.apply(POOL)?;
    lab.apply(WEB)?;
    lab.create_load_balancer("web", json!({})).await?;
    let addresses = addresses(&lab).await?;
    let client = lab.client_host()?;
    for address in &addresses {
        let what = format!("a page from {address}");
        eventually(PATIENCE, &what, || client.http_get(*address, 80)).await?;
    }

    update_loses_nothing(&lab, &addresses).await?;
    uninstall_leaves_services_deletable(&lab).await?;

    // The claims have stayed, so the addresses come back.
    install(&lab)?;
    lab.apply(POOL)?;
    lab.create_load_balancer("web", json!({})).await?;
    ensure!(
        self::addresses(&lab).await? == addresses,
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
    let rollout = [
        "rollout",
        "status",
        "deployment/ferrolb-controller",
        "--timeout=60s",
    ];
    lab.kubectl(["-n", chart::NAMESPACE].iter().chain(&rollout))?;
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

    label("privileged")?;
    let rollout = ["rollout", "status", "daemonset/ferrolb-speaker", "--timeout=90s"];
    lab.kubectl(["-n", chart::NAMESPACE].iter().chain(&rollout))?;
    Ok(())
}

/// Runs the README's `helm install`, and waits until every pod is Ready.
fn install(lab: &Lab) -> Result<()> {
    let command = chart::readme_install()?;
    let waiting = ["--wait", "--timeout=2m"].map(str::to_owned);
    lab.helm(command.into_iter().chain(waiting))?;
    Ok(())
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

/// Replaces every speaker, one after another, while a client sends a thousand datagrams per second
/// to each address.
async fn update_loses_nothing(lab: &Lab, addresses: &[IpAddr]) -> Result<()> {
    let client = lab.client_host()?;
    let mut probers = Vec::new();
    for address in addresses {
        let prober = client.probe(*address, 80, ProberOptions::default())?;
        prober.wait_for_answers(200, PATIENCE).await?;
        probers.push((address, prober));
    }
    let speakers = ["-n", chart::NAMESPACE, "rollout"];
    lab.kubectl(speakers.iter().chain(&["restart", "daemonset/ferrolb-speaker"]))?;
    let status = ["status", "daemonset/ferrolb-speaker", "--timeout=120s"];
    lab.kubectl(speakers.iter().chain(&status))?;
    for (address, prober) in probers {
        prober.wait_for_answers(200, PATIENCE).await?;
        let report = prober.stop()?;
        ensure!(
            report.lost() == 0,
            "{address}: {} of {} datagrams lost while speakers were updated: {:?}",
            report.lost(),
            report.sent(),
            report.outages()
        );
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
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let kept = claims.list(&Default::default()).await?.items.len();
    ensure!(
        kept == 2,
        "both claims stay, for the next installation; there are {kept}"
    );
    Ok(())
}

async fn addresses(lab: &Lab) -> Result<Vec<IpAddr>> {
    let services: Api<Service> = Api::default_namespaced(lab.client());
    eventually(PATIENCE, "the Service has an address of each family", || async {
        let service = services.get("web").await?;
        let status = service.status.and_then(|status| status.load_balancer);
        let ingress = status.and_then(|balancer| balancer.ingress).unwrap_or_default();
        let addresses: Vec<IpAddr> = ingress
            .iter()
            .filter_map(|entry| entry.ip.as_ref()?.parse().ok())
            .collect();
        ensure!(addresses.len() == 2, "it has {addresses:?}");
        Ok(addresses)
    })
    .await
}
