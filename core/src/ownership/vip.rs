//! What is remembered of one VIP, and of this node's ownership of one: data alone, the rules are in the
//! files beside it.

use std::collections::{BTreeMap, BTreeSet};

use crate::interface::IfIndex;
use crate::node::NodeName;
use crate::reason::MoveReason;
use crate::record::{Epoch, Record};
use crate::time::Time;

/// What is known of one VIP.
#[derive(Debug, Default)]
pub(super) struct VipState {
    /// The highest epoch seen in records and floors; new records are above it.
    pub(super) floor: Epoch,
    /// The version of the claim in whose view an owner found it gone; 0 if none did.
    pub(super) gone_version: u64,
    /// The other live members that own it by their tables: more than one only until they have met.
    pub(super) holders: BTreeSet<NodeName>,
    /// Who lost it last, and why.
    pub(super) lost: Option<Lost>,
    /// The greatest record of a live member when it was looked at last.
    pub(super) owner: Option<Record>,
    /// Since when no live member owns it, and whether that is long enough to say so in its status.
    pub(super) unowned_since: Option<Time>,
    pub(super) is_abandoned: bool,
    /// The status has been seen with an owner since then, and then without. If it has one again,
    /// whoever wrote it is alive beyond a partition of the gossip, and is not cleared again until
    /// this time.
    pub(super) was_named: bool,
    pub(super) was_cleared: bool,
    pub(super) defended_until: Option<Time>,
    /// Since when there is no claim.
    pub(super) absent_since: Option<Time>,
}

/// The loss of a VIP by the member that owned it last.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) epoch: Epoch,
    /// The member. `None`: not known here. Another one fell silent before its record.
    pub(super) node: Option<NodeName>,
    pub(super) reason: MoveReason,
    /// A greater record may stand that is not known here: its holder will tell.
    pub(super) is_superseded: bool,
}

/// This node's ownership of one VIP.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) epoch: Epoch,
    pub(super) slot: u8,
    pub(super) reason: MoveReason,
    pub(super) from: Option<NodeName>,
    /// Where to answer. Empty only for a moment: while it is offered because they all vanished.
    pub(super) interfaces: BTreeSet<IfIndex>,
    pub(super) burst: u64,
    /// The version of the claim in the last view in which it had holders.
    pub(super) claim_version: u64,
    /// Smaller records that were answered, by who stated them.
    pub(super) refuted: BTreeMap<NodeName, Epoch>,
    /// How often the epoch was raised above a remembered one, and when it may be again.
    pub(super) raises: u32,
    pub(super) raise_after: Time,
    /// Since when the claim's status has a higher epoch.
    pub(super) outdone_since: Option<Time>,
    /// Members that did not take it when it was offered.
    pub(super) tried: BTreeSet<NodeName>,
}
