//! IPv6 headers, as far as neighbor discovery needs them (RFC 8200).

use std::net::Ipv6Addr;

use crate::interface::MacAddress;
use crate::wire::DropReason;

/// The length of the fixed header.
pub const HEADER_LENGTH: usize = 40;

/// All nodes on the link: where unasked advertisements go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The hop limit of neighbor discovery. A frame that has less has crossed a router.
pub(super) const NDP_HOP_LIMIT: u8 = 255;

/// The next header of ICMPv6.
pub(super) const NEXT_HEADER_ICMPV6: u8 = 58;

/// A received packet whose ICMPv6 message is there in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv6Datagram<'a> {
    /// Who sent it; unspecified during duplicate address detection.
    pub source: Ipv6Addr,
    /// Where it was sent to.
    pub destination: Ipv6Addr,
    /// How many routers it might still have crossed.
    pub hop_limit: u8,
    /// The ICMPv6 message, without the padding of the frame.
    pub message: &'a [u8],
}

// === impl Icmpv6Datagram ===

impl<'a> Icmpv6Datagram<'a> {
    /// Reads the payload of a frame. Extension headers are refused, because no sender of neighbor
    /// discovery needs one and RFC 6980 forbids the fragment header.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DropReason> {
        let (header, rest) = payload
            .split_first_chunk::<HEADER_LENGTH>()
            .ok_or(DropReason::Truncated)?;
        let (fixed, addresses) = header.split_first_chunk::<8>().ok_or(DropReason::Truncated)?;
        let (source, destination) = addresses.split_first_chunk::<16>().ok_or(DropReason::Truncated)?;
        let destination = destination.first_chunk::<16>().ok_or(DropReason::Truncated)?;
        let [version, _, _, _, l0, l1, next_header, hop_limit] = *fixed;
        if version >> 4 != 6 || next_header != NEXT_HEADER_ICMPV6 {
            return Err(DropReason::NotIcmpv6);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        Ok(Self {
            source: Ipv6Addr::from(*source),
            destination: Ipv6Addr::from(*destination),
            hop_limit,
            message: rest.get(..length).ok_or(DropReason::Truncated)?,
        })
    }
}

/// The bytes of a header for an ICMPv6 message of neighbor discovery.
pub(super) fn header(source: Ipv6Addr, destination: Ipv6Addr, length: u8) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[0] = 6 << 4;
    bytes[5] = length;
    bytes[6] = NEXT_HEADER_ICMPV6;
    bytes[7] = NDP_HOP_LIMIT;
    bytes[8..24].copy_from_slice(&source.octets());
    bytes[24..40].copy_from_slice(&destination.octets());
    bytes
}

/// The solicited-node group of an address (RFC 4291 section 2.7.1). Addresses with equal low 24
/// bits share one.
pub fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0x00ff), low)
}

/// Whether an address is the solicited-node group of any address.
pub fn is_solicited_node_group(address: Ipv6Addr) -> bool {
    solicited_node_group(address) == address
}

/// The MAC that frames to a multicast group carry (RFC 2464 section 7).
pub fn multicast_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_an_address_has_its_low_24_bits() {
        let vip: Ipv6Addr = "2001:db8::12:3456:789a".parse().expect("a literal address");
        let group: Ipv6Addr = "ff02::1:ff56:789a".parse().expect("a literal address");
        assert_eq!(solicited_node_group(vip), group);
        assert!(is_solicited_node_group(group));
        assert!(!is_solicited_node_group(ALL_NODES));
        assert_eq!(
            multicast_mac(group),
            MacAddress([0x33, 0x33, 0xff, 0x56, 0x78, 0x9a])
        );
    }
}
