//! What a Service asks for and what its status shows, reduced to what lending depends on.
//!
//! The controller's index makes a [`Service`] of each `Service` object of type LoadBalancer. What
//! a person wrote wrongly arrives here as a value, so that the answer can say so.

use std::net::IpAddr;

use crate::address::Family;
use crate::condition::Condition;
use crate::object::{ResourceVersion, Uid};
use crate::pool::PoolName;
use crate::reason::{Refusal, Refused};
use crate::selector::Labels;
use crate::service::{ServiceKey, ServicePort, TrafficPolicy};
use crate::time::Timestamp;

/// One Service as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: ServiceKey,
    /// This object's identity.
    pub uid: Uid,
    /// The version that this is.
    pub resource_version: ResourceVersion,
    /// When it was created: who waits longest is served first.
    pub created: Timestamp,
    /// What it asks for.
    pub request: ServiceRequest,
    /// What it shows.
    pub status: ServiceStatus,
}

/// What a Service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// Whether it is ours to serve.
    pub eligibility: Eligibility,
    /// Its cluster IPs, in their order; none = headless.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// The first of `spec.ipFamilies`.
    pub primary_family: Option<Family>,
    /// The addresses asked for, by field or annotation.
    pub addresses: AddressWish,
    /// The pool asked for.
    pub pool: Option<PoolName>,
    /// Its labels, by which pools select.
    pub labels: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// Whom it is willing to share an address with; `None` = nobody.
    pub sharing_key: Option<String>,
    /// Its pod selector, if it would share under policy Local; empty where that decides nothing.
    pub selector: Labels,
}

/// Whether a Service is ours to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eligibility {
    /// Of type LoadBalancer, and of a class that we handle.
    Eligible,
    /// Of a class that others handle: never written, but to take off what is ours.
    ForeignClass,
    /// Of another type.
    NotLoadBalancer,
    /// Being deleted.
    Deleting,
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FamilyPolicy {
    /// One family.
    #[default]
    SingleStack,
    /// Both families if possible.
    PreferDualStack,
    /// Both families or nothing.
    RequireDualStack,
}

/// The addresses that a Service asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AddressWish {
    /// None in particular.
    #[default]
    Any,
    /// Exactly these: at most one of each family, IPv4 first.
    Exactly(Vec<IpAddr>),
    /// What was written cannot be meant.
    Invalid(Refusal),
}

/// What a Service shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    /// `status.loadBalancer.ingress`, in its order.
    pub ingress: Vec<Ingress>,
    /// Our condition.
    pub condition: Option<Condition>,
    /// Our annotation: the pool that the addresses were lent from.
    pub allocated_from: Option<PoolName>,
    /// Whether the finalizer `service.kubernetes.io/load-balancer-cleanup` is on it.
    pub has_finalizer: bool,
    /// The field manager other than us that last wrote `status.loadBalancer`, if any.
    pub other_manager: Option<String>,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Its address, if it has one.
    pub address: Option<IpAddr>,
    /// Whether it is exactly what we write: an address, `ipMode: VIP`, and nothing else.
    pub is_ours: bool,
}

// === impl Service ===

impl Service {
    /// Whether anything on it shows that we once answered for it.
    pub fn carries_marks(&self) -> bool {
        self.status.condition.is_some() || self.status.allocated_from.is_some()
    }
}

// === impl AddressWish ===

impl AddressWish {
    /// Reads `spec.loadBalancerIP` and the annotation (a list, one address per family).
    ///
    /// Both together must say the same. Empty text counts as absent.
    pub fn parse(field: Option<&str>, annotation: Option<&str>) -> Self {
        let read = |source: &'static str, text: Option<&str>| match text.map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => parse_list(source, text).map(Some),
        };
        let parsed = read("spec.loadBalancerIP", field)
            .and_then(|field| Ok((field, read("the load-balancer-ips annotation", annotation)?)));
        match parsed {
            Err(refusal) => Self::Invalid(refusal),
            Ok((None, None)) => Self::Any,
            Ok((Some(addresses), None) | (None, Some(addresses))) => Self::Exactly(addresses),
            Ok((Some(field), Some(annotation))) if field == annotation => Self::Exactly(field),
            Ok((Some(_), Some(_))) => Self::Invalid(Refusal {
                reason: Refused::ConflictingRequest,
                message: format!(
                    "spec.loadBalancerIP asks for {} and the load-balancer-ips annotation for {}: remove one of them",
                    field.unwrap_or_default().trim(),
                    annotation.unwrap_or_default().trim()
                ),
            }),
        }
    }
}

// === impl Ingress ===

impl Ingress {
    /// What we write for an address.
    pub const fn vip(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            is_ours: true,
        }
    }
}

fn parse_list(source: &str, text: &str) -> Result<Vec<IpAddr>, Refusal> {
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim) {
        let address: IpAddr = part.parse().map_err(|_| Refusal {
            reason: Refused::InvalidAddress,
            message: format!("{source} says \"{part}\", which is no address: write one address per family"),
        })?;
        addresses.push(address);
    }
    addresses.sort_unstable();
    for pair in addresses.windows(2) {
        if let [first, second] = pair
            && Family::of(*first) == Family::of(*second)
        {
            return Err(Refusal {
                reason: Refused::InvalidAddress,
                message: format!(
                    "{source} asks for {first} and {second}, two {} addresses: write one address per family",
                    Family::of(*first).as_str()
                ),
            });
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(addresses: &[&str]) -> AddressWish {
        AddressWish::Exactly(
            addresses
                .iter()
                .map(|address| address.parse().expect("an address"))
                .collect(),
        )
    }

    fn refusal(wish: AddressWish) -> (Refused, String) {
        match wish {
            AddressWish::Invalid(refusal) => (refusal.reason, refusal.message),
            AddressWish::Any | AddressWish::Exactly(_) => panic!("{wish:?} is no refusal"),
        }
    }

    #[test]
    fn absent_and_blank_ask_for_nothing_in_particular() {
        assert_eq!(AddressWish::parse(None, None), AddressWish::Any);
        assert_eq!(AddressWish::parse(Some(""), Some("  ")), AddressWish::Any);
    }

    #[test]
    fn blanks_and_order_do_not_matter() {
        assert_eq!(
            AddressWish::parse(None, Some(" fc00::1 , 10.0.0.1 ")),
            exactly(&["10.0.0.1", "fc00::1"])
        );
        assert_eq!(
            AddressWish::parse(Some("10.0.0.1"), Some("10.0.0.1 ")),
            exactly(&["10.0.0.1"])
        );
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert_eq!(
            refusal(AddressWish::parse(Some("10.0.0.300"), None)),
            (
                Refused::InvalidAddress,
                "spec.loadBalancerIP says \"10.0.0.300\", which is no address: write one address per family"
                    .into()
            )
        );
        assert_eq!(
            refusal(AddressWish::parse(None, Some("10.0.0.2,10.0.0.1"))),
            (
                Refused::InvalidAddress,
                "the load-balancer-ips annotation asks for 10.0.0.1 and 10.0.0.2, two IPv4 addresses: write one \
                 address per family"
                    .into()
            )
        );
        assert_eq!(
            refusal(AddressWish::parse(Some("10.0.0.1"), Some("10.0.0.2"))),
            (
                Refused::ConflictingRequest,
                "spec.loadBalancerIP asks for 10.0.0.1 and the load-balancer-ips annotation for 10.0.0.2: remove one \
                 of them"
                    .into()
            )
        );
        assert_eq!(
            refusal(AddressWish::parse(None, Some("10.0.0.1,"))).0,
            Refused::InvalidAddress
        );
    }
}
