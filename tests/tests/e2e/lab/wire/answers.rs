//! Each kind of request, frame by frame: which are answered, with which bytes, and which are not.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::frames::FramePort;

use super::{PATIENCE, VIP4, VIP6, hex, lend, start};

mod filter;

/// A request, and the answer that it must get.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    answer: Option<Vec<u8>>,
}

/// The node's MAC, and the client's.
const NODE: &str = "02fe0000000b";
const CLIENT: &str = "02fe00000064";
const VIP6_BYTES: &str = "20010db8000000000000000000000200";
const CLIENT6: &str = "20010db8000000000000000000000100";
const GROUP: &str = "ff0200000000000000000001ff000200";

fn arp(destination: &str, sender: &str) -> Vec<u8> {
    hex(&format!(
        "{destination} {CLIENT} 0806 0001 0800 0604 0001 {CLIENT} {sender} 000000000000 c00002c8"
    ))
}

fn arp_answer(asker: &str) -> Vec<u8> {
    hex(&format!(
        "{CLIENT} {NODE} 0806 0001 0800 0604 0002 {NODE} c00002c8 {CLIENT} {asker} {}",
        "00".repeat(18)
    ))
}

/// A frame behind an 802.1Q tag.
fn tagged(vlan: &str, mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, hex(&format!("8100 {vlan}")));
    frame
}

