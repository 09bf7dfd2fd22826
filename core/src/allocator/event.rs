//! What the allocator is told, and what it tells people.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::claim::Claim;
use crate::object::Uid;
use crate::pool::{Pool, PoolName};
use crate::request::Service;
use crate::selector::Labels;
use crate::service::ServiceKey;

/// One change in what the watches show.
///
/// Every version of an object may be passed on, or only the newest: the allocator drops what
/// changes nothing and what is older than what it knows. It must get the newest in the end, since
/// a write that was refused for its version waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Service is there, in this version.
    ServiceApplied(Service),
    /// A Service is gone from the watch: deleted, or of another type now.
    ServiceDeleted(ServiceKey),
    /// A namespace is there, with these labels.
    NamespaceApplied(String, Labels),
    /// A namespace is gone, or its labels are not known any more.
    NamespaceDeleted(String),
    /// A Node is there, with these addresses of its own.
    NodeApplied(String, BTreeSet<IpAddr>),
    /// A Node is gone.
    NodeDeleted(String),
    /// A pool is there, in this version.
    PoolApplied(Pool),
    /// A pool was deleted.
    PoolDeleted(PoolName),
    /// A claim is there, in this version.
    ClaimApplied(Claim),
    /// A claim was deleted. After a watch was cut: each of `Allocator::claims` that the new list
    /// lacks.
    ClaimDeleted {
        /// Its address.
        address: IpAddr,
        /// Its identity, where known: keeps a late report from hitting its successor.
        uid: Option<Uid>,
    },
    /// The first lists of Services, namespaces, Nodes, pools and claims are complete. Nothing is lent before.
    Synced,
}

/// Something that people should hear about: becomes a Kubernetes Event. Made on transitions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object that it is about.
    pub regarding: Regarding,
    /// Whether somebody should act.
    pub is_warning: bool,
    /// One CamelCase word: that of the condition it goes with.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// The object that a notice is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regarding {
    /// A Service.
    Service {
        /// Namespace and name.
        key: ServiceKey,
        /// The identity.
        uid: Uid,
    },
    /// A pool.
    Pool {
        /// The name.
        name: PoolName,
        /// The identity.
        uid: Uid,
    },
    /// A claim.
    Claim {
        /// The address.
        address: IpAddr,
    },
}
