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

    /// Takes a change in, and names the objects that are different now, in order.
    pub fn absorb(&mut self, change: Change<V>) -> Vec<ObjectKey> {
        match change {
            Change::Apply(key, value) => self.apply(&key, value).then_some(key).into_iter().collect(),
            Change::Delete(key) => self.delete(&key).then_some(key).into_iter().collect(),
            Change::Reset { objects, unreadable } => self.reset(objects, &unreadable),
        }
    }

    /// Sets one object. True if it was another or none before.
    pub fn apply(&mut self, key: &ObjectKey, value: V) -> bool {
        if let Some(known) = self.objects.get_mut(key) {
            if *known == value {
                return false;
            }
            *known = value;
        } else {
            self.objects.insert(key.clone(), value);
        }
        true
    }

    /// Forgets one object. True if it was known.
    pub fn delete(&mut self, key: &ObjectKey) -> bool {
        self.objects.remove(key).is_some()
    }

    /// Replaces everything by a complete list, and names what is different, in order.
    pub fn reset(
        &mut self,
        mut objects: BTreeMap<ObjectKey, V>,
        unreadable: &BTreeSet<ObjectKey>,
    ) -> Vec<ObjectKey> {
        self.is_listed = true;
        let mut known = std::mem::take(&mut self.objects);
        for key in unreadable {
            if let Some(last_good) = known.remove(key) {
                self.objects.insert(key.clone(), last_good);
            }
        }
        let mut different: BTreeSet<ObjectKey> = known
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        different.extend(
            objects
                .iter()
                .filter(|(key, value)| known.get(*key) != Some(*value))
                .map(|(key, _)| key.clone()),
        );
        self.objects.append(&mut objects);
        different.into_iter().collect()
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

    #[test]
    fn only_what_is_different_is_named() {
        let mut index = Index::new();
        assert_eq!(index.absorb(Change::Apply(mk_key("a"), 1)), [mk_key("a")]);
        assert_eq!(index.absorb(Change::Apply(mk_key("a"), 1)), []);
        assert_eq!(index.absorb(Change::Apply(mk_key("a"), 2)), [mk_key("a")]);
        assert_eq!(index.absorb(Change::Delete(mk_key("a"))), [mk_key("a")]);
        assert_eq!(index.absorb(Change::Delete(mk_key("a"))), []);
        assert!(!index.is_listed());
    }

    #[test]
    fn a_list_names_what_came_what_changed_and_what_has_gone() {
        let mut index = Index::new();
        index.absorb(mk_reset(&[("same", 1), ("changed", 1), ("gone", 1)], &[]));
        let different = index.absorb(mk_reset(&[("same", 1), ("changed", 2), ("new", 1)], &[]));
        assert_eq!(different, [mk_key("changed"), mk_key("gone"), mk_key("new")]);
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