/// A neighbor discovery frame with its length and checksum filled in.
fn ndp(macs: &str, hop_limit: &str, addresses: &str, message: &str) -> Vec<u8> {
    let mut frame = hex(&format!(
        "{macs} 86dd 60000000 0000 3a {hop_limit} {addresses} {message}"
    ));
    let length = u16::try_from(frame.len() - 54).unwrap();
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    let pseudo = [&frame[22..54], &u32::from(length).to_be_bytes(), &[0, 0, 0, 58]].concat();
    let words = [pseudo.as_slice(), &frame[54..]].concat();
    let mut sum: u32 = words
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let sum = !u16::try_from(sum).unwrap();
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn solicitation(to_mac: &str, hop_limit: &str, source: &str, to: &str, option: &str) -> Vec<u8> {
    ndp(
        &format!("{to_mac} {CLIENT}"),
        hop_limit,
        &format!("{source} {to}"),
        &format!("8700 0000 00000000 {VIP6_BYTES} {option}"),
    )
}

fn advertisement(to_mac: &str, to: &str, flags: &str) -> Vec<u8> {
    ndp(
        &format!("{to_mac} {NODE}"),
        "ff",
        &format!("{VIP6_BYTES} {to}"),
        &format!("8800 0000 {flags}000000 {VIP6_BYTES} 0201 {NODE}"),
    )
}

fn arp_cases() -> Vec<Case> {
    let asked = "c0000264";
    let broadcast = || arp("ffffffffffff", asked);
    let case = |name, request, answer| Case {
        name,
        request,
        answer,
    };
    vec![
        case("broadcast", broadcast(), Some(arp_answer(asked))),
        case("unicast", arp(NODE, asked), Some(arp_answer(asked))),
        case(
            "probe",
            arp("ffffffffffff", "00000000"),
            Some(arp_answer("00000000")),
        ),
        case(
            "priority tag",
            tagged("6000", broadcast()),
            Some(arp_answer(asked)),
        ),
        case("VLAN 100", tagged("0064", broadcast()), None),
        case("another host's MAC", arp("02fe000000ee", asked), None),
        case(
            "a reply",
            hex(&format!(
                "{NODE} {CLIENT} 0806 0001 0800 0604 0002 {CLIENT} {asked} {NODE} c00002c8"
            )),
            None,
        ),
        case(
            "another protocol",
            hex(&format!(
                "ffffffffffff {CLIENT} 0806 0001 86dd 0604 0001 {CLIENT} {asked} 000000000000 c00002c8"
            )),
            None,
        ),
        case(
            "another address",
            hex(&format!(
                "ffffffffffff {CLIENT} 0806 0001 0800 0604 0001 {CLIENT} {asked} 000000000000 c00002c9"
            )),
            None,
        ),
    ]
}

fn ndp_cases() -> Vec<Case> {
    let group_mac = "3333ff000200";
    let option = format!("0101 {CLIENT}");
    let any = "0".repeat(32);
    let to_client = || Some(advertisement(CLIENT, CLIENT6, "60"));
    let all_nodes = format!("ff02{}1", "0".repeat(27));
    let to_all = Some(advertisement("333300000001", &all_nodes, "20"));
    let wrong_sum = {
        let mut frame = solicitation(group_mac, "ff", CLIENT6, GROUP, &option);
        frame[56] ^= 1;
        frame
    };
    let case = |name, request, answer| Case {
        name,
        request,
        answer,
    };
    vec![
        case(
            "resolution",
            solicitation(group_mac, "ff", CLIENT6, GROUP, &option),
            to_client(),
        ),
        case(
            "verification",
            solicitation(NODE, "ff", CLIENT6, VIP6_BYTES, ""),
            to_client(),
        ),
        case(
            "duplicate detection",
            solicitation(group_mac, "ff", &any, GROUP, "0e01 010203040506"),
            to_all,
        ),
        case(
            "VLAN 100",
            tagged("0064", solicitation(group_mac, "ff", CLIENT6, GROUP, &option)),
            None,
        ),
        case(
            "hop limit 254",
            solicitation(group_mac, "fe", CLIENT6, GROUP, &option),
            None,
        ),
        case("wrong checksum", wrong_sum, None),
        case(
            "option of length 0",
            solicitation(group_mac, "ff", CLIENT6, GROUP, "0100 000000000000"),
            None,
        ),
        case(
            "duplicate detection with a source",
            solicitation(group_mac, "ff", &any, GROUP, &option),
            None,
        ),
    ]
}

/// Everything that the node says about the VIPs.
fn is_about_vips(frame: &[u8]) -> bool {
    let is_arp = frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == Some(&[192, 0, 2, 200]);
    let vip: Ipv6Addr = VIP6.parse().unwrap();
    let is_ndp = frame.get(54) == Some(&136) && frame.get(62..78) == Some(&vip.octets());
    frame.get(6..12) == Some(&hex(NODE)) && (is_arp || is_ndp)
}

/// Sends a request and then one that is always answered: by then the first has been, if ever.
fn check(port: &FramePort, case: &Case, fence: &Case) -> Result<()> {
    port.send(&case.request)?;
    port.send(&fence.request)?;
    let expected: Vec<_> = case.answer.iter().chain(&fence.answer).cloned().collect();
    let last = fence.answer.clone();
    let got = port
        .receive(PATIENCE, is_about_vips, |kept| kept.last() == last.as_ref())
        .with_context(|| format!("after {}", case.name))?;
    assert_eq!(got, expected, "{}", case.name);
    Ok(())
}

/// Waits for all frames of both bursts, since nobody asks for those.
fn wait_for_bursts(port: &FramePort) -> Result<()> {
    const FRAMES: usize = 2 * 5 + 3;
    port.receive(PATIENCE, is_about_vips, |kept| kept.len() == FRAMES)?;
    Ok(())
}

async fn start_announced() -> Result<(Lab, FramePort)> {
    let lab = start(1).await?;
    let port = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    lend(&lab, "lan", VIP4).await?;
    lend(&lab, "lan", VIP6).await?;
    wait_for_bursts(&port)?;
    for vip in [VIP4, VIP6] {
        lab.oracle()?.expect(vip.parse()?);
    }
    Ok((lab, port))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_valid_request_gets_one_exact_answer_and_nothing_else_does() -> Result<()> {
    let (lab, port) = start_announced().await?;
    for frame in filter::unwanted() {
        port.send(&frame)?;
    }
    let fence = Case {
        name: "fence",
        request: arp("ffffffffffff", "c0000263"),
        answer: Some(arp_answer("c0000263")),
    };
    for case in arp_cases() {
        check(&port, &case, &fence)?;
    }
    let other = format!("{}99", &CLIENT6[..30]);
    let fence = Case {
        name: "fence",
        request: solicitation("3333ff000200", "ff", &other, GROUP, &format!("0101 {CLIENT}")),
        answer: Some(advertisement(CLIENT, &other, "60")),
    };
    for case in ndp_cases() {
        check(&port, &case, &fence)?;
    }
    // All that was sent before an answer came has been received by then, if ever.
    filter::check_unseen(&lab).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_claim_is_reported_with_its_mac_and_not_answered() -> Result<()> {
    let (lab, port) = start_announced().await?;
    let before = lab.node("n1")?.speaker_admin("/metrics").await?.body;
    assert!(
        !before.contains("foreign_claims_total{interface=\"eth0\"} 1"),
        "nobody claims yet: {before}"
    );
    port.send(&hex(&format!(
        "ffffffffffff {CLIENT} 0806 0001 0800 0604 0001 {CLIENT} c00002c8 000000000000 c00002c8"
    )))?;
    let reported = async || {
        let log = lab.node("n1")?.speaker()?.read_log()?;
        let line = log
            .lines()
            .find(|line| line.contains("Another host claims a VIP of this node"));
        let line = line.context("no line tells of it")?;
        anyhow::ensure!(
            line.contains(r#""vip":"192.0.2.200""#) && line.contains(r#""mac":"02:fe:00:00:00:64""#),
            "{line}"
        );
        let metrics = lab.node("n1")?.speaker_admin("/metrics").await?.body;
        anyhow::ensure!(
            metrics.contains("foreign_claims_total{interface=\"eth0\"} 1"),
            "{metrics}"
        );
        Ok(())
    };
    ferrolb_tests::lab::eventually(Duration::from_secs(5), "the claim is reported", reported).await?;
    // Not answered: the answer to the next request is the first frame that comes.
    let fence = Case {
        name: "fence",
        request: arp("ffffffffffff", "c0000263"),
        answer: Some(arp_answer("c0000263")),
    };
    port.send(&fence.request)?;
    let got = port.receive(PATIENCE, is_about_vips, |kept| !kept.is_empty())?;
    assert_eq!(got.first(), fence.answer.as_ref());
    Ok(())
}
