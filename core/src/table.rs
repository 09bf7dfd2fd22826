//! What a member says about VIPs, and how others come to hold the same.
//!
//! A [`Table`] is a member's own; each change of an entry gets the next version. [`Changes`] are
//! complete for a range of versions: all entries whose latest change lies in it. So a [`Replica`]
//! that holds everything up to the start of a range holds everything up to its end afterwards,
//! and its content is a function of boot and version: there is nothing else to compare. Losing,
//! repeating and reordering datagrams costs time, never correctness.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::reason::MoveReason;
use crate::record::Epoch;

/// A number of changes to something that one boot of a member publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

/// What a member says about one VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It owns the VIP, and took it in this slot.
    Held {
        /// How many better candidates it had waited for.
        slot: u8,
    },
    /// It owned the VIP and gave it to nobody.
    Released {
        /// Why.
        reason: MoveReason,
        /// The version of the claim in its last view in which the claim had holders; 0 if unknown.
        claim_version: u64,
    },
    /// It says nothing about the VIP any more.
    Silent,
}

/// One entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The VIP.
    pub vip: IpAddr,
    /// The version of the table in which this entry changed last.
    pub version: Version,
    /// The epoch of the record, or of the last one.
    pub epoch: Epoch,
    /// What the member says.
    pub standing: Standing,
}

/// All changes of a table in a range of versions: what is not listed did not change in it, or has
/// changed again since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The version before the range.
    pub after: Version,
    /// The last version of the range.
    pub upto: Version,
    /// The entries, in the order of their versions.
    pub entries: Vec<Entry>,
}

/// What this member says, by VIP.
#[derive(Clone, Debug, Default)]
pub struct Table {
    version: Version,
    entries: BTreeMap<IpAddr, Entry>,
    by_version: BTreeMap<Version, IpAddr>,
    held: usize,
}

/// What another member says, as far as it is held here: the VIPs that it owns.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Everything up to this version is held; entries of later ones may be.
    held_version: Version,
    held: BTreeMap<IpAddr, Entry>,
    /// Later versions at which the member gave a VIP up, so that an older datagram that arrives
    /// late does not bring it back.
    given_up: BTreeMap<IpAddr, Version>,
}

// === impl Version ===

impl Version {
    /// Before the first change.
    pub const NONE: Self = Self(0);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

// === impl Standing ===

impl Standing {
    /// Whether the member owns the VIP.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Whether the member owned the VIP and gave it to nobody.
    pub const fn is_released(self) -> bool {
        matches!(self, Self::Released { .. })
    }
}

// === impl Entry ===

impl Entry {
    /// An upper bound of the entry's size on the wire.
    fn wire_size(&self) -> usize {
        let address = match self.vip {
            IpAddr::V4(_) => 5,
            IpAddr::V6(_) => 17,
        };
        let standing = match self.standing {
            Standing::Held { .. } => 2,
            Standing::Released { claim_version, .. } => 2 + varint_size(claim_version),
            Standing::Silent => 1,
        };
        address + varint_size(self.version.0) + varint_size(self.epoch.0) + standing
    }
}

/// The size of a number in postcard's variable-length encoding.
pub(crate) const fn varint_size(value: u64) -> usize {
    match (u64::BITS - value.leading_zeros()).div_ceil(7) {
        0 => 1,
        bytes => bytes as usize,
    }
}

// === impl Table ===

impl Table {
    /// How many changes there were.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How many VIPs this member owns.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// What is said about a VIP.
    pub fn get(&self, vip: IpAddr) -> Option<&Entry> {
        self.entries.get(&vip)
    }

    /// Everything that is said, by VIP.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Says something about a VIP.
    pub fn set(&mut self, vip: IpAddr, epoch: Epoch, standing: Standing) {
        self.forget(vip);
        self.version = self.version.next();
        self.held += usize::from(standing.is_held());
        self.by_version.insert(self.version, vip);
        self.entries.insert(
            vip,
            Entry {
                vip,
                version: self.version,
                epoch,
                standing,
            },
        );
    }

    /// Drops an entry without telling anybody: only for what everybody may have forgotten.
    pub fn forget(&mut self, vip: IpAddr) {
        if let Some(old) = self.entries.remove(&vip) {
            self.by_version.remove(&old.version);
            self.held -= usize::from(old.standing.is_held());
        }
    }

    /// The changes after a version, as many as fit into `budget` bytes; `None` if there are none.
    pub fn changes_after(&self, after: Version, budget: usize) -> Option<Changes> {
        if after >= self.version {
            return None;
        }
        let mut entries = Vec::new();
        let mut size = 0;
        let later = (Bound::Excluded(after), Bound::Unbounded);
        for entry in self
            .by_version
            .range(later)
            .filter_map(|(_, vip)| self.entries.get(vip))
        {
            size += entry.wire_size();
            if size > budget
                && let Some(last) = entries.last().map(|last: &Entry| last.version)
            {
                return Some(Changes {
                    after,
                    upto: last,
                    entries,
                });
            }
            entries.push(*entry);
        }
        Some(Changes {
            after,
            upto: self.version,
            entries,
        })
    }

    /// The last change of one VIP alone.
    pub fn change_of(&self, vip: IpAddr) -> Option<Changes> {
        let entry = *self.entries.get(&vip)?;
        Some(Changes {
            after: Version(entry.version.0.saturating_sub(1)),
            upto: entry.version,
            entries: vec![entry],
        })
    }
}

// === impl Replica ===

impl Replica {
    /// Everything up to this version is held.
    pub const fn version(&self) -> Version {
        self.held_version
    }

    /// How many VIPs the member owns.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The entry of a VIP that the member owns.
    pub fn get(&self, vip: IpAddr) -> Option<&Entry> {
        self.held.get(&vip)
    }

    /// All VIPs that the member owns.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        self.held.keys().copied()
    }

    /// Takes changes over and returns the entries that were news.
    pub fn apply(&mut self, changes: &Changes) -> Vec<Entry> {
        let mut news = Vec::new();
        for entry in &changes.entries {
            if entry.version > self.latest(entry.vip) && entry.version <= changes.upto {
                self.insert(*entry);
                news.push(*entry);
            }
        }
        if changes.after <= self.held_version && changes.upto > self.held_version {
            self.held_version = changes.upto;
            self.given_up.retain(|_, version| *version > changes.upto);
        }
        news
    }

    /// The version up to which all is known about one VIP.
    fn latest(&self, vip: IpAddr) -> Version {
        let held = self.held.get(&vip).map(|entry| entry.version);
        let given_up = self.given_up.get(&vip).copied();
        // `None` is less than any version.
        held.max(given_up).unwrap_or_default().max(self.held_version)
    }

    fn insert(&mut self, entry: Entry) {
        if entry.standing.is_held() {
            self.given_up.remove(&entry.vip);
            self.held.insert(entry.vip, entry);
        } else {
            self.held.remove(&entry.vip);
            self.given_up.insert(entry.vip, entry.version);
        }
    }
}

#[cfg(test)]
mod tests;
