//! Properties: every parser is total, and what is parsed survives damage only when a checksum
//! or a length allows it.

use proptest::prelude::*;

use crate::interface::MacAddress;
use crate::wire::arp::{self, ArpPacket};
use crate::wire::ethernet::EthernetFrame;
use crate::wire::ndp::{self, NdpMessage};

/// Runs all parsers as the responder does; only a panic can fail.
fn parse_all(bytes: &[u8]) {
    if let Ok(frame) = EthernetFrame::parse(bytes) {
        let _ = ArpPacket::parse(frame.payload);
        let _ = NdpMessage::parse(frame.payload);
    }
    let _ = ArpPacket::parse(bytes);
    let _ = NdpMessage::parse(bytes);
}

prop_compose! {
    fn mk_mac()(bytes in any::<[u8; 6]>()) -> MacAddress {
        let [first, rest @ ..] = bytes;
        let [a, b, c, d, e] = rest;
        MacAddress([first & 0xfe, a, b, c, d, e | 1])
    }
}

proptest! {
    #[test]
    fn parsers_return_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&bytes);
    }

    /// Random bytes rarely pass the first check; damaged valid frames get deeper.
    #[test]
    fn parsers_return_for_damaged_frames(
        mac in mk_mac(),
        vip in any::<[u8; 16]>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
    ) {
        for frame in [
            arp::gratuitous_reply(mac, [vip[0], vip[1], vip[2], vip[3]].into()),
            ndp::unsolicited(mac, vip.into()),
        ] {
            let mut bytes = frame.as_bytes().to_vec();
            for (at, value) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            bytes.truncate(length.index(bytes.len() + 1));
            parse_all(&bytes);
        }
    }

    /// Options are where lengths come from the sender: any text of options behind a valid head.
    #[test]
    fn options_return_for_any_bytes(options in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut packet = ndp::unsolicited(MacAddress([2; 6]), [0x20; 16].into()).as_bytes()[14..].to_vec();
        packet.truncate(64);
        packet.extend_from_slice(&options);
        packet[5] = u8::try_from(packet.len() - 40).expect("short options");
        packet[42..44].fill(0);
        let source = std::net::Ipv6Addr::from([0x20; 16]);
        let sum = crate::wire::icmpv6::checksum(source, crate::wire::ipv6::ALL_NODES, &packet[40..]);
        packet[42..44].copy_from_slice(&sum.to_be_bytes());
        let _ = NdpMessage::parse(&packet);
    }

    #[test]
    fn our_own_frames_are_valid_to_our_own_parsers(mac in mk_mac(), vip in any::<[u8; 16]>()) {
        let v4 = [vip[0], vip[1], vip[2], vip[3]].into();
        for frame in [arp::gratuitous_request(mac, v4), arp::gratuitous_reply(mac, v4)] {
            let packet = ArpPacket::parse(&frame.as_bytes()[14..]).expect("our frame is valid");
            prop_assert_eq!((packet.sender_mac, packet.sender_ip, packet.target_ip), (mac, v4, v4));
        }
        let v6: std::net::Ipv6Addr = vip.into();
        prop_assume!(!v6.is_multicast());
        let frame = ndp::unsolicited(mac, v6);
        let expected = ndp::Advertisement { target: v6, target_mac: Some(mac) };
        prop_assert_eq!(NdpMessage::parse(&frame.as_bytes()[14..]), Ok(NdpMessage::Advertisement(expected)));
    }
}
