//! What can be found against the rules, and how it is said.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Something that is against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A node spoke for an address that it did not own at that instant.
    NotOwner {
        /// The node.
        node: String,
        /// The address.
        address: IpAddr,
        /// The frame, and when and where it was seen.
        frame: String,
        /// When it owned the address.
        owned: String,
    },
    /// Two nodes owned a VIP together for too long.
    Overlap {
        /// The VIP.
        vip: IpAddr,
        /// Both nodes.
        nodes: [String; 2],
        /// How long.
        lasted: Duration,
        /// Since when.
        from: String,
    },
    /// A node took a VIP and did not say so in the way in which it must.
    NotAnnounced {
        /// The VIP.
        vip: IpAddr,
        /// The node.
        node: String,
        /// What was missing.
        missing: &'static str,
        /// When it took it.
        from: String,
    },
    /// A node spoke for an IPv6 VIP while no solicitation would have reached it.
    NotMember {
        /// The VIP.
        vip: IpAddr,
        /// The node.
        node: String,
        /// The frame, and when and where it was seen.
        frame: String,
    },
    /// A client was answered for a VIP, and nothing of that was seen here.
    Unseen {
        /// The VIP.
        vip: IpAddr,
    },
    /// There is something that was not judged.
    Dropped {
        /// How many frames.
        frames: u64,
    },
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOwner {
                node,
                address,
                frame,
                owned,
            } => write!(f, "{node} spoke for {address}, which it owned {owned}; {frame}"),
            Self::Overlap {
                vip,
                nodes: [one, other],
                lasted,
                from,
            } => write!(f, "{one} and {other} both owned {vip} for {lasted:?} from {from}"),
            Self::NotAnnounced {
                vip,
                node,
                missing,
                from,
            } => write!(f, "{node} took {vip} at {from} without {missing}"),
            Self::NotMember { vip, node, frame } => write!(
                f,
                "{node} spoke for {vip} without being a member of its solicited-node group; {frame}"
            ),
            Self::Unseen { vip } => write!(
                f,
                "a client was answered for {vip}, but no frame of its owner was seen: nothing was judged"
            ),
            Self::Dropped { frames } => write!(
                f,
                "{frames} frames were dropped before they could be judged; the queue of the capture is too short"
            ),
        }
    }
}
