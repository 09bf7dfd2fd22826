//! Sets of addresses of both families, as intervals.
//!
//! No operation lists hosts: the cost follows the number of intervals, so a /0 and a /64 are as
//! cheap as a /32, and the lowest free address is found as quickly in a full range as in an empty
//! one.

use std::net::IpAddr;

use rangemap::RangeInclusiveSet;

use crate::address::Family;
use crate::range::{AddressRange, from_number, to_number};

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: RangeInclusiveSet<u128>,
    v6: RangeInclusiveSet<u128>,
}

// === impl AddressSet ===

impl AddressSet {
    /// Adds every address of a range.
    pub fn insert(&mut self, range: AddressRange) {
        self.family_mut(range.family())
            .insert(range.first()..=range.last());
    }

    /// Takes every address of a range out.
    pub fn remove(&mut self, range: AddressRange) {
        self.family_mut(range.family())
            .remove(range.first()..=range.last());
    }

    /// Whether an address is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.family(Family::of(address)).contains(&to_number(address))
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The lowest address that is both in the set and in a range.
    pub fn first_in(&self, range: AddressRange) -> Option<IpAddr> {
        let within = range.first()..=range.last();
        let found = self.family(range.family()).overlapping(&within).next()?;
        Some(from_number(range.family(), (*found.start()).max(range.first())))
    }

    /// Its intervals of one family, lowest first; no two of them touch.
    pub fn ranges(&self, family: Family) -> impl Iterator<Item = AddressRange> + '_ {
        self.family(family)
            .iter()
            .filter_map(move |range| AddressRange::from_numbers(family, *range.start(), *range.end()))
    }

    /// The parts of a range that are in the set, lowest first.
    pub fn within(&self, range: AddressRange) -> impl Iterator<Item = AddressRange> + '_ {
        self.family(range.family())
            .overlapping(range.first()..=range.last())
            .filter_map(move |found| {
                let first = (*found.start()).max(range.first());
                let last = (*found.end()).min(range.last());
                AddressRange::from_numbers(range.family(), first, last)
            })
    }

    /// How many addresses of a family are in the set; the one count beyond `u128`, all of IPv6,
    /// is given as `u128::MAX`.
    pub fn count(&self, family: Family) -> u128 {
        self.ranges(family).fold(0, |sum: u128, range| {
            sum.saturating_add(range.last() - range.first()).saturating_add(1)
        })
    }

    fn family(&self, family: Family) -> &RangeInclusiveSet<u128> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn family_mut(&mut self, family: Family) -> &mut RangeInclusiveSet<u128> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mk_set(ranges: &[&str]) -> AddressSet {
        let mut set = AddressSet::default();
        for range in ranges {
            set.insert(range.parse().expect("a range"));
        }
        set
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn all_of_both_families_is_one_interval_each() {
        let mut set = mk_set(&["0.0.0.0/0", "::/0"]);
        assert_eq!(set.count(Family::V4), 1 << 32);
        assert_eq!(set.count(Family::V6), u128::MAX);
        let all: AddressRange = "::/0".parse().expect("a range");
        assert_eq!(set.first_in(all), Some(ip("::")));
        set.remove(AddressRange::single(ip("::")));
        set.remove(
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
                .parse()
                .expect("a range"),
        );
        assert_eq!(set.count(Family::V6), u128::MAX - 1);
        assert_eq!(set.first_in(all), Some(ip("::1")));
        assert_eq!(set.ranges(Family::V6).count(), 1);
    }

    #[test]
    fn the_families_do_not_mix() {
        let set = mk_set(&["0.0.0.0/8"]);
        assert!(set.contains(ip("0.0.0.1")));
        assert!(!set.contains(ip("::1")));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            /// Against a plain set of numbers, with ends close together so that intervals meet.
            #[test]
            fn behaves_like_a_set_of_numbers(steps in proptest::collection::vec((any::<bool>(), 0_u128..40, 0_u128..12), 0..40)) {
                let mut set = AddressSet::default();
                let mut model = BTreeSet::new();
                for (insert, first, length) in steps {
                    let range = AddressRange::from_numbers(Family::V4, first, first + length).expect("in order");
                    if insert {
                        set.insert(range);
                        model.extend(first..=first + length);
                    } else {
                        set.remove(range);
                        model.retain(|number| !(first..=first + length).contains(number));
                    }
                    prop_assert_eq!(set.count(Family::V4), model.len() as u128);
                    for number in 0..60 {
                        prop_assert_eq!(set.contains(from_number(Family::V4, number)), model.contains(&number));
                    }
                    let (from, to) = (first.saturating_sub(3), first + length + 3);
                    let window = AddressRange::from_numbers(Family::V4, from, to).expect("in order");
                    prop_assert_eq!(
                        set.first_in(window).map(to_number),
                        model.range(from..=to).next().copied()
                    );
                    let inside: u128 = set.within(window).map(|part| part.last() - part.first() + 1).sum();
                    prop_assert_eq!(inside, model.range(from..=to).count() as u128);
                }
            }
        }
    }
}
