//! Whether two Services may share one address.
//!
//! Both must want it, by the same key; no client may reach two Services by one protocol and port;
//! and whichever node answers must do for both: any node, under policy Cluster, or one that hosts
//! endpoints of both, which are the same pods if the selectors are equal.

use std::fmt;

use crate::claim::Holder;
use crate::pool::Sharing;
use crate::request::ServiceRequest;
use crate::selector::Labels;
use crate::service::{ServicePort, TrafficPolicy};

/// What a Service brings into sharing an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// Whom it is willing to share with; `None` = nobody.
    pub key: Option<String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its traffic policy.
    pub policy: TrafficPolicy,
    /// Its pod selector; counts under policy Local only.
    pub selector: Labels,
}

/// Why a Service cannot share an address with a holder. Its text goes on after the holder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clash {
    /// The Service has no sharing key.
    NotAsked,
    /// The holder has none.
    NoKey,
    /// The holder has another one.
    OtherKey,
    /// The holder is in another namespace, and the pool does not let these meet.
    Namespace,
    /// The holder uses one of the Service's ports.
    Port(ServicePort),
    /// The holder has the other traffic policy: this one.
    Policy(TrafficPolicy),
    /// Both have policy Local, and the holder has other endpoints.
    Selector,
}

// === impl Terms ===

impl Terms {
    /// The terms of a Service as it is.
    pub fn of_request(request: &ServiceRequest) -> Self {
        Self {
            key: request.sharing_key.clone().filter(|key| !key.is_empty()),
            ports: request.ports.clone(),
            policy: request.traffic_policy,
            selector: request.selector.clone(),
        }
    }

    /// The terms that a claim records.
    pub fn of_holder(holder: &Holder) -> Self {
        Self {
            key: holder.sharing_key.clone().filter(|key| !key.is_empty()),
            ports: holder.ports.clone(),
            policy: holder.traffic_policy,
            selector: holder.selector.clone(),
        }
    }

    /// Whether a Service of these terms may share an address with a holder of those.
    ///
    /// # Errors
    /// What stands against it.
    pub fn may_share(&self, holder: &Self) -> Result<(), Clash> {
        match (&self.key, &holder.key) {
            (None, _) => return Err(Clash::NotAsked),
            (Some(_), None) => return Err(Clash::NoKey),
            (Some(key), Some(other)) if key != other => return Err(Clash::OtherKey),
            (Some(_), Some(_)) => {}
        }
        if let Some(port) = self.ports.iter().find(|port| holder.ports.contains(port)) {
            return Err(Clash::Port(*port));
        }
        match (self.policy, holder.policy) {
            (TrafficPolicy::Cluster, TrafficPolicy::Cluster) => Ok(()),
            (TrafficPolicy::Local, TrafficPolicy::Local) if self.selector == holder.selector => Ok(()),
            (TrafficPolicy::Local, TrafficPolicy::Local) => Err(Clash::Selector),
            (TrafficPolicy::Cluster, TrafficPolicy::Local)
            | (TrafficPolicy::Local, TrafficPolicy::Cluster) => Err(Clash::Policy(holder.policy)),
        }
    }
}

// === impl Sharing ===

impl Sharing {
    /// Whether a Service of a namespace may join a holder of another one.
    ///
    /// # Errors
    /// If the pool keeps namespaces apart.
    pub fn may_meet(self, namespace: &str, other: &str) -> Result<(), Clash> {
        match self {
            Self::CrossNamespace => Ok(()),
            Self::SameNamespace if namespace == other => Ok(()),
            Self::SameNamespace => Err(Clash::Namespace),
        }
    }
}

// === impl Clash ===

impl Clash {
    /// Whether the two have the same key, so that a person meant them to share.
    pub const fn is_among_sharers(self) -> bool {
        match self {
            Self::NotAsked | Self::NoKey | Self::OtherKey => false,
            Self::Namespace | Self::Port(_) | Self::Policy(_) | Self::Selector => true,
        }
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => Ok(()),
            Self::NoKey => f.write_str(", which has no sharing key"),
            Self::OtherKey => f.write_str(", which has another sharing key"),
            Self::Namespace => {
                f.write_str(" of another namespace, and the pool does not say sharing: CrossNamespace")
            }
            Self::Port(port) => write!(f, ", which uses {port} too"),
            Self::Policy(policy) => write!(f, ", whose externalTrafficPolicy is {}", policy.as_str()),
            Self::Selector => f.write_str(
                ", which has another selector: under externalTrafficPolicy Local only Services with the same \
                 pods can share",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
