use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::burst::DEFAULT_RATE;
use crate::wire::testing::hex;

const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x11]);
const NEW_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x12]);
const CLIENT: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x64]);
const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200);
const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x64);

const BROADCAST: Reception = Reception {
    packet_type: PacketType::Broadcast,
    vlan: None,
};
const MULTICAST: Reception = Reception {
    packet_type: PacketType::Multicast,
    vlan: None,
};
const UNICAST: Reception = Reception {
    packet_type: PacketType::Host,
    vlan: None,
};

const ARP_REQUEST: &str = "ffffffffffff 020000000064 0806 0001 0800 06 04 0001
    020000000064 c0000264 000000000000 c00002c8";
const SOLICITATION: &str = "3333ff000200 020000000064 86dd 60000000 0020 3a ff
    fe8000000000000000 0000fffe000064 ff0200000000000000000001ff000200
    87 00 479d 00000000 20010db8000000000000000000000200 0101 020000000064";
const DUPLICATE_PROBE: &str = "3333ff000200 020000000064 86dd 60000000 0020 3a ff
    00000000000000000000000000000000 ff0200000000000000000001ff000200
    87 00 f309 00000000 20010db8000000000000000000000200 0e01 74a2b9f91940";

fn announced(vips: &[(IpAddr, u64)]) -> BTreeMap<IpAddr, u64> {
    vips.iter().copied().collect()
}

/// Answers for both VIPs, with the burst already sent.
fn mk_responder() -> Responder {
    let mut responder = Responder::new(MAC, DEFAULT_RATE, 7);
    responder.converge(Time::ZERO, MAC, announced(&[(VIP4.into(), 1), (VIP6.into(), 1)]));
    drain(&mut responder, 10_000);
    responder
}

/// Takes all unasked frames until `end_millis`.
fn drain(responder: &mut Responder, end_millis: u64) -> Vec<(u128, Frame)> {
    let end = Time::from_millis(end_millis);
    let mut frames = Vec::new();
    while let Some(now) = responder.poll_timeout().filter(|&at| at <= end) {
        let frame = responder
            .poll_frame(now)
            .expect("a frame is due when the responder says so");
        frames.push((now.since_origin().as_millis(), frame));
    }
    frames
}

fn arp_request() -> ArpPacket {
    ArpPacket::parse(&hex(ARP_REQUEST)[14..]).expect("a valid request")
}

#[track_caller]
fn assert_handled(text: &str, reception: Reception, expected: Handled) {
    assert_eq!(
        mk_responder().handle_frame(&hex(text), reception),
        expected,
        "{text}"
    );
}

#[test]
fn broadcast_and_unicast_requests_are_answered() {
    let reply = Handled::Reply(arp::reply(MAC, VIP4, &arp_request()));
    assert_handled(ARP_REQUEST, BROADCAST, reply);
    assert_handled(
        &ARP_REQUEST.replacen("ffffffffffff", "020000000011", 1),
        UNICAST,
        reply,
    );
}

#[test]
fn arp_probes_are_answered() {
    let probe = ArpPacket {
        sender_ip: Ipv4Addr::UNSPECIFIED,
        ..arp_request()
    };
    let text = ARP_REQUEST.replace("c0000264", "00000000");
    assert_handled(&text, BROADCAST, Handled::Reply(arp::reply(MAC, VIP4, &probe)));
}

#[test]
fn solicitations_are_answered_to_the_group_and_to_us() {
    let reply = Handled::Reply(ndp::solicited(MAC, VIP6, ASKER, CLIENT));
    assert_handled(SOLICITATION, MULTICAST, reply);
    let unicast = SOLICITATION.replacen("3333ff000200", "020000000011", 1);
    assert_handled(&unicast, UNICAST, reply);
}

#[test]
fn a_solicitation_without_source_option_is_answered_to_the_frames_sender() {
    // The checksum without the option: its 8 bytes (0101 0200 0000 0064 = 0x0365) and 8 of the
    // length less.
    let text = SOLICITATION
        .replace("0101 020000000064", "")
        .replace("0020 3a", "0018 3a")
        .replace("479d", "4b0a");
    assert_handled(
        &text,
        MULTICAST,
        Handled::Reply(ndp::solicited(MAC, VIP6, ASKER, CLIENT)),
    );
}

