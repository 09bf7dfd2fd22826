//! From objects to what lending depends on; `ferrolb-crds` knows our own, this one the `Service`.
//!
//! Everything else of the object is dropped here, before it is kept anywhere.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::claim::Claim;
use ferrolb_core::pool::Pool;
use ferrolb_core::request::{
    AddressWish, Eligibility, FamilyPolicy, Ingress, Service, ServiceRequest, ServiceStatus,
};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};
use ferrolb_core::time::Timestamp;
use ferrolb_crds::annotation::{
    ADDRESS_ASSIGNED, ADDRESS_POOL, ALLOCATED_FROM_POOL, LOAD_BALANCER_IPS, SHARING_KEY,
};
use ferrolb_crds::convert::time::timestamp;
use ferrolb_crds::convert::{self, condition};
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_runtime::reading::{Reading, Unreadable};
use k8s_openapi::api::core::v1::{self as api, LoadBalancerIngress, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use crate::patch::{FIELD_MANAGER, FINALIZER, IP_MODE};

/// Which classes of Services are ours.
#[derive(Clone, Debug)]
pub struct Classes {
    /// `spec.loadBalancerClass` must be one of these ...
    pub handled: BTreeSet<String>,
    /// ... or absent, if this says so.
    pub handle_unset: bool,
}

/// A Service as this program keeps it: what lending depends on, and what it says of it besides.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownService {
    /// What lending depends on.
    pub service: Service,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
}

// === impl Classes ===

impl Classes {
    /// A Service as this program keeps it.
    pub fn know(&self, object: &api::Service) -> KnownService {
        let spec = object.spec.as_ref();
        KnownService {
            service: self.project(object),
            class: spec.and_then(|spec| spec.load_balancer_class.clone()),
        }
    }

    /// A Service as the allocator sees it.
    pub fn project(&self, object: &api::Service) -> Service {
        let meta = &object.metadata;
        let nothing = ServiceSpec::default();
        let spec = object.spec.as_ref().unwrap_or(&nothing);
        Service {
            key: ServiceKey::new(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            ),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            created: meta.creation_timestamp.as_ref().map_or(Timestamp(0), timestamp),
            request: self.request(meta, spec),
            status: status(meta, object.status.as_ref()),
        }
    }

    /// Whether Services of a class, or without one, are ours.
    pub fn handles(&self, class: Option<&str>) -> bool {
        class.map_or(self.handle_unset, |class| self.handled.contains(class))
    }

    fn request(&self, meta: &ObjectMeta, spec: &ServiceSpec) -> ServiceRequest {
        let annotations = meta.annotations.as_ref();
        let wish = |wish: ferrolb_crds::annotation::Wish| {
            annotations
                .and_then(|annotations| wish.find(annotations))
                .map(|(_, value)| value)
        };
        let traffic_policy = match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            Some(_) | None => TrafficPolicy::Cluster,
        };
        let sharing_key = wish(SHARING_KEY);
        ServiceRequest {
            eligibility: self.eligibility(meta, spec),
            cluster_ips: cluster_ips(spec),
            family_policy: match spec.ip_family_policy.as_deref() {
                Some("PreferDualStack") => FamilyPolicy::PreferDualStack,
                Some("RequireDualStack") => FamilyPolicy::RequireDualStack,
                Some(_) | None => FamilyPolicy::SingleStack,
            },
            primary_family: spec
                .ip_families
                .iter()
                .flatten()
                .next()
                .and_then(|word| family(word)),
            addresses: AddressWish::parse(spec.load_balancer_ip.as_deref(), wish(LOAD_BALANCER_IPS)),
            pool: wish(ADDRESS_POOL).map(Into::into),
            labels: meta.labels.clone().unwrap_or_default(),
            ports: spec.ports.iter().flatten().filter_map(service_port).collect(),
            traffic_policy,
            selector: match (traffic_policy, sharing_key) {
                (TrafficPolicy::Local, Some(_)) => spec.selector.clone().unwrap_or_default(),
                (TrafficPolicy::Cluster, _) | (TrafficPolicy::Local, None) => Labels::new(),
            },
            sharing_key: sharing_key.map(ToOwned::to_owned),
        }
    }

    fn eligibility(&self, meta: &ObjectMeta, spec: &ServiceSpec) -> Eligibility {
        if spec.type_.as_deref() != Some("LoadBalancer") {
            return Eligibility::NotLoadBalancer;
        }
        if !self.handles(spec.load_balancer_class.as_deref()) {
            Eligibility::ForeignClass
        } else if meta.deletion_timestamp.is_some() {
            Eligibility::Deleting
        } else {
            Eligibility::Eligible
        }
    }
}

