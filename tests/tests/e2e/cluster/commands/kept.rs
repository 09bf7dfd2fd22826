//! Clusters that stay: the commands that are printed for them work, and they go when they are told to.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::home::LabId;
use ferrolb_tests::lab::teardown::Remains;

use super::terminal::{Done, Terminal};
use crate::shell;
use crate::transcript::Table;

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_stays_can_be_played_with_until_it_is_taken_down() -> Result<()> {
    let terminal = Terminal::open()?;
    let demo = terminal.start(&["demo", "--keep", "--nodes=2"])?;
    let lab = demo.lab().await?;
    let _guard = terminal.guard(&lab)?;
    let printed = demo.end().await?.success()?.output;
    let (_, play) = printed
        .split_once("\nThe cluster stays. To play with it:\n\n")
        .context("how to play is said")?;
    // The last of them is another test's matter: cargo does not run while tests do.
    let (commands, down) = play.split_once("\n\n").context("a line apart takes it down")?;
    ensure!(
        down.trim_start().starts_with("cargo xtask cluster down "),
        "{down}"
    );
    let commands: Vec<_> = commands.lines().map(str::trim).collect();
    let [kubeconfig, alias, watch, over_v4, over_v6, enter] = commands[..] else {
        anyhow::bail!("other commands than expected: {commands:?}");
    };

    ensure!(
        alias.contains("/kc kubectl'"),
        "the cluster's own kubectl: {alias}"
    );
    let nodes = shell::run(&[kubeconfig, alias, "kubectl get nodes"], "")?;
    let nodes = Table::read(&nodes);
    ensure!(
        nodes.column("STATUS")? == ["Ready"; 2],
        "the lost node is back: {printed}"
    );
    // Without an end, it would wait for changes for ever.
    let once = watch.strip_suffix(" --watch").context("claims are watched")?;
    let claims = shell::run(&[kubeconfig, alias, once], "")?;
    let claims = Table::read(&claims);
    ensure!(
        claims.column("SERVICES")? == ["default/web"; 2] && claims.column("STATE")? == ["Held"; 2],
        "{claims:?}"
    );
    for fetch in [over_v4, over_v6] {
        let page = shell::run(&[fetch], "")?;
        ensure!(page.contains("\"pod\":\"web-"), "{fetch}: {page}");
    }
    let own = shell::run(&[enter], "ip -brief address show eth0")?;
    ensure!(own.contains("192.0.2.100/24"), "on the client: {own}");

    let shown = terminal.run(&["cluster", "status"]).await?.success()?.output;
    ensure!(
        shown.starts_with(&format!("lab {}, nodes: n1 n2\n", lab.as_str())),
        "{shown}"
    );
    is_taken_down(&terminal, &lab, &["cluster", "down"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_shown_and_entered_from_its_start_to_its_end() -> Result<()> {
    let terminal = Terminal::open()?;
    nothing_runs(terminal.run(&["cluster", "status"]).await?)?;
    let up = terminal.start(&["cluster", "up", "--nodes=1", "--kind=processes"])?;
    let lab = up.lab().await?;
    let _guard = terminal.guard(&lab)?;
    let shown = terminal.run(&["cluster", "status"]).await?.success()?.output;
    let starting = format!(
        "lab {} is starting, or was left behind half started\n",
        lab.as_str()
    );
    ensure!(shown == starting, "{shown}");

    let printed = up.end().await?.success()?.output;
    let (ready, how) = printed.split_once('\n').context("more than one line")?;
    ensure!(ready.starts_with("ready after "), "{printed}");
    let shown = terminal.run(&["cluster", "status"]).await?.success()?.output;
    ensure!(shown == how, "status says {shown}, and up said {how}");
    let commands: Vec<_> = how.lines().skip(1).map(str::trim).collect();
    let [kubeconfig, nodes, as_client, on_bridge, on_node, logs, down] = commands[..] else {
        anyhow::bail!("other commands than expected: {commands:?}");
    };
    let nodes = shell::run(&[kubeconfig, nodes], "")?;
    ensure!(Table::read(&nodes).column("STATUS")? == ["Ready"], "{nodes}");
    // The program on the node that a stranger may ask in a cluster without a Service.
    let health = as_client.replace("curl ", "curl --retry 20 --retry-delay 1 --retry-connrefused ");
    let health = health.replace("ADDRESS/", "192.0.2.11:10256/healthz");
    let health = shell::run(&[&health], "")?;
    ensure!(
        health.contains("lastUpdated"),
        "kube-proxy answers the client: {health}"
    );
    // Whoever asks for an address that nobody has asks again, until it is seen.
    let ask = as_client.replace("ADDRESS/", "192.0.2.77/");
    let ask = format!("for round in 1 2 3 4 5; do\n{ask}\ndone >&2 &");
    let capture = on_bridge.replace("tcpdump ", "timeout 20 tcpdump -c1 ");
    let captured = shell::run(&[&ask, &capture, "kill $!"], "")?;
    ensure!(captured.contains("ARP, Request who-has"), "{captured}");
    let own = shell::run(&[on_node], "ip -brief address show eth0")?;
    ensure!(own.contains("192.0.2.11/24"), "on the node: {own}");
    let logs = logs.strip_prefix("logs: ").context("the place of the logs")?;
    ensure!(
        std::path::Path::new(logs).join("kube-apiserver.log").is_file(),
        "{logs}"
    );
    ensure!(down.starts_with("cargo xtask cluster down "), "{down}");

    is_taken_down(&terminal, &lab, &["cluster", "down", lab.as_str()]).await?;
    let again = terminal.run(&["cluster", "down", lab.as_str()]).await?;
    let words = format!("there is no lab {}; `status` shows those that are", lab.as_str());
    ensure!(
        again.status.code() == Some(1) && again.complaints.contains(&words),
        "{again:?}"
    );
    let again = terminal.run(&["cluster", "down"]).await?.success()?;
    ensure!(again.output == "no cluster is kept\n", "{again:?}");
    Ok(())
}

/// Also one that was told to stay: it stays when it is complete, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_nothing_behind() -> Result<()> {
    let terminal = Terminal::open()?;
    let mut demo = terminal.start(&["demo", "--keep", "--nodes=2"])?;
    let lab = demo.lab().await?;
    // Pods are being started then, and a helm of ours waits for them.
    demo.printed("\n==> installing FerroLB").await?;
    ensure!(!Remains::of(&lab).cgroups.is_empty(), "pods have cgroups");
    demo.interrupt()?;
    let done = demo.end().await?;
    ensure!(!done.status.success(), "{done:?}");
    terminal.wait_gone(&lab).await?;
    nothing_runs(terminal.run(&["cluster", "status"]).await?)
}

async fn is_taken_down(terminal: &Terminal, lab: &LabId, command: &[&str]) -> Result<()> {
    let done = terminal.run(command).await?.success()?;
    ensure!(
        done.output == format!("removed lab {}\n", lab.as_str()),
        "{done:?}"
    );
    terminal.check_gone(lab)?;
    nothing_runs(terminal.run(&["cluster", "status"]).await?)
}

fn nothing_runs(status: Done) -> Result<()> {
    let status = status.success()?;
    ensure!(status.output == "no lab runs\n", "{status:?}");
    Ok(())
}
