//! Golden frames, recorded from Linux 6.18: a client (…:64) resolves and duplicate-checks an
//! address of a host (…:11). Our answers must equal that kernel's, byte for byte.

use super::*;
use crate::wire::ethernet::HEADER_LENGTH;
use crate::wire::testing::hex;

const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x11]);
const CLIENT: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x64]);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200);
const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x64);

const RESOLUTION: &str = "3333ff000200 020000000064 86dd 60000000 0020 3a ff
    fe8000000000000000 0000fffe000064 ff0200000000000000000001ff000200
    87 00 479d 00000000 20010db8000000000000000000000200 0101 020000000064";
const RESOLUTION_ANSWER: &str = "020000000064 020000000011 86dd 60000000 0020 3a ff
    20010db8000000000000000000000200 fe8000000000000000 0000fffe000064
    88 00 b63b 60000000 20010db8000000000000000000000200 0201 020000000011";

/// Linux sends its probe with a nonce option (type 14, RFC 7527).
const DUPLICATE_PROBE: &str = "3333ff000200 020000000064 86dd 60000000 0020 3a ff
    00000000000000000000000000000000 ff0200000000000000000001ff000200
    87 00 f309 00000000 20010db8000000000000000000000200 0e01 74a2b9f91940";
const DUPLICATE_ANSWER: &str = "333300000001 020000000011 86dd 60000000 0020 3a ff
    20010db8000000000000000000000200 ff020000000000000000000000000001
    88 00 f51c 20000000 20010db8000000000000000000000200 0201 020000000011";

fn parse(text: &str) -> Result<NdpMessage, DropReason> {
    NdpMessage::parse(&hex(text)[HEADER_LENGTH..])
}

/// Parses a message after replacing text, with the checksum made right again, so that the test
/// sees the check that it is about.
fn parse_with(text: &str, from: &str, to: &str) -> Result<NdpMessage, DropReason> {
    assert!(text.contains(from), "{from} is not in the frame");
    let mut bytes = hex(&text.replace(from, to));
    let packet = &mut bytes[HEADER_LENGTH..];
    let length = u16::try_from(packet.len() - 40).expect("a short message");
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet[42..44].fill(0);
    let address = |range: std::ops::Range<usize>| {
        Ipv6Addr::from(<[u8; 16]>::try_from(&packet[range]).expect("sixteen bytes"))
    };
    let sum = icmpv6::checksum(address(8..24), address(24..40), &packet[40..]);
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    NdpMessage::parse(packet)
}

#[test]
fn a_kernels_resolution_is_read_field_by_field() {
    let expected = Solicitation {
        source: ASKER,
        target: VIP,
        source_mac: Some(CLIENT),
    };
    assert_eq!(parse(RESOLUTION), Ok(NdpMessage::Solicitation(expected)));
}

#[test]
fn a_kernels_duplicate_probe_is_read_field_by_field() {
    let expected = Solicitation {
        source: Ipv6Addr::UNSPECIFIED,
        target: VIP,
        source_mac: None,
    };
    assert_eq!(parse(DUPLICATE_PROBE), Ok(NdpMessage::Solicitation(expected)));
}

#[test]
fn a_kernels_advertisement_is_read_field_by_field() {
    let expected = NdpMessage::Advertisement(Advertisement {
        target: VIP,
        target_mac: Some(MAC),
    });
    assert_eq!(parse(RESOLUTION_ANSWER), Ok(expected));
    assert_eq!(parse(DUPLICATE_ANSWER), Ok(expected));
}

#[test]
fn a_solicitation_may_come_without_a_source_option() {
    let expected = Solicitation {
        source: ASKER,
        target: VIP,
        source_mac: None,
    };
    let parsed = parse_with(RESOLUTION, "0101 020000000064", "");
    assert_eq!(parsed, Ok(NdpMessage::Solicitation(expected)));
}

#[test]
fn our_solicited_advertisement_equals_the_kernels() {
    assert_eq!(
        solicited(MAC, VIP, ASKER, CLIENT).as_bytes(),
        hex(RESOLUTION_ANSWER)
    );
}

