//! A condition as Kubernetes objects carry it in their status.

use crate::time::Timestamp;

/// One condition, whose type is known from where it stands.
///
/// Two conditions say the same when all but `since` are equal: see [`Condition::says_same`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True or False; FerroLB never writes Unknown.
    pub status: bool,
    /// One CamelCase word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When `status` last changed (`lastTransitionTime`).
    pub since: Timestamp,
}

// === impl Condition ===

impl Condition {
    /// Whether another condition says the same, whenever it began to.
    pub fn says_same(&self, other: &Self) -> bool {
        self.status == other.status && self.reason == other.reason && self.message == other.message
    }
}
