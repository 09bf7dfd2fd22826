//! Neighbor solicitations and advertisements (RFC 4861, RFC 4862).

use std::net::Ipv6Addr;

use crate::interface::MacAddress;
use crate::wire::ethernet::{self, ETHER_TYPE_IPV6};
use crate::wire::ipv6::{self, ALL_NODES, Icmpv6Datagram, NDP_HOP_LIMIT};
use crate::wire::{DropReason, Frame, icmpv6};

/// Every advertisement that we send: Ethernet, IPv6, the message and one option.
pub const FRAME_LENGTH: usize = 86;

/// The message up to its options.
const FIXED_LENGTH: usize = 24;
/// The message that we send: the fixed part and the target link-layer address option.
const MESSAGE_LENGTH: u8 = 32;

const TYPE_SOLICITATION: u8 = 135;
const TYPE_ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;

/// Flag S: this answers a solicitation.
const FLAG_SOLICITED: u8 = 0x40;
/// Flag O: replace the address in the cache.
const FLAG_OVERRIDE: u8 = 0x20;
// Flag R (router, 0x80) is never set: it would say that hosts may use the VIP as a router.

/// A received message that passed every check of RFC 4861 section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpMessage {
    /// Somebody asks for an address.
    Solicitation(Solicitation),
    /// Somebody says where an address is.
    Advertisement(Advertisement),
}

/// A valid neighbor solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified during duplicate address detection.
    pub source: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The asker's MAC from the source link-layer address option. Absent during duplicate address
    /// detection, and allowed to be absent when a known neighbor is probed.
    pub source_mac: Option<MacAddress>,
}

/// A valid neighbor advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The address that it speaks about.
    pub target: Ipv6Addr,
    /// Its MAC from the target link-layer address option.
    pub target_mac: Option<MacAddress>,
}

// === impl NdpMessage ===

impl NdpMessage {
    /// Reads the payload of a frame.
    pub fn parse(payload: &[u8]) -> Result<Self, DropReason> {
        let datagram = Icmpv6Datagram::parse(payload)?;
        let Icmpv6Datagram {
            source,
            destination,
            hop_limit,
            message,
        } = datagram;
        if hop_limit != NDP_HOP_LIMIT {
            return Err(DropReason::HopLimit);
        }
        if source.is_multicast() {
            return Err(DropReason::Sender);
        }
        let (fixed, options) = message
            .split_first_chunk::<FIXED_LENGTH>()
            .ok_or(DropReason::Truncated)?;
        if icmpv6::checksum(source, destination, message) != 0 {
            return Err(DropReason::Checksum);
        }
        let (header, target) = fixed.split_first_chunk::<8>().ok_or(DropReason::Truncated)?;
        let target = Ipv6Addr::from(*target.first_chunk::<16>().ok_or(DropReason::Truncated)?);
        if target.is_multicast() {
            return Err(DropReason::MulticastTarget);
        }
        let [message_type, code, _, _, flags, ..] = *header;
        match (message_type, code) {
            (TYPE_SOLICITATION, 0) => solicitation(&datagram, target, options).map(Self::Solicitation),
            (TYPE_ADVERTISEMENT, 0) if destination.is_multicast() && flags & FLAG_SOLICITED != 0 => {
                Err(DropReason::SolicitedMulticast)
            }
            (TYPE_ADVERTISEMENT, 0) => {
                let target_mac = mac_option(options, OPTION_TARGET_MAC)?;
                Ok(Self::Advertisement(Advertisement { target, target_mac }))
            }
            _ => Err(DropReason::IcmpType),
        }
    }
}

fn solicitation(
    datagram: &Icmpv6Datagram<'_>,
    target: Ipv6Addr,
    options: &[u8],
) -> Result<Solicitation, DropReason> {
    let source_mac = mac_option(options, OPTION_SOURCE_MAC)?;
    // RFC 4861 section 7.1.1, the last two conditions.
    if datagram.source.is_unspecified()
        && (source_mac.is_some() || !ipv6::is_solicited_node_group(datagram.destination))
    {
        return Err(DropReason::UnspecifiedSource);
    }
    Ok(Solicitation {
        source: datagram.source,
        target,
        source_mac,
    })
}

/// Walks all options, so that a malformed one anywhere refuses the message, and returns the first
/// link-layer address of the wanted kind.
fn mac_option(mut options: &[u8], wanted: u8) -> Result<Option<MacAddress>, DropReason> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if length == 0 {
            return Err(DropReason::OptionLength);
        }
        let (option, rest) = options.split_at_checked(length).ok_or(DropReason::OptionLength)?;
        if kind == wanted && found.is_none() {
            let [_, _, a, b, c, d, e, f] = *option else {
                return Err(DropReason::OptionLength);
            };
            let mac = MacAddress([a, b, c, d, e, f]);
            if !mac.is_unicast() {
                return Err(DropReason::Sender);
            }
            found = Some(mac);
        }
        options = rest;
    }
    if options.is_empty() {
        Ok(found)
    } else {
        Err(DropReason::OptionLength)
    }
}

/// The answer to a solicitation, from a MAC to which frames for the asker can be sent.
///
/// Duplicate address detection asks from `::`; its answer goes to all nodes and must not say that
/// it was solicited (RFC 4861 section 7.2.4).
pub fn solicited(mac: MacAddress, vip: Ipv6Addr, asker: Ipv6Addr, asker_mac: MacAddress) -> Frame {
    if asker.is_unspecified() {
        return unsolicited(mac, vip);
    }
    frame(mac, vip, (asker, asker_mac), FLAG_SOLICITED | FLAG_OVERRIDE)
}

/// The advertisement to all nodes after a takeover. O must be set or caches keep the old MAC; with
/// S set Linux would ignore it.
pub fn unsolicited(mac: MacAddress, vip: Ipv6Addr) -> Frame {
    frame(
        mac,
        vip,
        (ALL_NODES, ipv6::multicast_mac(ALL_NODES)),
        FLAG_OVERRIDE,
    )
}

fn frame(mac: MacAddress, vip: Ipv6Addr, (to, to_mac): (Ipv6Addr, MacAddress), flags: u8) -> Frame {
    let mut message = [0; MESSAGE_LENGTH as usize];
    message[0] = TYPE_ADVERTISEMENT;
    message[4] = flags;
    message[8..24].copy_from_slice(&vip.octets());
    message[24] = OPTION_TARGET_MAC;
    message[25] = 1;
    message[26..32].copy_from_slice(&mac.0);
    let sum = icmpv6::checksum(vip, to, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut bytes = [0; FRAME_LENGTH];
    bytes[..14].copy_from_slice(&ethernet::header(to_mac, mac, ETHER_TYPE_IPV6));
    bytes[14..54].copy_from_slice(&ipv6::header(vip, to, MESSAGE_LENGTH));
    bytes[54..].copy_from_slice(&message);
    Frame::Ndp(bytes)
}

#[cfg(test)]
mod tests;