#[test]
fn our_answer_to_a_duplicate_probe_equals_the_kernels() {
    assert_eq!(
        solicited(MAC, VIP, Ipv6Addr::UNSPECIFIED, CLIENT).as_bytes(),
        hex(DUPLICATE_ANSWER)
    );
}

#[test]
fn our_unsolicited_advertisement_overrides_and_is_not_solicited() {
    assert_eq!(unsolicited(MAC, VIP).as_bytes(), hex(DUPLICATE_ANSWER));
}

#[test]
fn headers_that_no_neighbor_would_send_are_refused() {
    for (from, to, reason) in [
        ("0020 3a ff", "0020 3a fe", DropReason::HopLimit),
        ("0020 3a ff", "0020 11 ff", DropReason::NotIcmpv6),
        ("0020 3a ff", "0020 2c ff", DropReason::NotIcmpv6),
        ("60000000", "40000000", DropReason::NotIcmpv6),
        (
            "fe8000000000000000 00",
            "ff0200000000000000 00",
            DropReason::Sender,
        ),
        ("87 00", "85 00", DropReason::IcmpType),
        ("87 00", "87 01", DropReason::IcmpType),
        (
            "20010db8000000000000000000000200",
            "ff020db8000000000000000000000200",
            DropReason::MulticastTarget,
        ),
    ] {
        assert_eq!(parse_with(RESOLUTION, from, to), Err(reason), "{from} as {to}");
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    assert_eq!(
        parse(&RESOLUTION.replace("479d", "479e")),
        Err(DropReason::Checksum)
    );
}

#[test]
fn lengths_are_checked_against_the_frame() {
    for (text, reason) in [
        (RESOLUTION.replace("0020 3a", "0021 3a"), DropReason::Truncated),
        (RESOLUTION.replace("0020 3a", "0017 3a"), DropReason::Truncated),
        (RESOLUTION.replace("0020 3a", "ffff 3a"), DropReason::Truncated),
        (
            RESOLUTION.replace("0101 020000000064", "0101 0200000000"),
            DropReason::Truncated,
        ),
    ] {
        assert_eq!(parse(&text), Err(reason), "{text}");
    }
    let padded = format!("{RESOLUTION} 000000000000");
    assert!(
        parse(&padded).is_ok(),
        "padding of the frame is no part of the message"
    );
}

#[test]
fn malformed_options_refuse_the_message() {
    for (option, reason) in [
        ("0100 020000000064", DropReason::OptionLength),
        ("0102 020000000064", DropReason::OptionLength),
        ("01ff 020000000064", DropReason::OptionLength),
        ("0101 020000000064 01", DropReason::OptionLength),
        ("0101 020000000064 0500", DropReason::OptionLength),
        ("0102 020000000064 0000000000000000", DropReason::OptionLength),
        ("0101 030000000064", DropReason::Sender),
        ("0101 000000000000", DropReason::Sender),
    ] {
        assert_eq!(
            parse_with(RESOLUTION, "0101 020000000064", option),
            Err(reason),
            "{option}"
        );
    }
}

#[test]
fn options_of_other_kinds_are_skipped() {
    let expected = Solicitation {
        source: ASKER,
        target: VIP,
        source_mac: Some(CLIENT),
    };
    let options = "0e02 000000000000 0000000000000000 0101 020000000064 0101 020000000099";
    let parsed = parse_with(RESOLUTION, "0101 020000000064", options);
    assert_eq!(
        parsed,
        Ok(NdpMessage::Solicitation(expected)),
        "the first of its kind counts"
    );
}

#[test]
fn a_duplicate_probe_carries_no_source_and_goes_to_its_group() {
    let with_source = parse_with(DUPLICATE_PROBE, "0e01", "0101");
    assert_eq!(with_source, Err(DropReason::UnspecifiedSource));
    let to_all = parse_with(
        DUPLICATE_PROBE,
        "ff0200000000000000000001ff000200",
        "ff020000000000000000000000000001",
    );
    assert_eq!(to_all, Err(DropReason::UnspecifiedSource));
}

#[test]
fn a_solicited_advertisement_to_a_group_is_refused() {
    let parsed = parse_with(DUPLICATE_ANSWER, "20000000", "60000000");
    assert_eq!(parsed, Err(DropReason::SolicitedMulticast));
}
