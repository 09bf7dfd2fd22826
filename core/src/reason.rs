//! Why things are as they are, as closed sets of stable words.
//!
//! One `as_str` feeds the condition reason, the Event reason, the metric label and the log field,
//! so that an operator searches for one word.

mod refused;

use serde::{Deserialize, Serialize};

pub use refused::{Refusal, Refused};

/// Why a VIP changed its owner, or its owner its epoch. Every change has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MoveReason {
    /// Nobody owned it, and nobody is Down: the claim is new or was given back for a while, or the
    /// owner's speaker started anew.
    Unowned,
    /// The owner is Down.
    NodeDown,
    /// The owner left the group on purpose (SIGTERM).
    Leave,
    /// The owner's node is draining or excluded from load balancers.
    Drain,
    /// The owner is no candidate any more (selector, interface, endpoints, node condition).
    Ineligible,
    /// Two owners met; the greater record stayed.
    Healed,
    /// The claim has no holders any more: nobody answers.
    Gone,
    /// Nobody took the offered VIP in time: the owner stays, at an epoch that voids the offer.
    OfferFailed,
    /// A higher epoch than the owner's is remembered: the owner stays, at an epoch above it.
    FloorRaised,
}

/// Why this node is silent about a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Withheld {
    /// The claim has no holders.
    NoHolder,
    /// No pool or no advertisement covers the claim.
    NoAdvertisement,
    /// No advertisement selects this node.
    NodeNotSelected,
    /// No advertisement selects this node, but one has a selector that cannot be understood: no new
    /// owner, while a present one stays.
    InvalidSelector,
    /// This node's Node object is unknown.
    NodeUnknown,
    /// The Node carries `node.kubernetes.io/exclude-from-external-load-balancers`.
    NodeExcluded,
    /// The Node is `NetworkUnavailable`.
    NetworkUnavailable,
    /// This speaker is draining.
    Draining,
    /// No usable interface that an advertisement allows.
    NoInterface,
    /// Policy Local, and no serving endpoint on this node.
    NoLocalEndpoint,
    /// This speaker has not joined and synced yet.
    NotSynced,
    /// An owner gave the VIP up because its claim was gone in a newer view than this node's.
    ViewOutdated,
    /// Nobody owns it, and this node's turn to take it has not come yet.
    Waiting,
    /// Another member owns it.
    OtherOwner,
}

// === impl MoveReason ===

impl MoveReason {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unowned => "Unowned",
            Self::NodeDown => "NodeDown",
            Self::Leave => "Leave",
            Self::Drain => "Drain",
            Self::Ineligible => "Ineligible",
            Self::Healed => "Healed",
            Self::Gone => "Gone",
            Self::OfferFailed => "OfferFailed",
            Self::FloorRaised => "FloorRaised",
        }
    }
}

// === impl Withheld ===

impl Withheld {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoHolder => "NoHolder",
            Self::NoAdvertisement => "NoAdvertisement",
            Self::NodeNotSelected => "NodeNotSelected",
            Self::InvalidSelector => "InvalidSelector",
            Self::NodeUnknown => "NodeUnknown",
            Self::NodeExcluded => "NodeExcluded",
            Self::NetworkUnavailable => "NetworkUnavailable",
            Self::Draining => "Draining",
            Self::NoInterface => "NoInterface",
            Self::NoLocalEndpoint => "NoLocalEndpoint",
            Self::NotSynced => "NotSynced",
            Self::ViewOutdated => "ViewOutdated",
            Self::Waiting => "Waiting",
            Self::OtherOwner => "OtherOwner",
        }
    }
}
