//! Frames that the kernel keeps from the speaker, so that a busy network does not wake it.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::Lab;

use super::super::hex;
use super::{CLIENT, CLIENT6, NODE, arp, ndp, solicitation};

/// What the speaker would call each of them, did it see it.
const UNSEEN: [&str; 6] = [
    "OtherHost",
    "OwnFrame",
    "EtherType",
    "ArpOperation",
    "NotIcmpv6",
    "IcmpType",
];

/// What it calls some of what the test sends beside, which only a look into a frame can tell.
const SEEN: [&str; 3] = ["NotAnnounced", "HopLimit", "Checksum"];

/// Frames of each kind: for other hosts, of other protocols, with other contents.
pub(super) fn unwanted() -> Vec<Vec<u8>> {
    let stranger = "02fe000000ee";
    let node6 = format!("20010db8{}11", "0".repeat(22));
    let all_nodes = format!("ff02{}1", "0".repeat(27));
    let to_node = format!("{NODE} {CLIENT}");
    let to_all = format!("333300000001 {CLIENT}");
    let mut udp = ndp(
        &to_node,
        "40",
        &format!("{CLIENT6} {node6}"),
        "0009 0009 0008 0000",
    );
    udp[20] = 17;
    vec![
        arp(stranger, "c0000264"),
        solicitation(stranger, "ff", CLIENT6, &node6, ""),
        // RARP, by its operation and by its type; an experimental type; IPv4.
        hex(&format!(
            "ffffffffffff {CLIENT} 0806 0001 0800 0604 0003 {CLIENT} 00000000 {CLIENT} 00000000"
        )),
        hex(&format!(
            "ffffffffffff {CLIENT} 8035 0001 0800 0604 0003 {CLIENT} 00000000 {CLIENT} 00000000"
        )),
        hex(&format!("ffffffffffff {CLIENT} 88b5 {}", "00".repeat(46))),
        hex(&format!(
            "{NODE} {CLIENT} 0800 4500001c 00000000 4011f6b7 c0000264 c000020b 0009000900080000"
        )),
        udp,
        // An echo request for the node, and one for all nodes.
        ndp(
            &to_node,
            "40",
            &format!("{CLIENT6} {node6}"),
            "8000 0000 00010001",
        ),
        ndp(
            &to_all,
            "ff",
            &format!("{CLIENT6} {all_nodes}"),
            "8000 0000 00010001",
        ),
    ]
}

/// Fails if the speaker of the one node has seen any of them.
pub(super) async fn check_unseen(lab: &Lab) -> Result<()> {
    let metrics = lab.node("n1")?.speaker_admin("/metrics").await?.body;
    let count = |reason: &str| -> Result<u64> {
        let name = format!("ferrolb_speaker_dropped_frames_total{{interface=\"eth0\",reason=\"{reason}\"}} ");
        let number = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(number.with_context(|| format!("no {name}: {metrics}"))?.parse()?)
    };
    for reason in SEEN {
        ensure!(count(reason)? > 0, "what is seen is counted, but not {reason}");
    }
    for reason in UNSEEN {
        let seen = count(reason)?;
        ensure!(
            seen == 0,
            "the kernel has let {seen} frames through that are for nobody here: {reason}"
        );
    }
    Ok(())
}
