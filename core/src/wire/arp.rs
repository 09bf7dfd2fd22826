//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use std::net::Ipv4Addr;

use crate::interface::MacAddress;
use crate::wire::ethernet::{self, ETHER_TYPE_ARP, HEADER_LENGTH};
use crate::wire::{DropReason, Frame};

/// Every ARP frame that we send is padded to the least length that Ethernet allows.
pub const FRAME_LENGTH: usize = 60;

/// The length of an ARP packet for IPv4 over Ethernet.
const PACKET_LENGTH: usize = 28;

/// Hardware type 1 (Ethernet), protocol type 0x0800 (IPv4), address lengths 6 and 4.
const FORMAT: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

/// A received ARP packet, or one to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Whether it asks or answers.
    pub operation: Operation,
    /// SHA.
    pub sender_mac: MacAddress,
    /// SPA; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// THA; of no meaning in a request.
    pub target_mac: MacAddress,
    /// TPA.
    pub target_ip: Ipv4Addr,
}

/// The two operations that ARP for IPv4 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

// === impl ArpPacket ===

impl ArpPacket {
    /// Reads the payload of a frame; padding behind the packet is ignored.
    pub fn parse(payload: &[u8]) -> Result<Self, DropReason> {
        let packet = payload
            .first_chunk::<PACKET_LENGTH>()
            .ok_or(DropReason::Truncated)?;
        let (format, rest) = packet.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
        if *format != FORMAT {
            return Err(DropReason::ArpFormat);
        }
        let rest = rest.first_chunk::<22>().ok_or(DropReason::Truncated)?;
        let [
            o0,
            o1,
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            b0,
            b1,
            b2,
            b3,
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            d0,
            d1,
            d2,
            d3,
        ] = *rest;
        let operation = match u16::from_be_bytes([o0, o1]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(DropReason::ArpOperation),
        };
        let sender_mac = MacAddress([a0, a1, a2, a3, a4, a5]);
        if !sender_mac.is_unicast() {
            return Err(DropReason::Sender);
        }
        Ok(Self {
            operation,
            sender_mac,
            sender_ip: Ipv4Addr::new(b0, b1, b2, b3),
            target_mac: MacAddress([c0, c1, c2, c3, c4, c5]),
            target_ip: Ipv4Addr::new(d0, d1, d2, d3),
        })
    }

    /// The frame of this packet to `destination`, from the sender's MAC: switches learn the port
    /// from the Ethernet source, so the two must never differ.
    fn frame(&self, destination: MacAddress) -> Frame {
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        let mut bytes = [0; FRAME_LENGTH];
        bytes[..HEADER_LENGTH].copy_from_slice(&ethernet::header(
            destination,
            self.sender_mac,
            ETHER_TYPE_ARP,
        ));
        bytes[14..20].copy_from_slice(&FORMAT);
        bytes[20..22].copy_from_slice(&operation.to_be_bytes());
        bytes[22..28].copy_from_slice(&self.sender_mac.0);
        bytes[28..32].copy_from_slice(&self.sender_ip.octets());
        bytes[32..38].copy_from_slice(&self.target_mac.0);
        bytes[38..42].copy_from_slice(&self.target_ip.octets());
        Frame::Arp(bytes)
    }
}

/// The answer to a request for `vip`, also to a probe (whose sender address is unspecified).
pub fn reply(mac: MacAddress, vip: Ipv4Addr, request: &ArpPacket) -> Frame {
    ArpPacket {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: vip,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    }
    .frame(request.sender_mac)
}

/// The gratuitous request: the announcement of RFC 5227 section 2.3, target MAC zero.
pub fn gratuitous_request(mac: MacAddress, vip: Ipv4Addr) -> Frame {
    ArpPacket {
        operation: Operation::Request,
        sender_mac: mac,
        sender_ip: vip,
        target_mac: MacAddress([0; 6]),
        target_ip: vip,
    }
    .frame(MacAddress::BROADCAST)
}

