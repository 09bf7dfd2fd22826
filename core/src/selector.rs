//! Label selectors, as Kubernetes has them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A Kubernetes label selector: every requirement must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// The requirements; empty matches everything.
    pub requirements: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requirement {
    /// The label is there with one of these values.
    In(String, BTreeSet<String>),
    /// The label is absent, or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
    /// The selector could not be understood: matches nothing.
    Invalid,
}

// === impl Selector ===

impl Selector {
    /// Whether it could be understood; who cannot be understood matches nothing.
    pub fn is_valid(&self) -> bool {
        !self.requirements.contains(&Requirement::Invalid)
    }

    /// Whether a set of labels satisfies every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
            Requirement::Invalid => false,
        })
    }
}
