//! What the allocator asks of the API server, one call at a time, and what may come of it.
//!
//! Every write names the version that it is based on or creates an object whose name must be
//! free, so that a write decided on a stale view fails instead of doing harm.

use std::net::IpAddr;
use std::time::Duration;

use crate::claim::{Claim, ClaimSpec};
use crate::condition::Condition;
use crate::object::{ResourceVersion, Uid};
use crate::pool::{Pool, PoolName, PoolStatus};
use crate::request::Service;
use crate::service::ServiceKey;

/// Ties an outcome to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// One call to the API server. At most one is under way for each object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Create the claim of `spec.address`, with the pool's label.
    CreateClaim(ClaimSpec),
    /// Replace what the controller writes in a claim's spec, and the pool's label, if the claim
    /// still has this version.
    UpdateClaim {
        /// The version that it must still have.
        resource_version: ResourceVersion,
        /// The new spec; what is `None` or empty is removed.
        spec: ClaimSpec,
    },
    /// Delete a claim, if it still is this one in this version.
    DeleteClaim {
        /// The address.
        address: IpAddr,
        /// The identity that it must have.
        uid: Uid,
        /// The version that it must still have.
        resource_version: ResourceVersion,
    },
    /// Read a claim from the API server itself, not from a cache.
    ReadClaim(IpAddr),
    /// Patch a Service's status and annotation.
    PatchService(ServicePatch),
    /// Read a Service from the API server itself, whatever its type.
    ReadService(ServiceKey),
    /// List the Services of other types than LoadBalancer that carry our condition or annotation.
    FindLeftovers,
    /// Replace a pool's status.
    PatchPool(PoolPatch),
}

/// One strategic-merge patch of `services/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePatch {
    /// The Service.
    pub key: ServiceKey,
    /// The identity that it must have.
    pub uid: Uid,
    /// The version that it must still have.
    pub resource_version: ResourceVersion,
    /// Replaces `status.loadBalancer.ingress` by these, each with `ipMode: VIP`; `None` leaves it
    /// as it is.
    pub ingress: Option<Vec<IpAddr>>,
    /// Sets our condition; `None` removes it. Foreign conditions stay.
    pub condition: Option<Condition>,
    /// Sets our annotation; `None` removes it.
    pub allocated_from: Option<PoolName>,
    /// What becomes of the finalizer.
    pub finalizer: FinalizerEdit,
}

/// What a patch does to `service.kubernetes.io/load-balancer-cleanup`. Other finalizers stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalizerEdit {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is set.
    Add,
    /// It is taken off.
    Remove,
}

/// One replacement of a pool's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPatch {
    /// The pool.
    pub name: PoolName,
    /// The identity that it must have.
    pub uid: Uid,
    /// The whole status.
    pub status: PoolStatus,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; this is what is stored now.
    Done(Box<Stored>),
    /// The name is taken (409 on a creation). Nothing was written.
    AlreadyExists,
    /// The object has another version or identity (409 otherwise). Nothing was written.
    Conflict,
    /// The object is not there (404).
    NotFound,
    /// Nobody knows: no answer, a broken connection, a 5xx. A write may land yet.
    Unknown,
    /// The API server has too much to do and asks to be left alone for so long, if it says how
    /// long (429). Nothing was written.
    Throttled(Option<Duration>),
    /// The API server understood and refused, and will again (403, 422 and the like). Nothing was
    /// written.
    Rejected(String),
}

/// What is stored after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A claim.
    Claim(Claim),
    /// A Service.
    Service(Service),
    /// A pool.
    Pool(Pool),
    /// Services of other types that carry our marks.
    Leftovers(Vec<ServiceKey>),
    /// Nothing of that name (after a deletion, or a read that found nothing).
    Nothing,
}
