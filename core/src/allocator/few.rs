//! Sets and maps of few entries: of the one Service, or the handful, that have to do with one
//! address, and of the one or two addresses of a Service.
//!
//! There is one for each object, so what counts is how little one of them costs: the entries lie
//! sorted in one piece that has no room to spare for the first, where a balanced tree keeps room
//! for eleven. To insert takes longer the more there are. The library `litemap` lays its maps out
//! alike, but makes room for four with the first entry, and has no sets.

use std::borrow::Borrow;
use std::{iter, mem, slice, vec};

/// A map of few entries, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FewMap<K, V>(Vec<(K, V)>);

/// A set of few entries, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FewSet<K>(Vec<K>);

/// The entries of a map.
type Entries<'a, K, V> = iter::Map<slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

// === impl FewMap ===

impl<K: Ord, V> FewMap<K, V> {
    /// Sets the value of a key, and returns the one that it had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(index) => self.0.get_mut(index).map(|(_, old)| mem::replace(old, value)),
            Err(index) => {
                make_room(&mut self.0);
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes out a key.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        Some(self.0.remove(index).1)
    }

    /// The value of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// Whether a key is in it.
    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// The first entry.
    pub(super) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries.
    pub(super) fn iter(&self) -> Entries<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Extend<(K, V)> for FewMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for FewMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K, V> IntoIterator for FewMap<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a FewMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Entries<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

// === impl FewSet ===

impl<K: Ord> FewSet<K> {
    /// Puts something in; answers whether it is new.
    pub(super) fn insert(&mut self, key: K) -> bool {
        let place = self.0.binary_search(&key);
        if let Err(index) = place {
            make_room(&mut self.0);
            self.0.insert(index, key);
        }
        place.is_err()
    }

    /// Takes something out; answers whether it was in it.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let place = self.0.binary_search(key);
        if let Ok(index) = place {
            self.0.remove(index);
        }
        place.is_ok()
    }

    /// Whether something is in it.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.0.binary_search(key).is_ok()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in it and not in another.
    pub(super) fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a K> {
        self.0.iter().filter(|key| !other.contains(key))
    }

    /// What is in it.
    pub(super) fn iter(&self) -> slice::Iter<'_, K> {
        self.0.iter()
    }
}

impl<K> Default for FewSet<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord> Extend<K> for FewSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K: Ord> FromIterator<K> for FewSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut set = Self::default();
        set.extend(keys);
        set
    }
}

impl<K> IntoIterator for FewSet<K> {
    type Item = K;
    type IntoIter = vec::IntoIter<K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K> IntoIterator for &'a FewSet<K> {
    type Item = &'a K;
    type IntoIter = slice::Iter<'a, K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Room for one more: exactly one for the first, twice as many when it grows.
fn make_room<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(entries.len().max(1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_tree_would_be(steps in proptest::collection::vec((0_u8..8, any::<Option<u8>>()), 0..40)) {
            let (mut map, mut set) = (FewMap::default(), FewSet::default());
            let (mut tree, mut keys) = (BTreeMap::new(), BTreeSet::new());
            for (key, value) in steps {
                match value {
                    Some(value) => {
                        prop_assert_eq!(map.insert(key, value), tree.insert(key, value));
                        prop_assert_eq!(set.insert(key), keys.insert(key));
                    }
                    None => {
                        prop_assert_eq!(map.remove(&key), tree.remove(&key));
                        prop_assert_eq!(set.remove(&key), keys.remove(&key));
                    }
                }
                prop_assert!(map.iter().eq(&tree) && map.keys().eq(&keys) && map.values().eq(tree.values()));
                prop_assert!(set.iter().eq(&keys));
                prop_assert_eq!(map.get(&key), tree.get(&key));
                prop_assert_eq!(map.contains_key(&key), set.contains(&key));
                prop_assert_eq!(map.first_key_value(), tree.first_key_value());
                prop_assert_eq!((map.len(), map.is_empty()), (tree.len(), set.is_empty()));
            }
        }
    }

    #[test]
    fn one_entry_takes_the_room_of_one() {
        let map: FewMap<u64, u64> = [(1, 1)].into_iter().collect();
        let set: FewSet<u64> = [1].into_iter().collect();
        assert_eq!((map.0.capacity(), set.0.capacity()), (1, 1));
    }
}
