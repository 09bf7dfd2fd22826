//! A Linux client as it is: resolves, verifies, and gives way to the owner.

use anyhow::{Result, ensure};
use ferrolb_tests::lab::eventually;

use super::{PATIENCE, VIP4, VIP6, lend, resolves_to, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_linux_client_resolves_and_verifies_a_vip() -> Result<()> {
    let lab = start(1).await?;
    let mac = lab.node("n1")?.lan().mac();
    let client = lab.client_host()?;
    for vip in [VIP4, VIP6] {
        lend(&lab, "lan", vip).await?;
        resolves_to(&lab, vip, &mac).await?;
        // Verification is by unicast: a speaker that answers broadcasts only would fail here.
        client
            .netns()
            .ip(&[&format!("neigh change {vip} lladdr {mac} dev eth0 nud probe")])?;
        eventually(PATIENCE, "the client has verified its neighbor", async || {
            let entry = client.exec("ip", &["neigh", "show", vip, "dev", "eth0"])?;
            ensure!(entry.contains("REACHABLE"), "{entry}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linux_host_that_wants_a_vip_for_itself_finds_it_taken() -> Result<()> {
    let lab = start(1).await?;
    lend(&lab, "lan", VIP6).await?;
    resolves_to(&lab, VIP6, &lab.node("n1")?.lan().mac()).await?;
    let client = lab.client_host()?;
    client.netns().sysctl(&[
        ("net/ipv6/conf/all/accept_dad", "1"),
        ("net/ipv6/conf/eth0/accept_dad", "1"),
        ("net/ipv6/conf/eth0/dad_transmits", "1"),
    ])?;
    client.netns().ip(&[&format!("addr add {VIP6}/64 dev eth0")])?;
    eventually(PATIENCE, "the kernel finds the address taken", async || {
        let shown = client.exec("ip", &["-6", "addr", "show", "dev", "eth0"])?;
        ensure!(shown.contains("dadfailed"), "{shown}");
        Ok(())
    })
    .await
}
