//! Labs go without a trace, whichever way their owner ends, and never meet each other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::home::LabId;
use ferrolb_tests::lab::kube_proxy::ProxyMode;
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::teardown::Remains;
use ferrolb_tests::lab::{Lab, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// Starts a lab in a process of its own; returns when its id is known, which is long before it works.
fn start_owner(kind: &str) -> Result<(Child, LabId, BufReader<impl std::io::Read>)> {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_ferrolb-lab"))
        .args(["cluster", "up", "--foreground", "--nodes=2", "--kind", kind])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stderr.take().context("piped")?).read_line(&mut line)?;
    let id = line.strip_prefix("lab ").and_then(|rest| rest.split_once(':'));
    let id = id
        .with_context(|| format!("the first line names the lab: {line}"))?
        .0;
    let output = BufReader::new(owner.stdout.take().context("piped")?);
    Ok((owner, LabId::parse(id)?, output))
}

async fn is_gone_after(kind: &str, signal: Signal, is_up: bool) -> Result<()> {
    let (mut owner, id, mut output) = start_owner(kind)?;
    if is_up {
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.starts_with("ready after"), "{line}");
        let there = Remains::of(&id);
        ensure!(
            !there.namespaces.is_empty() && !there.processes.is_empty(),
            "{there:?}"
        );
        ensure!(
            kind != "pods" || !there.cgroups.is_empty(),
            "pods have cgroups: {there:?}"
        );
    }
    kill(Pid::from_raw(i32::try_from(owner.id())?), signal)?;
    owner.wait()?;
    let what = format!("nothing of a lab of {kind} is left after {signal}");
    eventually(Duration::from_secs(40), &what, async || {
        let left = Remains::of(&id);
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_processes_is_gone_after_its_owner_was_killed() -> Result<()> {
    is_gone_after("processes", Signal::SIGKILL, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_pods_is_gone_after_its_owner_was_killed() -> Result<()> {
    is_gone_after("pods", Signal::SIGKILL, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_pods_is_gone_after_ctrl_c() -> Result<()> {
    is_gone_after("pods", Signal::SIGINT, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_gone_after_its_owner_was_killed_while_starting_it() -> Result<()> {
    for kind in ["processes", "pods"] {
        is_gone_after(kind, Signal::SIGKILL, false).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_gone_after_a_panic() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    let id = lab.home().id().clone();
    let panicked = tokio::spawn(async move {
        let _lab = lab;
        panic!("a test fails");
    })
    .await;
    assert!(panicked.is_err());
    let left = Remains::of(&id);
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// A lab with everything that runs in a cluster and a Service with an endpoint.
async fn start_serving(app: &str, proxy: ProxyMode) -> Result<(Vec<Controller>, Lab)> {
    let lab = Lab::builder().process_nodes(2).proxy(proxy).start().await?;
    lab.install_crds().await?;
    lab.create_pool("lan", &["192.0.2.200/31", "2001:db8::200/127"])
        .await?;
    let controllers = lab.start_controller(1, &[]).await?;
    lab.start_speakers(&[]).await?;
    lab.run_app(app, &["n2"]).await?;
    lab.create_load_balancer(app, json!({})).await?;
    Ok((controllers, lab))
}

/// Waits until a client is served by the application of its own lab, over both families.
async fn serves(lab: &Lab, app: &str) -> Result<()> {
    let client = lab.client_host()?;
    for vip in lab.wait_addresses(app, 2).await? {
        let what = format!("a client is served by {app} at {vip}");
        let served = eventually(Duration::from_secs(20), &what, async || {
            client.http_get(vip, 80).await
        });
        let served = served.await?;
        ensure!(served.pod.starts_with(app), "{vip} belongs to {app}: {served:?}");
        lab.oracle()?.expect(vip);
    }
    Ok(())
}

/// With the same addresses and names, and each way in which kube-proxy works.
#[tokio::test(flavor = "multi_thread")]
async fn two_labs_run_side_by_side() -> Result<()> {
    let (one, two) = tokio::try_join!(
        start_serving("one", ProxyMode::Nftables),
        start_serving("two", ProxyMode::Iptables)
    )?;
    for ((_, lab), app) in [(&one, "one"), (&two, "two")] {
        serves(lab, app).await?;
    }
    let (first, second) = (one.1.home().id().clone(), two.1.home().id().clone());
    ensure!(first != second);
    drop(one);
    ensure!(Remains::of(&first).is_empty(), "{:?}", Remains::of(&first));
    serves(&two.1, "two").await?;
    two.1.node("n1")?.check_running()?;
    drop(two);
    ensure!(Remains::of(&second).is_empty(), "{:?}", Remains::of(&second));
    Ok(())
}
