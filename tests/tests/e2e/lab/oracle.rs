//! The packet oracle sees real frames on a real bridge, and a violation fails the test that forgot to
//! ask: a node whose kernel speaks for an address that its speaker does not own must not pass.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use ferrolb_tests::lab::{Lab, eventually};

/// Has the kernel of n1 announce an address that is nobody's, and drops the lab.
async fn forge(address: &str, notify: &str) -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    let n1 = lab.node("n1")?.netns()?;
    n1.sysctl(&[(notify, "1")])?;
    let verdict = lab.oracle()?.verdict()?;
    assert!(verdict.is_ok(), "nothing is forged yet: {verdict:?}");
    n1.ip(&[
        &format!("addr add {address} dev eth0 nodad"),
        // Kernels announce their addresses when the MAC changes.
        "link set eth0 address 02:fe:00:00:00:ee",
    ])?;
    drop(lab);
    Ok(())
}

/// Has the kernel of n1 answer for an address that is nobody's, as it does when a proxy puts VIPs on a
/// node, and drops the lab once a client has believed it.
async fn answer(address: &str) -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    let vip: IpAddr = address.parse()?;
    lab.node("n1")?
        .netns()?
        .ip(&[&format!("addr add {vip}/32 dev lo")])?;
    let client = lab.client_host()?;
    eventually(Duration::from_secs(10), "the client is answered", async || {
        client.ask_for(vip)?;
        client.neighbor(vip)?.context("no answer yet")
    })
    .await?;
    drop(lab);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "n1 spoke for 192.0.2.222, which it owned never; at ")]
async fn a_reply_of_another_program_fails_the_test() {
    answer("192.0.2.222").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "n1 spoke for 192.0.2.222, which it owned never; at ")]
async fn a_gratuitous_arp_of_another_program_fails_the_test() {
    forge("192.0.2.222/24", "net/ipv4/conf/eth0/arp_notify")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "n1 spoke for 2001:db8::222, which it owned never; at ")]
async fn a_neighbor_advertisement_of_another_program_fails_the_test() {
    forge("2001:db8::222/64", "net/ipv6/conf/eth0/ndisc_notify")
        .await
        .unwrap();
}

/// A client is told to have been answered by a speaker that there never was.
#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "a client was answered for 192.0.2.222, but no frame of its owner was seen")]
async fn a_test_whose_traffic_the_oracle_did_not_see_fails() {
    let lab = Lab::builder().process_nodes(1).start().await.unwrap();
    lab.oracle().unwrap().expect("192.0.2.222".parse().unwrap());
    drop(lab);
}
