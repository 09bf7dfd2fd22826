//! Objects as people would write them.

use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::claim::ClaimSpec;
use ferrolb_core::object::{ResourceVersion, Uid};
use ferrolb_core::pool::allocation::Allocation;
use ferrolb_core::pool::{Pool, PoolSpec, Sharing};
use ferrolb_core::request::{AddressWish, Eligibility, FamilyPolicy, Service, ServiceRequest, ServiceStatus};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};
use ferrolb_core::time::Timestamp;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

/// A pool that rests nothing, so that tests need no time unless they ask for it.
pub(crate) fn mk_pool(name: &str, addresses: &[&str]) -> Pool {
    Pool {
        name: name.into(),
        uid: Uid::from(""),
        resource_version: ResourceVersion::from(""),
        created: Timestamp(0),
        spec: PoolSpec {
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            exclude: Vec::new(),
            auto_assign: true,
            avoid_buggy_ips: false,
            quarantine: Duration::ZERO,
            allocation: Allocation::default(),
            sharing: Sharing::default(),
            advertisements: vec!["default".to_owned()],
        },
        unreadable: None,
        status: None,
    }
}

/// A pool that rests each address for so many seconds.
pub(crate) fn resting(mut pool: Pool, seconds: u64) -> Pool {
    pool.spec.quarantine = Duration::from_secs(seconds);
    pool
}

/// An IPv4 Service in the namespace `default`.
pub(crate) fn mk_service(name: &str) -> Service {
    Service {
        key: key(name),
        uid: Uid::from(""),
        resource_version: ResourceVersion::from(""),
        created: Timestamp(0),
        request: ServiceRequest {
            eligibility: Eligibility::Eligible,
            cluster_ips: vec![ip("10.96.0.1")],
            family_policy: FamilyPolicy::SingleStack,
            primary_family: Some(Family::V4),
            addresses: AddressWish::Any,
            pool: None,
            labels: Labels::new(),
            ports: vec![ServicePort {
                protocol: Protocol::Tcp,
                port: 80,
            }],
            traffic_policy: TrafficPolicy::Cluster,
            sharing_key: None,
            selector: Labels::new(),
        },
        status: ServiceStatus::default(),
    }
}

/// A Service with cluster IPs of both families, in the order given by the first.
pub(crate) fn mk_dual_service(name: &str, policy: FamilyPolicy, first: Family) -> Service {
    let mut service = mk_service(name);
    let mut cluster_ips = vec![ip("10.96.0.1"), ip("fd00::1")];
    if first == Family::V6 {
        cluster_ips.reverse();
    }
    service.request.cluster_ips = cluster_ips;
    service.request.primary_family = Some(first);
    service.request.family_policy = policy;
    service
}

/// A claim by which a person reserves an address for some Services, or for nobody.
pub(crate) fn mk_reservation(address: &str, names: &[&str]) -> ClaimSpec {
    ClaimSpec {
        address: ip(address),
        reserved: true,
        reserved_for: names.iter().copied().map(key).collect(),
        pool: None,
        state: None,
        state_since: None,
        held_by: None,
        last_holder: None,
        holders: Vec::new(),
    }
}

pub(crate) fn asking(mut service: Service, addresses: &str) -> Service {
    service.request.addresses = AddressWish::parse(None, Some(addresses));
    service
}

/// A Service that uses a TCP port and is willing to share under a key.
pub(crate) fn mk_sharer(name: &str, sharing_key: &str, tcp: u16) -> Service {
    let mut service = mk_service(name);
    service.request.sharing_key = Some(sharing_key.to_owned());
    service.request.ports = vec![ServicePort {
        protocol: Protocol::Tcp,
        port: tcp,
    }];
    service
}

pub(crate) fn in_namespace(mut service: Service, namespace: &str) -> Service {
    service.key.namespace = namespace.into();
    service
}

pub(crate) fn at_priority(mut pool: Pool, priority: u32) -> Pool {
    pool.spec.allocation.priority = Some(priority);
    pool
}

pub(crate) fn for_namespace(mut pool: Pool, namespace: &str) -> Pool {
    pool.spec.allocation.namespaces.insert(namespace.to_owned());
    pool
}

pub(crate) fn with_quota(mut pool: Pool, most: u32) -> Pool {
    pool.spec.allocation.max_per_namespace = Some(most);
    pool
}

pub(crate) fn from_pool(mut service: Service, pool: &str) -> Service {
    service.request.pool = Some(pool.into());
    service
}
