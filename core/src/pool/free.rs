//! Which addresses of a pool are free, and which of them comes first.
//!
//! Neither depends on how many addresses are in use, nor on how many entries are full: the entries
//! that have a free address are kept by their place.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::Family;
use crate::address_set::AddressSet;
use crate::pool::layout::Share;
use crate::range::AddressRange;

/// The free addresses of one pool. Every method wants the share that it was made of.
#[derive(Clone, Debug, Default)]
pub struct Free {
    set: AddressSet,
    /// Places of the entries that have a free address, or one that must be avoided.
    v4: BTreeSet<usize>,
    v6: BTreeSet<usize>,
}

// === impl Free ===

impl Free {
    /// What may be lent while nobody holds anything: nothing if the pool is frozen.
    pub fn of(share: &Share) -> Self {
        if share.is_frozen() {
            return Self::default();
        }
        let mut free = Self {
            set: share.belongs().clone(),
            ..Self::default()
        };
        for (place, entry) in share.entries.iter().enumerate() {
            free.note(place, *entry);
        }
        free
    }

    /// The first free address of a family: by the order of the entries, then the lowest.
    ///
    /// An address that must be avoided is taken out for good, so that each is met at most once.
    pub fn first(&mut self, share: &Share, family: Family) -> Option<IpAddr> {
        loop {
            let place = *self.places(family).first()?;
            let entry = *share.entries.get(place)?;
            match self.set.first_in(entry) {
                Some(address) if !share.avoids(address) => return Some(address),
                Some(address) => self.set.remove(AddressRange::single(address)),
                None => {}
            }
            self.note(place, entry);
        }
    }

    /// An address is in use now.
    pub fn take(&mut self, share: &Share, address: IpAddr) {
        self.set.remove(AddressRange::single(address));
        if let Some((place, entry)) = share.entry_of(address) {
            self.note(place, entry);
        }
    }

    /// An address is free again, if the pool lends it.
    pub fn give(&mut self, share: &Share, address: IpAddr) {
        if let Some((place, entry)) = share.entry_of(address)
            && share.lends(address)
        {
            self.set.insert(AddressRange::single(address));
            self.note(place, entry);
        }
    }

    fn note(&mut self, place: usize, entry: AddressRange) {
        let has_any = self.set.first_in(entry).is_some();
        let places = self.places(entry.family());
        if has_any {
            places.insert(place);
        } else {
            places.remove(&place);
        }
    }

    fn places(&mut self, family: Family) -> &mut BTreeSet<usize> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}
