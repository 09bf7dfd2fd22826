//! Which address belongs to which pool.
//!
//! Decides from all pools together: what an entry means, what is wrong with it, and who has an
//! address that two pools list (the older pool, then the name). An entry that means nothing lends
//! nothing; an `exclude` entry that means nothing stops its whole pool from lending anything new,
//! because nobody knows what it was to protect.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use rangemap::RangeInclusiveMap;

use crate::address::Family;
use crate::address_set::AddressSet;
use crate::pool::{Pool, PoolName, Sharing};
use crate::range::{AddressRange, is_buggy, to_number};

/// Every pool's share of the addresses; rebuilt whole when a pool changes.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    by_pool: BTreeMap<PoolName, Share>,
    v4: RangeInclusiveMap<u128, PoolName>,
    v6: RangeInclusiveMap<u128, PoolName>,
}

/// What one pool lends.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// The entries that mean something, in the order in which they are lent.
    pub entries: Vec<AddressRange>,
    /// The entries that mean nothing.
    pub invalid: Vec<InvalidEntry>,
    /// The pools that list one of its addresses too.
    pub overlaps: BTreeMap<PoolName, Overlap>,
    /// Every address that belongs to the pool. Buggy ones are in it even if the pool avoids them:
    /// carving them out of a /8 would make 65,536 intervals.
    belongs: AddressSet,
    excluded: AddressSet,
    avoids_buggy: bool,
    /// How many addresses one namespace may hold.
    pub quota: Option<u32>,
    /// Who may share an address under one key.
    pub sharing: Sharing,
    /// The place of each address's entry in `entries`.
    places_v4: RangeInclusiveMap<u128, usize>,
    places_v6: RangeInclusiveMap<u128, usize>,
}

/// An entry of a pool's lists that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEntry {
    /// The list: `addresses` or `exclude`.
    pub list: EntryList,
    /// Its place in the list.
    pub index: usize,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// One of the two lists of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryList {
    /// `spec.addresses`.
    Addresses,
    /// `spec.exclude`.
    Exclude,
    /// The whole object: nobody can say what it lists.
    Everything,
}

/// Two pools list the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The first of the common ranges.
    pub range: AddressRange,
    /// Whether this pool, the older one, has them.
    pub has: bool,
}

// === impl Layout ===

impl Layout {
    /// Divides the addresses among pools.
    pub fn compile<'a>(pools: impl IntoIterator<Item = &'a Pool>) -> Self {
        let mut by_age: Vec<&Pool> = pools.into_iter().collect();
        by_age.sort_by_key(|pool| (pool.created, &pool.name));
        let mut layout = Self::default();
        for pool in by_age {
            layout.add(pool);
        }
        layout
    }

    /// Whether there is no pool at all.
    pub fn is_empty(&self) -> bool {
        self.by_pool.is_empty()
    }

    /// One pool's share.
    pub fn share(&self, pool: &PoolName) -> Option<&Share> {
        self.by_pool.get(pool)
    }

    /// Every pool and its share, in the order of names.
    pub fn shares(&self) -> impl Iterator<Item = (&PoolName, &Share)> {
        self.by_pool.iter()
    }

    /// The pool that an address belongs to and may be held from.
    pub fn pool_of(&self, address: IpAddr) -> Option<&PoolName> {
        let name = self.family(Family::of(address)).get(&to_number(address))?;
        self.share(name)?.covers(address).then_some(name)
    }

    fn add(&mut self, pool: &Pool) {
        let mut share = Share::read(pool);
        for family in Family::ALL {
            let listed: Vec<AddressRange> = share.belongs.ranges(family).collect();
            for range in listed {
                self.settle_overlaps(&pool.name, &mut share, range);
            }
            let map = self.family_mut(family);
            for range in share.belongs.ranges(family) {
                map.insert(range.first()..=range.last(), pool.name.clone());
            }
        }
        self.by_pool.insert(pool.name.clone(), share);
    }

    /// Takes out of a share what older pools have of a range.
    fn settle_overlaps(&mut self, name: &PoolName, share: &mut Share, range: AddressRange) {
        let family = range.family();
        let older: Vec<(AddressRange, PoolName)> = self
            .family(family)
            .overlapping(range.first()..=range.last())
            .filter_map(|(held, older)| {
                let (first, last) = (range.first().max(*held.start()), range.last().min(*held.end()));
                Some((AddressRange::from_numbers(family, first, last)?, older.clone()))
            })
            .collect();
        for (range, older) in older {
            share.belongs.remove(range);
            if let Some(other) = self.by_pool.get_mut(&older) {
                let entry = Overlap { range, has: true };
                other.overlaps.entry(name.clone()).or_insert(entry);
            }
            let entry = Overlap { range, has: false };
            share.overlaps.entry(older).or_insert(entry);
        }
    }

    fn family(&self, family: Family) -> &RangeInclusiveMap<u128, PoolName> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn family_mut(&mut self, family: Family) -> &mut RangeInclusiveMap<u128, PoolName> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

