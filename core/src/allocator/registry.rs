//! A map of many objects by their keys: Services by name, slots by address.
//!
//! One is looked for at every step, and to compare keys all the way down a tree takes long, so it
//! is found by a hash. Whatever walks through all of them takes them in the order of their keys:
//! no order that reaches anybody may come from a hash.

use std::collections::BTreeSet;
use std::hash::Hash;

use foldhash::HashMap;

/// Objects by key.
#[derive(Clone, Debug)]
pub(super) struct Registry<K, V> {
    /// Boxed, since a hash table keeps room for up to twice as many as it has.
    by_key: HashMap<K, Box<V>>,
    keys: BTreeSet<K>,
}

// === impl Registry ===

impl<K: Clone + Hash + Ord, V> Registry<K, V> {
    /// Puts an object in, or another in its place.
    pub(super) fn insert(&mut self, key: K, object: V) {
        if self.by_key.insert(key.clone(), Box::new(object)).is_none() {
            self.keys.insert(key);
        }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let object = self.by_key.remove(key)?;
        self.keys.remove(key);
        Some(*object)
    }

    /// One object.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.by_key.get(key).map(Box::as_ref)
    }

    /// One object, to be changed.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.by_key.get_mut(key).map(Box::as_mut)
    }

    /// One object, to be changed, which is made if need be.
    pub(super) fn get_or_default(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        self.by_key.entry(key.clone()).or_insert_with(|| {
            self.keys.insert(key.clone());
            Box::default()
        })
    }

    /// Whether an object is in it.
    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// All of them, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let keys = self.keys.iter();
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// All keys, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.keys.iter()
    }

    /// All keys from one on, in their order.
    pub(super) fn keys_from(&self, first: K) -> impl Iterator<Item = &K> {
        self.keys.range(first..)
    }
}

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
            keys: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_tree_would_be(steps in proptest::collection::vec((0_u8..8, any::<Option<u8>>()), 0..40)) {
            let (mut registry, mut tree) = (Registry::default(), BTreeMap::new());
            for (key, value) in steps {
                match value {
                    Some(value) if value % 2 == 0 => {
                        registry.insert(key, value);
                        tree.insert(key, value);
                    }
                    Some(value) => {
                        *registry.get_or_default(&key) = value;
                        tree.insert(key, value);
                    }
                    None => prop_assert_eq!(registry.remove(&key), tree.remove(&key)),
                }
                prop_assert!(registry.iter().eq(&tree) && registry.keys().eq(tree.keys()));
                prop_assert!(registry.keys_from(key).eq(tree.range(key..).map(|(key, _)| key)));
                prop_assert_eq!(registry.get(&key), tree.get(&key));
                prop_assert_eq!(registry.contains_key(&key), tree.contains_key(&key));
                prop_assert_eq!(registry.len(), tree.len());
            }
        }
    }
}
