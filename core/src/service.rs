//! Services as the claims know them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Namespace and name of a Service. Cheap to copy: it is told to everybody who has to do with it.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name within the namespace.
    pub name: Arc<str>,
}

/// A transport protocol of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One port that a Service listens on; unique per VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port number as clients see it.
    pub port: u16,
}

/// `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// Any node may forward to any endpoint; the client's address may be masqueraded.
    #[default]
    Cluster,
    /// Only endpoints of the receiving node; the client's address is kept.
    Local,
}

// === impl ServiceKey ===

impl ServiceKey {
    /// The key of `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl PartialEq for ServiceKey {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.name, &other.name) && is_same(&self.namespace, &other.namespace)
    }
}

impl Ord for ServiceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.namespace, &other.namespace).then_with(|| compare(&self.name, &other.name))
    }
}

impl PartialOrd for ServiceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ServiceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.namespace.hash(state);
        self.name.hash(state);
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl Protocol ===

impl Protocol {
    /// The word of the Kubernetes API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

// === impl ServicePort ===

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol.as_str(), self.port)
    }
}

// === impl TrafficPolicy ===

impl TrafficPolicy {
    /// The word of the Kubernetes API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// Whether two texts are equal. Most are copies of one another, and then they need not be read.
fn is_same(this: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(this, other) || this == other
}

fn compare(this: &Arc<str>, other: &Arc<str>) -> Ordering {
    if Arc::ptr_eq(this, other) {
        return Ordering::Equal;
    }
    this.cmp(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_namespace_then_name_and_a_copy_is_equal() {
        let names = [("a", "x"), ("a", "y"), ("a-b", "a"), ("b", "x")];
        let keys = names.map(|(namespace, name)| ServiceKey::new(namespace, name));
        for (place, key) in keys.iter().enumerate() {
            for (other_place, (namespace, name)) in names.into_iter().enumerate() {
                let other = ServiceKey::new(namespace, name);
                assert_eq!(key.cmp(&other), place.cmp(&other_place), "{key} {other}");
                assert_eq!(*key == other, place == other_place, "{key} {other}");
            }
            assert_eq!(
                (key.cmp(&key.clone()), *key == key.clone()),
                (Ordering::Equal, true)
            );
        }
    }
}
