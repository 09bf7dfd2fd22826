//! Ethernet II headers.

use crate::interface::MacAddress;
use crate::wire::DropReason;

/// The length of the header.
pub const HEADER_LENGTH: usize = 14;

/// ARP.
pub const ETHER_TYPE_ARP: u16 = 0x0806;
/// IPv6.
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// An 802.1Q tag that the kernel left in the frame.
const ETHER_TYPE_VLAN: u16 = 0x8100;
/// An 802.1ad tag.
const ETHER_TYPE_QINQ: u16 = 0x88a8;

/// A received frame whose header is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetFrame<'a> {
    /// Where it was sent to.
    pub destination: MacAddress,
    /// Who sent it.
    pub source: MacAddress,
    /// What the payload is.
    pub ether_type: u16,
    /// What follows the header; may end in padding.
    pub payload: &'a [u8],
}

// === impl EthernetFrame ===

impl<'a> EthernetFrame<'a> {
    /// Splits the header from the payload. Tagged frames are not for this interface.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let (header, payload) = bytes
            .split_first_chunk::<HEADER_LENGTH>()
            .ok_or(DropReason::Truncated)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let ether_type = u16::from_be_bytes([t0, t1]);
        if ether_type == ETHER_TYPE_VLAN || ether_type == ETHER_TYPE_QINQ {
            return Err(DropReason::VlanTagged);
        }
        Ok(Self {
            destination: MacAddress([d0, d1, d2, d3, d4, d5]),
            source: MacAddress([s0, s1, s2, s3, s4, s5]),
            ether_type,
            payload,
        })
    }
}

/// The bytes of a header.
pub(super) const fn header(
    destination: MacAddress,
    source: MacAddress,
    ether_type: u16,
) -> [u8; HEADER_LENGTH] {
    let [d0, d1, d2, d3, d4, d5] = destination.0;
    let [s0, s1, s2, s3, s4, s5] = source.0;
    let [t0, t1] = ether_type.to_be_bytes();
    [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_in_the_frame_is_refused() {
        for ether_type in [[0x81, 0x00], [0x88, 0xa8]] {
            let mut bytes = [0; 64];
            bytes[12..14].copy_from_slice(&ether_type);
            assert_eq!(EthernetFrame::parse(&bytes), Err(DropReason::VlanTagged));
        }
    }

    #[test]
    fn thirteen_bytes_are_no_frame() {
        assert_eq!(EthernetFrame::parse(&[0; 13]), Err(DropReason::Truncated));
        assert!(EthernetFrame::parse(&[0; 14]).is_ok());
    }
}
