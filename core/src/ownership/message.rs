//! What ownership machines say to each other.
//!
//! Each message fits into one datagram; what does not is cut into several, each of use alone. All
//! of them may be lost, repeated and reordered. The sealed envelope around them says who sent
//! them, from which boot, and which version of this enum it is.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::interface::{Interface, Links};
use crate::node::Boot;
use crate::reason::MoveReason;
use crate::record::Epoch;
use crate::table::{Changes, Version, varint_size};

/// How many bytes the variable part of a message may take: with the fixed part and the envelope it
/// stays below 1,280 bytes, which every link carries.
pub(super) const BUDGET: usize = 1_100;

/// One message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// What there is to be held of the sender, and what it holds of the receiver: every 100 ms,
    /// and whenever the receiver has sent something of its own.
    Digest(Digest),
    /// What the sender holds of the receiver: asks for the rest.
    Have(Have),
    /// The sender's profile.
    Profile(Profile),
    /// Changes of the sender's table.
    Changes(Changes),
    /// Asks for the floors of the addresses after this one.
    FloorsWanted {
        /// The last address that the sender has; `None` asks for the first.
        after: Option<IpAddr>,
    },
    /// Answers [`Message::FloorsWanted`].
    Floors(FloorsPage),
    /// Tells an owner that higher epochs than its own are remembered.
    HigherFloors(Vec<Floor>),
    /// Offers VIPs to the receiver.
    Offers(Vec<Offer>),
    /// Refuses offers of the receiver.
    Refusals(Vec<Refusal>),
    /// The sender leaves now: everything it owned is an orphan.
    Leave {
        /// The last version of its table.
        table: Version,
    },
}

/// The versions of what a member publishes, and of what it holds of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The sender's profile.
    pub profile: Version,
    /// The sender's table.
    pub table: Version,
    /// What the sender holds of the receiver.
    pub have: Have,
}

/// Up to which versions the sender holds what the receiver publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The boot of the receiver that published it.
    pub boot: Boot,
    /// The receiver's profile.
    pub profile: Version,
    /// The receiver's table.
    pub table: Version,
}

/// What others must know of a member to rank it as a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// How many changes there were, this one included.
    pub version: Version,
    /// How far its life has come.
    pub stage: Stage,
    /// Its usable interfaces, as many as fit: the member itself judges by all of them.
    pub interfaces: Vec<Interface>,
}

/// How far the life of one boot of a speaker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It has not completed its lists.
    Starting,
    /// It knows the facts, and waits for what other members publish.
    Syncing,
    /// It answers and takes.
    Ready,
    /// It is about to leave, and takes nothing.
    Draining,
}

/// What is remembered of the epochs of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The VIP.
    pub vip: IpAddr,
    /// The highest epoch that was seen.
    pub epoch: Epoch,
    /// The version of the claim when an owner found it gone; 0 if none did.
    pub gone_version: u64,
}

/// The floors after an address, as many as fit into one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorsPage {
    /// As in the question.
    pub after: Option<IpAddr>,
    /// The next floors, by address.
    pub floors: Vec<Floor>,
    /// There are no more.
    pub is_last: bool,
}

/// An owner asks the receiver to take a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The VIP.
    pub vip: IpAddr,
    /// The epoch at which to take it.
    pub epoch: Epoch,
    /// Why it moves.
    pub reason: MoveReason,
}

/// A target says that it will not take a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The VIP.
    pub vip: IpAddr,
    /// The epoch of the offer.
    pub epoch: Epoch,
}

// === impl Profile ===

impl Profile {
    /// The links that it tells of; what is away only its node knows.
    pub(super) fn links(&self) -> Links<'_> {
        Links {
            usable: &self.interfaces,
            away: &[],
        }
    }

    /// As many interfaces as fit into one message, in the order of their indexes.
    pub(super) fn published_interfaces<'a>(
        interfaces: impl IntoIterator<Item = &'a Interface>,
    ) -> Vec<Interface> {
        let mut sorted: Vec<_> = interfaces.into_iter().cloned().collect();
        sorted.sort_by_key(|interface| interface.index);
        let mut size = 0;
        sorted
            .into_iter()
            .take_while(|interface| {
                // Index 5, name, MAC 6, per address tag 1 + 16 + prefix 1 (at most), per route 1, lengths 3.
                size += 14
                    + interface.name.len()
                    + 18 * interface.addresses.len()
                    + interface.default_routes.len();
                size <= BUDGET
            })
            .collect()
    }
}

// === impl Floor ===

impl Floor {
    pub(super) fn wire_size(&self) -> usize {
        17 + varint_size(self.epoch.0) + varint_size(self.gone_version)
    }
}

/// How many offers fit into one message: address 17, epoch 10, reason 1.
pub(super) const OFFERS_PER_MESSAGE: usize = BUDGET / 28;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Family;
    use crate::interface::{IfIndex, MacAddress};

    fn size(message: &Message) -> usize {
        postcard::to_allocvec(message).expect("it is plain data").len()
    }

    fn vip() -> IpAddr {
        "2001:db8::ffff".parse().expect("a literal address")
    }

    #[test]
    fn a_profile_with_very_many_interfaces_fits_into_a_message() {
        let interfaces: Vec<_> = (0..500)
            .map(|index| Interface {
                index: IfIndex(u32::MAX - index),
                name: "fifteen-letters".to_owned(),
                mac: MacAddress([255; 6]),
                addresses: vec!["2001:db8::1/64".parse().unwrap(), "192.0.2.1/24".parse().unwrap()],
                default_routes: Family::ALL.to_vec(),
            })
            .collect();
        let published = Profile::published_interfaces(&interfaces);
        assert!(published.len() >= 10, "only {} are published", published.len());
        let profile = Message::Profile(Profile {
            version: Version(u64::MAX),
            stage: Stage::Draining,
            interfaces: published,
        });
        assert!(
            size(&profile) <= crate::membership::MAX_MESSAGE,
            "{} bytes",
            size(&profile)
        );
    }

    #[test]
    fn full_offers_and_floors_fit_into_a_message() {
        let offer = Offer {
            vip: vip(),
            epoch: Epoch(u64::MAX),
            reason: MoveReason::FloorRaised,
        };
        let offers = Message::Offers(vec![offer; OFFERS_PER_MESSAGE]);
        assert!(
            size(&offers) <= crate::membership::MAX_MESSAGE,
            "{} bytes",
            size(&offers)
        );
        let floor = Floor {
            vip: vip(),
            epoch: Epoch(u64::MAX),
            gone_version: u64::MAX,
        };
        assert!(postcard::to_allocvec(&floor).expect("it is plain data").len() <= floor.wire_size());
    }
}