// === impl Share ===

impl Share {
    /// Whether the pool gives an address to a Service that did not have it yet.
    pub fn lends(&self, address: IpAddr) -> bool {
        !self.is_frozen() && self.covers(address)
    }

    /// Whether a Service may go on holding an address of the pool.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.belongs.contains(address) && !self.avoids(address)
    }

    /// Whether an address outside of what the pool covers may be one that an invalid entry meant.
    pub fn may_have_meant(&self, address: IpAddr) -> bool {
        !self.invalid.is_empty() && !self.excluded.contains(address) && !self.avoids(address)
    }

    /// Whether nothing new is lent because an `exclude` entry, or the whole object, means nothing.
    pub fn is_frozen(&self) -> bool {
        self.invalid.iter().any(|entry| match entry.list {
            EntryList::Exclude | EntryList::Everything => true,
            EntryList::Addresses => false,
        })
    }

    /// Whether nobody understands the whole object.
    pub fn is_unreadable(&self) -> bool {
        let is_whole = |entry: &InvalidEntry| entry.list == EntryList::Everything;
        self.invalid.iter().any(is_whole)
    }

    /// The place of the entry that lists an address, and that entry.
    pub fn entry_of(&self, address: IpAddr) -> Option<(usize, AddressRange)> {
        let places = match Family::of(address) {
            Family::V4 => &self.places_v4,
            Family::V6 => &self.places_v6,
        };
        let place = *places.get(&to_number(address))?;
        Some((place, *self.entries.get(place)?))
    }

    /// Every address that belongs to the pool, also those that it avoids.
    pub fn belongs(&self) -> &AddressSet {
        &self.belongs
    }

    /// How many addresses of a family the pool covers, by arithmetic.
    pub fn count(&self, family: Family) -> u128 {
        let buggy: u128 = if self.avoids_buggy {
            self.belongs.ranges(family).map(AddressRange::count_buggy).sum()
        } else {
            0
        };
        self.belongs.count(family) - buggy
    }

    /// Reads the lists of a pool, as if it were the only one.
    fn read(pool: &Pool) -> Self {
        let mut share = Self {
            avoids_buggy: pool.spec.avoid_buggy_ips,
            quota: pool.spec.allocation.max_per_namespace,
            sharing: pool.spec.sharing,
            ..Self::default()
        };
        if let Some(problem) = &pool.unreadable {
            share.invalid.push(InvalidEntry {
                list: EntryList::Everything,
                index: 0,
                problem: problem.clone(),
            });
        }
        for (index, text) in pool.spec.addresses.iter().enumerate() {
            match share.read_entry(text) {
                Ok(range) => {
                    let places = match range.family() {
                        Family::V4 => &mut share.places_v4,
                        Family::V6 => &mut share.places_v6,
                    };
                    places.insert(range.first()..=range.last(), share.entries.len());
                    share.entries.push(range);
                    share.belongs.insert(range);
                }
                Err(problem) => share.invalid.push(InvalidEntry {
                    list: EntryList::Addresses,
                    index,
                    problem,
                }),
            }
        }
        for (index, text) in pool.spec.exclude.iter().enumerate() {
            match text.parse::<AddressRange>() {
                Ok(range) => {
                    share.belongs.remove(range);
                    share.excluded.insert(range);
                }
                Err(error) => share.invalid.push(InvalidEntry {
                    list: EntryList::Exclude,
                    index,
                    problem: error.to_string(),
                }),
            }
        }
        share
    }

    fn read_entry(&self, text: &str) -> Result<AddressRange, String> {
        let range: AddressRange = text
            .parse()
            .map_err(|error: crate::range::RangeError| error.to_string())?;
        let places = match range.family() {
            Family::V4 => &self.places_v4,
            Family::V6 => &self.places_v6,
        };
        let place = places
            .overlapping(range.first()..=range.last())
            .map(|(_, place)| *place)
            .min();
        match place.and_then(|place| self.entries.get(place)) {
            Some(earlier) => Err(format!(
                "\"{}\" overlaps the earlier entry {earlier}: list each address once",
                text.trim()
            )),
            None => Ok(range),
        }
    }

    /// Whether the pool never lends an address because some equipment does not like it.
    pub fn avoids(&self, address: IpAddr) -> bool {
        self.avoids_buggy && is_buggy(address)
    }
}

// === impl InvalidEntry ===

impl fmt::Display for InvalidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self.list {
            EntryList::Addresses => "addresses",
            EntryList::Exclude => "exclude",
            EntryList::Everything => {
                return write!(f, "the object cannot be understood: {}", self.problem);
            }
        };
        write!(f, "spec.{list}[{}]: {}", self.index, self.problem)
    }
}

#[cfg(test)]
pub(super) mod tests;
