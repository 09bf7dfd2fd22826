//! What every Kubernetes object carries, as far as decisions depend on it.

use std::fmt;
use std::sync::Arc;

/// The identity of one object: a later one of the same name has another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Arc<str>);

/// The version of an object as the API server counts them: a write that names it fails if the
/// object has changed since.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceVersion(Arc<str>);

// === impl Uid ===

impl Uid {
    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl ResourceVersion ===

impl ResourceVersion {
    /// The version as text, the only form in which it goes back to the API server.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this version is known to be older than another of the same object.
    ///
    /// Kubernetes promises an order only from 1.35 on; where the text is no number nothing is
    /// known, and a stale view then costs a refused write, never a wrong one.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (self.0.parse::<u64>(), other.0.parse::<u64>()) {
            (Ok(this), Ok(other)) => this < other,
            (Err(_), _) | (_, Err(_)) => false,
        }
    }
}

impl From<&str> for ResourceVersion {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_only_when_both_are_numbers() {
        let version = |text: &str| ResourceVersion::from(text);
        assert!(version("9").is_older_than(&version("10")));
        assert!(!version("10").is_older_than(&version("10")));
        assert!(!version("a").is_older_than(&version("10")));
        assert!(!version("9").is_older_than(&version("b")));
    }
}
