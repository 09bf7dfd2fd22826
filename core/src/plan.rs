//! What this node should answer for, complete.
//!
//! The ownership machine produces a `Plan`; announcers converge to it. A plan replaces the one
//! before it whole, so that a late interface, a restart and a lost event are one code path.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::interface::IfIndex;
use crate::node::NodeName;
use crate::reason::{MoveReason, Withheld};

/// Every announcement of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By VIP.
    pub announcements: BTreeMap<IpAddr, Announcement>,
    /// Why this node is silent about the other VIPs that it knows. Announcers only report it; a
    /// VIP that is in neither map has no claim any more.
    pub withheld: BTreeMap<IpAddr, Withheld>,
}

/// This node answers for one VIP on these interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Where to answer; never empty.
    pub interfaces: BTreeSet<IfIndex>,
    /// Raised whenever neighbors must be told again (a take, a rival refuted, a heal): a change
    /// starts a new burst on all interfaces. Its value has no other meaning.
    pub burst: u64,
    /// The epoch of this node's record. Announcers only report it.
    pub epoch: u64,
    /// Why the VIP came to this node. Announcers only report it.
    pub reason: MoveReason,
    /// Who had owned it before, if anybody. Announcers only report it.
    pub from: Option<NodeName>,
}
