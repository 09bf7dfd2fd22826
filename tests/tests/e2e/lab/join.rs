//! How speakers find each other, and that none calls itself ready before it has.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::{Lab, eventually, http};
use serde_json::Value;

use super::start::start_beside;

/// How long speakers may take to notice something.
const NOTICE: Duration = Duration::from_secs(20);

/// Where others reach a speaker that is at no port and address they could guess.
const ELSEWHERE: &str = "[2001:db8::12]:17979";

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_is_ready_when_it_has_joined_and_knows_what_the_others_own() -> Result<()> {
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.install_crds().await?;
    // Its peer is a Ready node, whose speaker never comes.
    let alone = start_beside(&lab, "n1", "alone", &[], &[])?;
    let missed = missed_until_ready(&lab, "n1").await?;
    for words in [
        ["missing: other speakers, or two seconds", "greeting the seeds"],
        ["missing: what the other speakers own", "waiting for n2"],
    ] {
        let is_said = |line: &String| words.iter().all(|word| line.contains(word));
        ensure!(missed.iter().any(is_said), "never {words:?}, but {missed:#?}");
    }
    wait_members(&lab, "n1", 0).await?;
    drop(alone);

    lab.api_server().stop()?;
    let lost = start_beside(&lab, "n1", "lost", &[], &[])?;
    wait_missing(&lab, "n1", &["missing: other speakers", "--gossip-advertise"]).await?;
    lost.check_running()?;
    drop(lost);
    flags_are_enough_without_the_api_server(&lab).await
}

async fn flags_are_enough_without_the_api_server(lab: &Lab) -> Result<()> {
    let flags = |list: &[(&'static str, &str)]| -> Vec<_> {
        list.iter()
            .map(|(flag, value)| (*flag, (*value).to_owned()))
            .collect()
    };
    let first = flags(&[("--gossip-advertise", "192.0.2.11")]);
    let _first = start_beside(lab, "n1", "first", &first, &[])?;
    let second = flags(&[
        ("--gossip-bind", "[::]:17979"),
        ("--gossip-advertise", ELSEWHERE),
        ("--seed", "192.0.2.11:7979"),
        ("--metrics-bind", "[::]:7982"),
    ]);
    let _second = start_beside(lab, "n2", "second", &second, &[])?;
    for node in ["n1", "n2"] {
        wait_members(lab, node, 1).await?;
    }
    let state = lab.node("n1")?.speaker_admin("/debug/state").await?.body;
    let state: Value = serde_json::from_str(&state)?;
    ensure!(
        state["members"].to_string().contains(ELSEWHERE),
        "n1 reaches n2 where n2 says: {state}"
    );
    eventually(NOTICE, "both have joined, and miss their lists", async || {
        for node in ["n1", "n2"] {
            let page = lab.node(node)?.speaker_admin("/readyz").await?;
            let has_joined = !page.body.contains("missing: other speakers");
            let lists = page.body.matches("missing: list of ").count();
            ensure!(page.status == 503 && has_joined && lists == 3, "{node}: {page:?}");
        }
        Ok(())
    })
    .await?;

    metrics_alone_are_at(lab, SocketAddr::new(lab.node("n2")?.lan().ipv4().into(), 7982)).await?;
    metrics_alone_are_at(lab, SocketAddr::new(lab.node("n2")?.lan().ipv6().into(), 7982)).await?;
    let nowhere = SocketAddr::new(lab.node("n1")?.lan().ipv4().into(), 7982);
    let off = http::request(lab.client_host()?.netns(), "GET", nowhere, "/metrics").await;
    ensure!(off.is_err(), "off unless a flag says where: {off:?}");

    lab.api_server().start().await?;
    for node in ["n1", "n2"] {
        wait_ready(lab, node).await?;
        wait_members(lab, node, 1).await?;
    }
    Ok(())
}

async fn metrics_alone_are_at(lab: &Lab, server: SocketAddr) -> Result<()> {
    let client = lab.client_host()?;
    let metrics = http::request(client.netns(), "GET", server, "/metrics").await?;
    ensure!(
        metrics.status == 200 && metrics.body.contains("\nferrolb_speaker_members 1\n"),
        "{metrics:?}"
    );
    for page in ["/debug/state", "/readyz", "/livez"] {
        let page = http::request(client.netns(), "GET", server, page).await?;
        ensure!(page.status == 404, "{page:?}");
    }
    Ok(())
}

/// Waits until a speaker is not ready, and has a line with these words.
async fn wait_missing(lab: &Lab, node: &str, words: &[&str]) -> Result<()> {
    eventually(NOTICE, &format!("{node} misses {words:?}"), async || {
        let page = lab.node(node)?.speaker_admin("/readyz").await?;
        let mut lines = page.body.lines();
        let line = lines.find(|line| words.iter().all(|word| line.contains(word)));
        ensure!(page.status == 503 && line.is_some(), "it says {page:?}");
        Ok(())
    })
    .await
}

/// Every line that a speaker shows before it is ready. It shows some for two seconds only.
async fn missed_until_ready(lab: &Lab, node: &str) -> Result<BTreeSet<String>> {
    let mut missed = BTreeSet::new();
    eventually(NOTICE, &format!("{node} is ready"), async || {
        let page = lab.node(node)?.speaker_admin("/readyz").await?;
        let is_ready = page.status == 200;
        if !is_ready {
            missed.extend(page.body.lines().map(str::to_owned));
        }
        ensure!(is_ready, "it says {page:?}");
        Ok(())
    })
    .await?;
    Ok(missed)
}

async fn wait_ready(lab: &Lab, node: &str) -> Result<()> {
    eventually(NOTICE, &format!("{node} is ready"), async || {
        let page = lab.node(node)?.speaker_admin("/readyz").await?;
        ensure!(page.status == 200, "it says {page:?}");
        Ok(())
    })
    .await
}

/// Waits until a speaker counts this many others.
async fn wait_members(lab: &Lab, node: &str, count: u32) -> Result<()> {
    eventually(NOTICE, &format!("{node} knows {count} others"), async || {
        let page = lab.node(node)?.speaker_admin("/metrics").await?.body;
        let mut lines = page.lines();
        let known = lines.find_map(|line| line.strip_prefix("ferrolb_speaker_members "));
        let known: u32 = known.context("no metric says so")?.parse()?;
        ensure!(known == count, "it knows {known}");
        Ok(())
    })
    .await
}
