//! What the kernel lets through to a packet socket: classic BPF programs.
//!
//! They only spare wake-ups. The responder checks everything again, since a filter sees nothing
//! but fixed offsets.

use socket2::SockFilter;

use crate::socket::Listen;

/// Refuses every frame.
pub const DEAF: &[SockFilter] = &[SockFilter::new(RETURN, 0, 0, 0)];

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Where the kernel shows a frame's packet type: `SKF_AD_OFF + SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// Lets the whole frame through.
const WHOLE: u32 = 0x0004_0000;

/// ARP requests and replies to this host or to everybody. Replies, because one with a VIP as
/// sender is a foreign claim.
const ARP: &[SockFilter] = &[
    SockFilter::new(LOAD_BYTE, 0, 0, PACKET_TYPE),
    SockFilter::new(JUMP_EQUAL, 1, 0, 0), // PACKET_HOST
    SockFilter::new(JUMP_EQUAL, 0, 4, 1), // PACKET_BROADCAST
    SockFilter::new(LOAD_HALF, 0, 0, 20), // the operation
    SockFilter::new(JUMP_EQUAL, 1, 0, 1),
    SockFilter::new(JUMP_EQUAL, 0, 1, 2),
    SockFilter::new(RETURN, 0, 0, WHOLE),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// Neighbor solicitations and advertisements to this host or to a group.
const NDP: &[SockFilter] = &[
    SockFilter::new(LOAD_BYTE, 0, 0, PACKET_TYPE),
    SockFilter::new(JUMP_EQUAL, 1, 0, 0), // PACKET_HOST
    SockFilter::new(JUMP_EQUAL, 0, 6, 2), // PACKET_MULTICAST
    SockFilter::new(LOAD_BYTE, 0, 0, 20), // the next header
    SockFilter::new(JUMP_EQUAL, 0, 4, 58),
    SockFilter::new(LOAD_BYTE, 0, 0, 54), // the ICMPv6 type
    SockFilter::new(JUMP_EQUAL, 1, 0, 135),
    SockFilter::new(JUMP_EQUAL, 0, 1, 136),
    SockFilter::new(RETURN, 0, 0, WHOLE),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// The program for what a socket listens to.
pub const fn accepting(listen: Listen) -> &'static [SockFilter] {
    match listen {
        Listen::Arp => ARP,
        Listen::Ndp => NDP,
    }
}
