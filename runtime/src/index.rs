//! The last known objects of one kind, reduced, and which of them a change really changes.
//!
//! Three verbs: apply and delete for single objects, reset for a complete list. Whoever asks
//! gets only differences, so that an edit of a field that nobody reads wakes nobody, and a list
//! that says what is known already is silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::core::ObjectMeta;

/// Namespace (empty for cluster-scoped objects) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// One change as a watch reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<V> {
    /// The object is new or has changed.
    Apply(ObjectKey, V),
    /// The object has gone.
    Delete(ObjectKey),
    /// These are all objects there are.
    Reset {
        /// By key.
        objects: BTreeMap<ObjectKey, V>,
        /// Objects that exist and could not be understood: what is known of them stays.
        unreadable: BTreeSet<ObjectKey>,
    },
}

/// One object that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<V> {
    /// Which one; the index has what it is now.
    pub key: ObjectKey,
    /// What it was; `None` if it is new.
    pub before: Option<V>,
}

/// The last known objects of one kind.
#[derive(Debug)]
pub struct Index<V> {
    objects: BTreeMap<ObjectKey, V>,
    is_listed: bool,
}

// === impl ObjectKey ===

impl ObjectKey {
    /// The key of an object.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self {
            namespace: String::new(),
            name: name.into(),
        }
    }

    /// The key of an object in a namespace.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

// === impl Index ===

impl<V: PartialEq> Index<V> {
    /// Nothing is known.
    pub fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            is_listed: false,
        }
    }

    /// Whether a complete list has been seen.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Takes a change in, and tells what is different now, in the order of the keys.
    pub fn absorb(&mut self, change: Change<V>) -> Vec<Difference<V>> {
        match change {
            Change::Apply(key, value) => self.apply(key, value).into_iter().collect(),
            Change::Delete(key) => self.delete(key).into_iter().collect(),
            Change::Reset { objects, unreadable } => self.reset(objects, &unreadable),
        }
    }

    /// Sets one object.
    pub fn apply(&mut self, key: ObjectKey, value: V) -> Option<Difference<V>> {
        if self.objects.get(&key) == Some(&value) {
            return None;
        }
        let before = self.objects.insert(key.clone(), value);
        Some(Difference { key, before })
    }

    /// Forgets one object.
    pub fn delete(&mut self, key: ObjectKey) -> Option<Difference<V>> {
        let before = self.objects.remove(&key)?;
        Some(Difference {
            key,
            before: Some(before),
        })
    }

    /// Replaces everything by a complete list.
    pub fn reset(
        &mut self,
        objects: BTreeMap<ObjectKey, V>,
        unreadable: &BTreeSet<ObjectKey>,
    ) -> Vec<Difference<V>> {
        self.is_listed = true;
        let known = std::mem::replace(&mut self.objects, objects);
        let mut different: BTreeMap<ObjectKey, Option<V>> = BTreeMap::new();
        let mut unchanged = BTreeSet::new();
        for (key, before) in known {
            match self.objects.get(&key) {
                Some(now) if *now == before => {
                    unchanged.insert(key);
                }
                None if unreadable.contains(&key) => {
                    self.objects.insert(key.clone(), before);
                    unchanged.insert(key);
                }
                Some(_) | None => {
                    different.insert(key, Some(before));
                }
            }
        }
        for key in self.objects.keys() {
            if !unchanged.contains(key) && !different.contains_key(key) {
                different.insert(key.clone(), None);
            }
        }
        let difference = |(key, before)| Difference { key, before };
        different.into_iter().map(difference).collect()
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<&V> {
        self.objects.get(key)
    }

    /// All objects, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &V)> {
        self.objects.iter()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether no object is known.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl<V: PartialEq> Default for Index<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_key(name: &str) -> ObjectKey {
        ObjectKey::namespaced("default", name)
    }

    fn mk_reset(objects: &[(&str, u32)], unreadable: &[&str]) -> Change<u32> {
        Change::Reset {
            objects: objects
                .iter()
                .map(|(name, value)| (mk_key(name), *value))
                .collect(),
            unreadable: unreadable.iter().map(|name| mk_key(name)).collect(),
        }
    }

    fn mk_difference(name: &str, before: Option<u32>) -> Difference<u32> {
        Difference {
            key: mk_key(name),
            before,
        }
    }

    #[test]
    fn only_what_is_different_is_told() {
        let mut index = Index::new();
        let apply = |value| Change::Apply(mk_key("a"), value);
        assert_eq!(index.absorb(apply(1)), [mk_difference("a", None)]);
        assert_eq!(index.absorb(apply(1)), []);
        assert_eq!(index.absorb(apply(2)), [mk_difference("a", Some(1))]);
        assert_eq!(
            index.absorb(Change::Delete(mk_key("a"))),
            [mk_difference("a", Some(2))]
        );
        assert_eq!(index.absorb(Change::Delete(mk_key("a"))), []);
        assert!(!index.is_listed());
    }

    #[test]
    fn a_list_tells_what_came_what_changed_and_what_has_gone() {
        let mut index = Index::new();
        index.absorb(mk_reset(&[("same", 1), ("changed", 1), ("gone", 1)], &[]));
        let different = index.absorb(mk_reset(&[("same", 1), ("changed", 2), ("new", 1)], &[]));
        let expected = [
            mk_difference("changed", Some(1)),
            mk_difference("gone", Some(1)),
            mk_difference("new", None),
        ];
        assert_eq!(different, expected);
        assert!(index.is_listed());
        assert_eq!(index.len(), 3);
    }

    #[test]
    fn an_object_that_became_unreadable_keeps_its_last_good_value() {
        let mut index = Index::new();
        index.absorb(mk_reset(&[("a", 1), ("b", 1)], &[]));
        let different = index.absorb(mk_reset(&[("b", 1)], &["a", "never-known"]));
        assert_eq!(different, []);
        assert_eq!(index.get(&mk_key("a")), Some(&1));
        assert_eq!(index.get(&mk_key("never-known")), None);
    }
}
