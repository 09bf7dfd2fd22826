//! The addresses of a pool, numbered in the order in which they are lent.
//!
//! By the order of the entries, then lowest first, each family from zero. Neighbors in this order
//! may lie in two entries, so that what is known of many small entries is as short as what is known
//! of one large one.

use std::net::IpAddr;

use crate::address::Family;
use crate::pool::layout::Share;
use crate::range::{AddressRange, from_number, to_number};

/// The numbers of one pool's addresses.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// For each entry, by its place, the number of its first address.
    starts: Vec<u128>,
    /// The entries of one family with their first numbers, ascending.
    v4: Vec<(u128, AddressRange)>,
    v6: Vec<(u128, AddressRange)>,
}

// === impl Order ===

impl Order {
    /// Numbers the addresses of a pool.
    pub fn of(share: &Share) -> Self {
        let mut order = Self::default();
        for entry in &share.entries {
            let entries = match entry.family() {
                Family::V4 => &mut order.v4,
                Family::V6 => &mut order.v6,
            };
            let start = entries.last().map_or(0, |(start, before)| {
                // Entries do not overlap, so that the sum stays within the family; only all of
                // IPv6 has no successor, and then there is no other entry.
                start
                    .saturating_add(before.last() - before.first())
                    .saturating_add(1)
            });
            entries.push((start, *entry));
            order.starts.push(start);
        }
        order
    }

    /// The number of an address; `None` when no entry lists it.
    pub fn number_of(&self, share: &Share, address: IpAddr) -> Option<u128> {
        let (place, entry) = share.entry_of(address)?;
        let start = self.starts.get(place)?;
        Some(start + (to_number(address) - entry.first()))
    }

    /// The address of a number.
    pub fn address_at(&self, family: Family, number: u128) -> Option<IpAddr> {
        let entries = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let place = entries.partition_point(|(start, _)| *start <= number);
        let (start, entry) = entries.get(place.checked_sub(1)?)?;
        let offset = number - start;
        (offset <= entry.last() - entry.first()).then(|| from_number(family, entry.first() + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::layout::Layout;
    use crate::pool::layout::tests::mk_pool;

    fn mk_share(entries: &[&str]) -> Share {
        let layout = Layout::compile(&[mk_pool("p", 1, entries)]);
        layout.share(&"p".into()).expect("the pool is there").clone()
    }

    #[test]
    fn numbers_follow_the_entries_and_lead_back() {
        let share = mk_share(&["10.0.0.4/31", "fd00::/127", "10.0.0.0/31", "fc00::5"]);
        let order = Order::of(&share);
        for (address, number) in [
            ("10.0.0.4", 0),
            ("10.0.0.5", 1),
            ("10.0.0.0", 2),
            ("10.0.0.1", 3),
            ("fd00::", 0),
            ("fd00::1", 1),
            ("fc00::5", 2),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(order.number_of(&share, address), Some(number), "{address}");
            assert_eq!(order.address_at(Family::of(address), number), Some(address));
        }
        let outside = "10.0.0.2".parse().expect("an address");
        assert_eq!(order.number_of(&share, outside), None);
        assert_eq!(order.address_at(Family::V4, 4), None);
        assert_eq!(order.address_at(Family::V6, 3), None);
    }

    #[test]
    fn the_last_address_of_a_family_has_a_number() {
        let share = mk_share(&["::/0", "0.0.0.0/0"]);
        let order = Order::of(&share);
        let last: IpAddr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
            .parse()
            .expect("an address");
        assert_eq!(order.number_of(&share, last), Some(u128::MAX));
        assert_eq!(order.address_at(Family::V6, u128::MAX), Some(last));
    }
}