#[test]
fn duplicate_address_detection_is_answered_to_all_nodes() {
    assert_handled(
        DUPLICATE_PROBE,
        MULTICAST,
        Handled::Reply(ndp::unsolicited(MAC, VIP6)),
    );
}

#[test]
fn priority_tags_are_no_vlan_and_other_tags_are() {
    for (vlan, expected) in [
        (0, Handled::Reply(arp::reply(MAC, VIP4, &arp_request()))),
        (100, Handled::Dropped(DropReason::VlanTagged)),
    ] {
        assert_handled(
            ARP_REQUEST,
            Reception {
                vlan: Some(vlan),
                ..BROADCAST
            },
            expected,
        );
    }
}

#[test]
fn what_was_not_meant_for_this_host_is_not_answered() {
    for (packet_type, reason) in [
        (PacketType::OtherHost, DropReason::OtherHost),
        (PacketType::Outgoing, DropReason::OwnFrame),
    ] {
        let reception = Reception {
            packet_type,
            vlan: None,
        };
        assert_handled(ARP_REQUEST, reception, Handled::Dropped(reason));
        assert_handled(SOLICITATION, reception, Handled::Dropped(reason));
    }
    for (from, to) in [("ffffffffffff", "020000000099"), ("ffffffffffff", "01005e000001")] {
        let text = ARP_REQUEST.replacen(from, to, 1);
        assert_handled(&text, UNICAST, Handled::Dropped(DropReason::OtherHost));
    }
}

#[test]
fn our_own_frames_are_not_answered() {
    for text in [
        ARP_REQUEST.replace("020000000064 0806", "020000000011 0806"),
        ARP_REQUEST.replace("020000000064 c0000264", "020000000011 c0000264"),
    ] {
        assert_handled(&text, BROADCAST, Handled::Dropped(DropReason::OwnFrame));
    }
    let looped = ndp::unsolicited(MAC, VIP6);
    let handled = mk_responder().handle_frame(looped.as_bytes(), MULTICAST);
    assert_eq!(handled, Handled::Dropped(DropReason::OwnFrame));
}

#[test]
fn other_addresses_and_replies_are_not_answered() {
    for text in [
        ARP_REQUEST.replace("c00002c8", "c00002c9"),
        ARP_REQUEST.replace("06 04 0001", "06 04 0002"),
    ] {
        assert_handled(&text, BROADCAST, Handled::Dropped(DropReason::NotAnnounced));
    }
}

#[test]
fn a_frame_from_another_mac_for_our_vip_is_a_foreign_claim_and_gets_no_reply() {
    let arp = Handled::ForeignClaim(ForeignClaim {
        vip: VIP4.into(),
        mac: CLIENT,
    });
    for frame in [
        arp::gratuitous_request(CLIENT, VIP4),
        arp::gratuitous_reply(CLIENT, VIP4),
    ] {
        assert_eq!(mk_responder().handle_frame(frame.as_bytes(), BROADCAST), arp);
    }
    // With our VIP as its own address it asks for another VIP of ours: still a claim.
    assert_handled(&ARP_REQUEST.replace("c0000264", "c00002c8"), BROADCAST, arp);

    let ndp = Handled::ForeignClaim(ForeignClaim {
        vip: VIP6.into(),
        mac: CLIENT,
    });
    let unasked = ndp::unsolicited(CLIENT, VIP6);
    assert_eq!(mk_responder().handle_frame(unasked.as_bytes(), MULTICAST), ndp);
}

#[test]
fn a_withdrawn_vip_is_silent_from_the_same_call_on() {
    let mut responder = Responder::new(MAC, DEFAULT_RATE, 7);
    responder.converge(Time::ZERO, MAC, announced(&[(VIP4.into(), 1)]));
    assert!(responder.poll_frame(Time::ZERO).is_some());
    responder.converge(Time::ZERO, MAC, announced(&[]));
    assert_eq!(responder.poll_frame(Time::from_millis(100_000)), None);
    assert_eq!(responder.poll_timeout(), None);
    let handled = responder.handle_frame(&hex(ARP_REQUEST), BROADCAST);
    assert_eq!(handled, Handled::Dropped(DropReason::NotAnnounced));
}

