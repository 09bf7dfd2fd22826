//! The packet oracle sees real frames on a real bridge, and a violation fails the test that forgot to
//! ask: a node whose kernel speaks for an address that its speaker does not own must not pass.

use anyhow::Result;
use ferrolb_tests::lab::Lab;

/// Has the kernel of n1 announce an address that is nobody's, and drops the lab.
async fn forge(address: &str, notify: &str) -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    let n1 = lab.node("n1")?.netns()?;
    n1.sysctl(&[(notify, "1")])?;
    assert_eq!(lab.oracle()?.verdict()?, Ok(()), "nothing is forged yet");
    n1.ip(&[
        &format!("addr add {address} dev eth0 nodad"),
        // Kernels announce their addresses when the MAC changes.
        "link set eth0 address 02:fe:00:00:00:ee",
    ])?;
    drop(lab);
    Ok(())
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
