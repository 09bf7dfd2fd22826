//! `AddressClaim` as the controller sees it: who holds one address.
//!
//! The controller alone writes the spec, but for the two reserved fields, which a person writes and
//! the controller never touches. Of the status, which speakers write, it uses only
//! whether somebody still answers for the address, and in which subnet.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::object::{ResourceVersion, Uid};
use crate::pool::PoolName;
use crate::selector::Labels;
use crate::service::{ServiceKey, ServicePort, TrafficPolicy};
use crate::time::Timestamp;

/// One claim as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// This object's identity.
    pub uid: Uid,
    /// The version that this is.
    pub resource_version: ResourceVersion,
    /// What the controller wrote.
    pub spec: ClaimSpec,
    /// Whether `status.owner` names a node: somebody still answers.
    pub has_owner: bool,
    /// `status.subnet`: where it is announced, or was last. Only to warn of what a subnet keeps for
    /// itself.
    pub subnet: Option<IpNet>,
}

/// What the controller writes into a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSpec {
    /// The address; also the claim's name.
    pub address: IpAddr,
    /// A person's word: nobody gets the address but those for whom it is reserved, and the claim
    /// stays when nobody holds it.
    pub reserved: bool,
    /// A person's word: for whom it is reserved; empty = for nobody.
    pub reserved_for: Vec<ServiceKey>,
    /// The pool that it was lent from; also the label by which claims are listed per pool.
    pub pool: Option<PoolName>,
    /// What the claim stands for.
    pub state: Option<ClaimState>,
    /// Since when it has stood for that.
    pub state_since: Option<Timestamp>,
    /// The holders as text, for people; `None` when there are none.
    pub held_by: Option<String>,
    /// Who held it last, and gets it back while it rests; `None` while it is held.
    pub last_holder: Option<ServiceKey>,
    /// Who holds it, in the order of their keys; several only if they share it.
    pub holders: Vec<Holder>,
}

/// What a claim stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimState {
    /// Services hold the address.
    Held,
    /// The last holder has gone, and the owner is asked to fall silent.
    Releasing,
    /// Nobody answers; the address rests before another Service may have it.
    Quarantined,
}

/// One Service that holds an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The Service.
    pub service: ServiceKey,
    /// Its identity: another Service of the same name is somebody else.
    pub uid: Uid,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its traffic policy.
    pub traffic_policy: TrafficPolicy,
    /// Whom it is willing to share the address with; `None` = nobody.
    pub sharing_key: Option<String>,
    /// Its pod selector, if it shares under policy Local: only Services with the same endpoints do.
    pub selector: Labels,
    /// Names of the pool's advertisements that apply to it.
    pub advertisements: Vec<String>,
}

// === impl Claim ===

impl Claim {
    /// Whether a Service is among the holders.
    pub fn names(&self, service: &ServiceKey) -> bool {
        self.spec.holders.iter().any(|holder| holder.service == *service)
    }

    /// Whether it is held by nobody, or no more.
    pub fn is_vacant(&self) -> bool {
        self.spec.holders.is_empty()
    }

    /// Whether it is nothing but a person's reservation: nobody holds it, and nobody did a moment
    /// ago.
    pub fn is_idle_reservation(&self) -> bool {
        self.spec.reserved && self.is_vacant() && self.spec.state.is_none()
    }
}

// === impl ClaimSpec ===

impl ClaimSpec {
    /// Whether a person reserves the address for a Service.
    pub fn is_reserved_for(&self, service: &ServiceKey) -> bool {
        self.reserved && self.reserved_for.contains(service)
    }

    /// Whether a person reserves the address for others, or for nobody.
    pub fn is_reserved_from(&self, service: &ServiceKey) -> bool {
        self.reserved && !self.reserved_for.contains(service)
    }

    /// The Services for which a person reserves the address.
    pub fn beneficiaries(&self) -> impl Iterator<Item = &ServiceKey> {
        self.reserved_for.iter().filter(|_| self.reserved)
    }

    /// The text of `held_by` for a list of holders.
    pub fn join_holders(holders: &[Holder]) -> Option<String> {
        let keys: Vec<_> = holders.iter().map(|holder| holder.service.to_string()).collect();
        (!keys.is_empty()).then(|| keys.join(", "))
    }
}

// === impl ClaimState ===

impl ClaimState {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "Held",
            Self::Releasing => "Releasing",
            Self::Quarantined => "Quarantined",
        }
    }
}
