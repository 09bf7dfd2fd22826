//! `AddressPool` as the controller sees it: which addresses an administrator lends, and how.
//!
//! [`layout`] decides which address belongs to which pool; the counters are the allocator's.

pub mod allocation;
pub mod free;
pub mod layout;
pub mod order;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::condition::Condition;
use crate::object::{ResourceVersion, Uid};
use crate::pool::allocation::Allocation;
use crate::time::Timestamp;

/// How long a freed address rests when its pool does not say, or is not there any more.
pub const DEFAULT_QUARANTINE: Duration = Duration::from_secs(60);

/// The name of a pool; cheap to copy, because every claim and every Service carries one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName(Arc<str>);

/// One pool as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// This object's identity.
    pub uid: Uid,
    /// The version that this is.
    pub resource_version: ResourceVersion,
    /// When it was created: of two pools that list one address, the older has it.
    pub created: Timestamp,
    /// What the administrator wrote.
    pub spec: PoolSpec,
    /// Why nobody understands what the administrator wrote; `spec` then says nothing.
    pub unreadable: Option<String>,
    /// What the controller last wrote; `None` = nothing yet.
    pub status: Option<PoolStatus>,
}

/// What the administrator wrote, with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// What is lent, in the order in which it is lent.
    pub addresses: Vec<String>,
    /// What is never lent.
    pub exclude: Vec<String>,
    /// Whether Services that name no pool get an address from here.
    pub auto_assign: bool,
    /// Whether IPv4 addresses that end in .0 or .255 are never lent.
    pub avoid_buggy_ips: bool,
    /// How long a freed address rests before it is lent to a different Service.
    pub quarantine: Duration,
    /// Who may have an address, and how many.
    pub allocation: Allocation,
    /// Who may share an address under one key.
    pub sharing: Sharing,
    /// Names of the `layer2` entries, in their order.
    pub advertisements: Vec<String>,
}

/// Who may share an address of a pool under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Services of one namespace.
    #[default]
    SameNamespace,
    /// Services of any namespace that the pool admits.
    CrossNamespace,
}

/// What the controller writes about a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// IPv4 addresses by what has become of them.
    pub v4: Capacity,
    /// IPv6 addresses by what has become of them.
    pub v6: Capacity,
    /// `Ready`: False names an entry that lends nothing.
    pub ready: Option<Condition>,
    /// `Overlap`: True names the other pools.
    pub overlap: Option<Condition>,
}

/// Addresses of one family, counted; `total` is the sum of the others. Each count is capped at
/// 2^63-1, the greatest that a Kubernetes object can store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// All that the pool lends or has lent.
    pub total: i64,
    /// Those that Services hold.
    pub assigned: i64,
    /// Those that a person keeps for somebody, or from everybody, and that nobody holds.
    pub reserved: i64,
    /// Those that were freed and must not be lent to another Service yet.
    pub quarantined: i64,
    /// Those that can be lent now.
    pub available: i64,
}

// === impl PoolName ===

impl PoolName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PoolName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for PoolName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
