//! The frames that we receive and send, as bytes: Ethernet, ARP, IPv6 with ICMPv6, NDP.
//!
//! What is received comes from anybody on the LAN. Parsers are therefore total: for every
//! sequence of bytes they return either a checked value or the reason for which the frame is
//! dropped, they never panic, and they allocate nothing. Lengths are checked once, where a layer
//! is entered; what is behind the check works on arrays of known size.
//!
//! What is sent is built here byte by byte, and never depends on what was received beyond the
//! addresses to answer to. The module decides what a frame means, not whether to answer it: that
//! is the responder's part.

pub mod arp;
pub mod ethernet;
pub mod icmpv6;
pub mod ipv6;
pub mod ndp;

/// A frame to be sent, complete with its Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An ARP reply or gratuitous ARP.
    Arp([u8; arp::FRAME_LENGTH]),
    /// A neighbor advertisement.
    Ndp([u8; ndp::FRAME_LENGTH]),
}

/// Why a received frame led to nothing. One `as_str` is the metric's label and the log's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// It ends before the header, or before the length that a header promises.
    Truncated,
    /// The kernel says it was meant for another host, or the destination MAC does.
    OtherHost,
    /// It is one of our own, or carries our MAC as its sender.
    OwnFrame,
    /// It belongs to a VLAN that is not this interface's.
    VlanTagged,
    /// Neither ARP nor IPv6.
    EtherType,
    /// ARP for another hardware or protocol than Ethernet and IPv4.
    ArpFormat,
    /// Neither an ARP request nor a reply.
    ArpOperation,
    /// No answer could reach the sender: its MAC is zero, broadcast or multicast, or its address
    /// is multicast.
    Sender,
    /// Not IPv6, or something else than ICMPv6 follows the header; also any fragment (RFC 6980).
    NotIcmpv6,
    /// The hop limit is not 255: the frame crossed a router (RFC 4861 section 7.1).
    HopLimit,
    /// The ICMPv6 checksum is wrong.
    Checksum,
    /// Neither a neighbor solicitation nor an advertisement, or its code is not 0.
    IcmpType,
    /// The target is a multicast address.
    MulticastTarget,
    /// An option of length 0, one that reaches beyond the message, or a link-layer address of the
    /// wrong size.
    OptionLength,
    /// A solicitation from `::` that carries a source option or goes to no solicited-node group
    /// (RFC 4861 section 7.1.1).
    UnspecifiedSource,
    /// An advertisement that claims to be solicited and went to a group (RFC 4861 section 7.1.2).
    SolicitedMulticast,
    /// It is well formed and concerns no VIP that is announced here.
    NotAnnounced,
}

// === impl Frame ===

impl Frame {
    /// The bytes as they go on the wire, without checksum of the frame.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Arp(bytes) => bytes,
            Self::Ndp(bytes) => bytes,
        }
    }
}

// === impl DropReason ===

impl DropReason {
    /// Every reason, so that each can be counted from the start.
    pub const ALL: [Self; 17] = [
        Self::Truncated,
        Self::OtherHost,
        Self::OwnFrame,
        Self::VlanTagged,
        Self::EtherType,
        Self::ArpFormat,
        Self::ArpOperation,
        Self::Sender,
        Self::NotIcmpv6,
        Self::HopLimit,
        Self::Checksum,
        Self::IcmpType,
        Self::MulticastTarget,
        Self::OptionLength,
        Self::UnspecifiedSource,
        Self::SolicitedMulticast,
        Self::NotAnnounced,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "Truncated",
            Self::OtherHost => "OtherHost",
            Self::OwnFrame => "OwnFrame",
            Self::VlanTagged => "VlanTagged",
            Self::EtherType => "EtherType",
            Self::ArpFormat => "ArpFormat",
            Self::ArpOperation => "ArpOperation",
            Self::Sender => "Sender",
            Self::NotIcmpv6 => "NotIcmpv6",
            Self::HopLimit => "HopLimit",
            Self::Checksum => "Checksum",
            Self::IcmpType => "IcmpType",
            Self::MulticastTarget => "MulticastTarget",
            Self::OptionLength => "OptionLength",
            Self::UnspecifiedSource => "UnspecifiedSource",
            Self::SolicitedMulticast => "SolicitedMulticast",
            Self::NotAnnounced => "NotAnnounced",
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod testing;