#[test]
fn only_new_vips_and_new_burst_numbers_are_announced_again() {
    let mut responder = mk_responder();
    let again = announced(&[(VIP4.into(), 1), (VIP6.into(), 1)]);
    responder.converge(Time::from_millis(10_000), MAC, again);
    assert_eq!(drain(&mut responder, 50_000), [], "the same plan has no effect");

    responder.converge(
        Time::from_millis(50_000),
        MAC,
        announced(&[(VIP4.into(), 1), (VIP6.into(), 2)]),
    );
    let frame = ndp::unsolicited(MAC, VIP6);
    let expected = [(50_000, frame), (51_000, frame), (52_000, frame)];
    assert_eq!(drain(&mut responder, 55_000), expected);
}

#[test]
fn a_new_mac_is_announced_and_answered_with() {
    let mut responder = mk_responder();
    responder.converge(
        Time::from_millis(20_000),
        NEW_MAC,
        announced(&[(VIP4.into(), 1), (VIP6.into(), 1)]),
    );
    let first: Vec<_> = drain(&mut responder, 20_000)
        .into_iter()
        .map(|(_, frame)| frame)
        .collect();
    let expected = [
        arp::gratuitous_request(NEW_MAC, VIP4),
        ndp::unsolicited(NEW_MAC, VIP6),
        arp::gratuitous_reply(NEW_MAC, VIP4),
    ];
    assert_eq!(first, expected);
    let handled = responder.handle_frame(&hex(ARP_REQUEST), BROADCAST);
    assert_eq!(handled, Handled::Reply(arp::reply(NEW_MAC, VIP4, &arp_request())));
}

#[test]
fn after_a_flap_everything_is_announced_again() {
    let mut responder = mk_responder();
    responder.announce_again(Time::from_millis(20_000));
    assert_eq!(drain(&mut responder, 30_000).len(), 10 + 3);
}

#[test]
fn frames_are_counted_by_what_they_led_to() {
    let mut responder = Responder::new(MAC, DEFAULT_RATE, 7);
    responder.converge(Time::ZERO, MAC, announced(&[(VIP4.into(), 1)]));
    drain(&mut responder, 1_200);
    responder.handle_frame(&hex(ARP_REQUEST), BROADCAST);
    responder.handle_frame(&hex(ARP_REQUEST)[..20], BROADCAST);
    responder.handle_frame(arp::gratuitous_request(CLIENT, VIP4).as_bytes(), BROADCAST);
    let expected = Counters {
        replies: 1,
        announcements: 4,
        foreign_claims: 1,
        dropped: BTreeMap::from([(DropReason::Truncated, 1)]),
    };
    assert_eq!(*responder.counters(), expected);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn mk_reception() -> impl Strategy<Value = Reception> {
        let packet_type = prop::sample::select(vec![
            PacketType::Host,
            PacketType::Broadcast,
            PacketType::Multicast,
            PacketType::OtherHost,
            PacketType::Outgoing,
        ]);
        (packet_type, prop::option::of(0_u16..3))
            .prop_map(|(packet_type, vlan)| Reception { packet_type, vlan })
    }

    proptest! {
        /// Whatever arrives, and whatever valid frame it was made from: a reply says our MAC and an
        /// announced VIP, and two responders never talk for ever.
        #[test]
        fn any_reply_is_ours_and_is_itself_not_answered(
            template in prop::sample::select(vec![ARP_REQUEST, SOLICITATION, DUPLICATE_PROBE]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            reception in mk_reception(),
        ) {
            let mut bytes = hex(template);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Handled::Reply(frame) = mk_responder().handle_frame(&bytes, reception) {
                prop_assert_eq!(&frame.as_bytes()[6..12], &MAC.0[..]);
                let mut other = Responder::new(NEW_MAC, DEFAULT_RATE, 1);
                other.converge(Time::ZERO, NEW_MAC, announced(&[(VIP4.into(), 1), (VIP6.into(), 1)]));
                let second = other.handle_frame(frame.as_bytes(), BROADCAST);
                prop_assert!(!matches!(second, Handled::Reply(_)), "{:?} was answered", frame);
            }
        }
    }
}
