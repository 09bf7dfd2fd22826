//! The owner's statement "I own this VIP", and which of two statements is the greater.
//!
//! Whenever two members that hear each other state the same VIP, the smaller record falls silent at
//! once. The comparison must therefore give the same answer on every node and architecture: it
//! depends on the two records alone, never on what the node that compares knows besides.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::node::NodeName;
use crate::rank;

/// The last slot in which an orphan is taken; everybody ranked behind takes in it too.
pub const LAST_SLOT: u8 = 8;

/// How many times a VIP changed its owner; never goes back while anybody remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// A statement of ownership, as far as it is compared: the VIP is known from where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The epoch at which the VIP was taken.
    pub epoch: Epoch,
    /// The slot in which it was taken: how many better candidates were waited for.
    pub slot: u8,
    /// Who states it.
    pub node: NodeName,
}

// === impl Epoch ===

impl Epoch {
    /// Before the first owner.
    pub const NONE: Self = Self(0);

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

// === impl Record ===

impl Record {
    /// Compares two statements about one VIP: by epoch, then the smaller slot, then rank hash and
    /// name, so that two records of different nodes are never equal.
    pub fn compare(&self, other: &Self, vip: IpAddr) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| other.slot.cmp(&self.slot))
            .then_with(|| {
                if self.node == other.node {
                    return Ordering::Equal;
                }
                let own = (rank::hash(vip, &self.node), &self.node);
                let others = (rank::hash(vip, &other.node), &other.node);
                others.cmp(&own)
            })
    }

    /// Whether this record is greater than the other one about the same VIP.
    pub fn is_greater(&self, other: &Self, vip: IpAddr) -> bool {
        self.compare(other, vip) == Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_record(epoch: u64, slot: u8, node: &str) -> Record {
        Record {
            epoch: Epoch(epoch),
            slot,
            node: node.into(),
        }
    }

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn the_higher_epoch_is_greater_whatever_the_slot() {
        assert!(mk_record(3, 8, "a").is_greater(&mk_record(2, 0, "b"), VIP));
    }

    #[test]
    fn at_one_epoch_the_smaller_slot_is_greater() {
        assert!(mk_record(3, 1, "a").is_greater(&mk_record(3, 2, "b"), VIP));
    }

    #[test]
    fn a_tie_goes_to_the_smaller_rank_hash() {
        let (a, b) = (mk_record(3, 1, "a"), mk_record(3, 1, "b"));
        let is_a_first = rank::hash(VIP, &a.node) < rank::hash(VIP, &b.node);
        assert_eq!(a.is_greater(&b, VIP), is_a_first);
    }

    #[test]
    fn of_two_different_records_exactly_one_is_greater() {
        let mut records = Vec::new();
        for epoch in 1..4 {
            for slot in 0..3 {
                for node in ["n1", "n2", "n3"] {
                    records.push(mk_record(epoch, slot, node));
                }
            }
        }
        for one in &records {
            for other in &records {
                let expected = usize::from(one != other);
                let found = usize::from(one.is_greater(other, VIP)) + usize::from(other.is_greater(one, VIP));
                assert_eq!(found, expected, "{one:?} against {other:?}");
            }
        }
    }
}