/// A pool as the allocator sees it, also one that cannot be understood.
pub(crate) fn pool(object: &Reading<AddressPool>) -> Pool {
    match object {
        Reading::Whole(object) => convert::pool::pool(object),
        Reading::Unreadable(unreadable) => unreadable_pool(unreadable),
    }
}

/// A pool that cannot be understood.
pub(crate) fn unreadable_pool(unreadable: &Unreadable) -> Pool {
    let Unreadable { metadata, raw, error } = unreadable;
    convert::pool::unreadable(metadata, raw, error)
}

/// A claim as the allocator sees it, as far as it can be understood; `None` when its name is not its
/// address.
pub(crate) fn claim(object: &Reading<AddressClaim>) -> Option<Claim> {
    match object {
        Reading::Whole(object) => convert::claim::claim(object),
        Reading::Unreadable(unreadable) => partial_claim(unreadable),
    }
}

/// A claim that cannot be understood as a whole.
pub(crate) fn partial_claim(unreadable: &Unreadable) -> Option<Claim> {
    convert::claim::partial(&unreadable.metadata, &unreadable.raw)
}

fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    // "None", of a headless Service, is no address and falls out here.
    let several = spec.cluster_ips.iter().flatten();
    let parsed: Vec<IpAddr> = several.filter_map(|text| text.parse().ok()).collect();
    if parsed.is_empty() {
        // Objects from before dual stack have only this field.
        return spec
            .cluster_ip
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
    }
    parsed
}

fn family(word: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.as_str() == word)
}

fn service_port(port: &api::ServicePort) -> Option<ServicePort> {
    let protocol = match port.protocol.as_deref() {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(_) => return None,
    };
    let port = u16::try_from(port.port).ok()?;
    Some(ServicePort { protocol, port })
}

fn status(meta: &ObjectMeta, status: Option<&api::ServiceStatus>) -> ServiceStatus {
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let annotations = meta.annotations.as_ref();
    ServiceStatus {
        ingress: balancer
            .and_then(|balancer| balancer.ingress.as_ref())
            .into_iter()
            .flatten()
            .map(ingress)
            .collect(),
        condition: condition::find(conditions, ADDRESS_ASSIGNED),
        allocated_from: annotations
            .and_then(|annotations| annotations.get(ALLOCATED_FROM_POOL))
            .map(|pool| pool.as_str().into()),
        has_finalizer: meta
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FINALIZER),
        other_manager: other_manager(meta.managed_fields.as_deref().unwrap_or_default()),
    }
}

fn ingress(entry: &LoadBalancerIngress) -> Ingress {
    let LoadBalancerIngress {
        hostname,
        ip,
        ip_mode,
        ports,
    } = entry;
    let address: Option<IpAddr> = ip.as_ref().and_then(|ip| ip.parse().ok());
    let is_canonical = address.map(|address| address.to_string()) == *ip;
    Ingress {
        address,
        is_ours: address.is_some()
            && is_canonical
            && hostname.is_none()
            && ip_mode.as_deref() == Some(IP_MODE)
            && ports.as_ref().is_none_or(Vec::is_empty),
    }
}

/// Who else has written `status.loadBalancer`, the latest one.
fn other_manager(entries: &[ManagedFieldsEntry]) -> Option<String> {
    let writes_ingress = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.get("f:status"))
            .and_then(|status| status.get("f:loadBalancer"))
            .is_some_and(Value::is_object)
    };
    entries
        .iter()
        .filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
        .filter(writes_ingress)
        .max_by_key(|entry| entry.time.clone())
        .and_then(|entry| entry.manager.clone())
}

#[cfg(test)]
mod tests;