/// The gratuitous reply. Linux exempts it from the 1 s in which an entry is locked only when the
/// target MAC equals the sender's; RFC 5944 section 4.6 asks for the same.
pub fn gratuitous_reply(mac: MacAddress, vip: Ipv4Addr) -> Frame {
    ArpPacket {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: vip,
        target_mac: mac,
        target_ip: vip,
    }
    .frame(MacAddress::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::hex;

    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x11]);
    const CLIENT: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x64]);
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);

    /// As a Linux kernel sends it for `ip neigh` resolution, padded by the NIC.
    const REQUEST: &str = "ffffffffffff 020000000064 0806 0001 0800 06 04 0001
        020000000064 c0000264 000000000000 c00002c8 000000000000000000000000000000000000";

    fn parse(text: &str) -> Result<ArpPacket, DropReason> {
        ArpPacket::parse(&hex(text)[HEADER_LENGTH..])
    }

    #[test]
    fn a_kernels_request_is_read_field_by_field() {
        let expected = ArpPacket {
            operation: Operation::Request,
            sender_mac: CLIENT,
            sender_ip: Ipv4Addr::new(192, 0, 2, 100),
            target_mac: MacAddress([0; 6]),
            target_ip: VIP,
        };
        assert_eq!(parse(REQUEST), Ok(expected));
    }

    #[test]
    fn the_reply_goes_to_the_asker_from_our_mac() {
        let request = parse(REQUEST).expect("a valid request");
        let expected = "020000000064 020000000011 0806 0001 0800 06 04 0002
            020000000011 c00002c8 020000000064 c0000264 000000000000000000000000000000000000";
        assert_eq!(reply(MAC, VIP, &request).as_bytes(), hex(expected));
    }

    #[test]
    fn a_probe_is_answered_with_its_unspecified_address() {
        let probe = parse(&REQUEST.replace("c0000264", "00000000")).expect("a valid probe");
        let expected = "020000000064 020000000011 0806 0001 0800 06 04 0002
            020000000011 c00002c8 020000000064 00000000 000000000000000000000000000000000000";
        assert_eq!(reply(MAC, VIP, &probe).as_bytes(), hex(expected));
    }

    #[test]
    fn the_gratuitous_request_has_no_target_mac() {
        let expected = "ffffffffffff 020000000011 0806 0001 0800 06 04 0001
            020000000011 c00002c8 000000000000 c00002c8 000000000000000000000000000000000000";
        assert_eq!(gratuitous_request(MAC, VIP).as_bytes(), hex(expected));
    }

    #[test]
    fn the_gratuitous_reply_has_our_mac_as_target_too() {
        let expected = "ffffffffffff 020000000011 0806 0001 0800 06 04 0002
            020000000011 c00002c8 020000000011 c00002c8 000000000000000000000000000000000000";
        assert_eq!(gratuitous_reply(MAC, VIP).as_bytes(), hex(expected));
    }

    #[test]
    fn other_formats_operations_and_senders_are_refused() {
        for (text, reason) in [
            (REQUEST.replace("0001 0800", "0006 0800"), DropReason::ArpFormat),
            (REQUEST.replace("0001 0800", "0001 86dd"), DropReason::ArpFormat),
            (REQUEST.replace("06 04", "08 04"), DropReason::ArpFormat),
            (REQUEST.replace("06 04", "06 10"), DropReason::ArpFormat),
            (
                REQUEST.replace("06 04 0001", "06 04 0003"),
                DropReason::ArpOperation,
            ),
            (
                REQUEST.replace("06 04 0001", "06 04 0000"),
                DropReason::ArpOperation,
            ),
            (
                REQUEST.replace("020000000064 c0000264", "ffffffffffff c0000264"),
                DropReason::Sender,
            ),
            (
                REQUEST.replace("020000000064 c0000264", "010000000064 c0000264"),
                DropReason::Sender,
            ),
            (
                REQUEST.replace("020000000064 c0000264", "000000000000 c0000264"),
                DropReason::Sender,
            ),
        ] {
            assert_eq!(parse(&text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_packet_one_byte_short_is_truncated() {
        let bytes = hex(REQUEST);
        assert_eq!(
            ArpPacket::parse(&bytes[HEADER_LENGTH..HEADER_LENGTH + 27]),
            Err(DropReason::Truncated)
        );
        assert!(ArpPacket::parse(&bytes[HEADER_LENGTH..HEADER_LENGTH + 28]).is_ok());
    }
}
