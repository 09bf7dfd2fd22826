//! The allocator alone, with an API server that does at once whatever it is asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::Family;
use ferrolb_core::allocator::{Allocator, Call, Event, Outcome, Stored};
use ferrolb_core::claim::Claim;
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::request::{
    AddressWish, Eligibility, FamilyPolicy, Ingress, Service, ServiceRequest, ServiceStatus,
};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};
use ferrolb_core::time::{Now, Time, Timestamp};
use ferrolb_crds::AddressPool;
use ferrolb_crds::convert::pool;
use serde_json::json;

use crate::lab::clock;

const NOW: Now = Now {
    time: Time::ZERO,
    wall: Timestamp(1_800_000_000),
};

/// How long it takes until so many Services have their claims and their status.
pub(super) fn allocations(services: u32) -> Result<Duration> {
    run(services, &["10.0.0.0/8".to_owned()], services as usize)
}

/// How long it takes to serve whom 500 pools of eight addresses can serve, and to refuse the others.
pub(super) fn in_small_pools(services: u32) -> Result<Duration> {
    let pools: Vec<String> = (0..500)
        .map(|number| format!("10.{}.{}.0/29", number / 256, number % 256))
        .collect();
    run(services, &pools, (pools.len() * 8).min(services as usize))
}

fn run(services: u32, addresses: &[String], expected: usize) -> Result<Duration> {
    let mut pools: BTreeMap<PoolName, Pool> = BTreeMap::new();
    for (number, addresses) in addresses.iter().enumerate() {
        let pool = mk_pool(number, addresses)?;
        pools.insert(pool.name.clone(), pool);
    }
    let mut stored: BTreeMap<ServiceKey, Service> = (0..services)
        .map(mk_service)
        .map(|service| (service.key.clone(), service))
        .collect();
    let events: Vec<Event> = stored.values().cloned().map(Event::ServiceApplied).collect();
    let mut allocator = Allocator::default();
    let started = clock::now();
    for pool in pools.values() {
        allocator.apply(Event::PoolApplied(pool.clone()), NOW);
    }
    for event in events {
        allocator.apply(event, NOW);
    }
    allocator.apply(Event::Synced, NOW);
    let mut version = u64::from(services);
    while let Some((id, call)) = allocator.poll_call(NOW) {
        version += 1;
        let outcome = answer(call, &mut stored, &pools, version)?;
        allocator.handle_outcome(id, outcome, NOW);
        while allocator.poll_notice().is_some() {}
    }
    let taken = started.elapsed();
    let served = stored
        .values()
        .filter(|service| !service.status.ingress.is_empty());
    let served = served.count();
    ensure!(
        served == expected,
        "{served} of {expected} Services got an address"
    );
    Ok(taken)
}

/// What the API server has stored once it has done a call.
fn answer(
    call: Call,
    services: &mut BTreeMap<ServiceKey, Service>,
    pools: &BTreeMap<PoolName, Pool>,
    version: u64,
) -> Result<Outcome> {
    let version = version.to_string().as_str().into();
    let stored = match call {
        Call::CreateClaim(spec) => Stored::Claim(Claim {
            uid: "claim".into(),
            resource_version: version,
            spec,
            has_owner: false,
            subnet: None,
        }),
        Call::PatchService(patch) => {
            let service = services.get_mut(&patch.key).context("nobody has created it")?;
            service.resource_version = version;
            service.status = ServiceStatus {
                ingress: patch
                    .ingress
                    .unwrap_or_default()
                    .into_iter()
                    .map(Ingress::vip)
                    .collect(),
                condition: patch.condition,
                allocated_from: patch.allocated_from,
                ..ServiceStatus::default()
            };
            Stored::Service(service.clone())
        }
        Call::PatchPool(patch) => Stored::Pool(Pool {
            resource_version: version,
            status: Some(patch.status),
            ..pools.get(&patch.name).context("nobody has created it")?.clone()
        }),
        other => anyhow::bail!("nothing is to be changed or read here: {other:?}"),
    };
    Ok(Outcome::Done(Box::new(stored)))
}

fn mk_pool(number: usize, addresses: &str) -> Result<Pool> {
    let object: AddressPool = serde_json::from_value(json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressPool",
        "metadata": { "name": format!("p{number:03}"), "uid": "pool", "resourceVersion": "1" },
        "spec": { "addresses": [addresses] },
    }))?;
    Ok(pool::pool(&object))
}

fn mk_service(number: u32) -> Service {
    Service {
        key: ServiceKey::new("default", format!("s{number}")),
        uid: format!("uid-{number}").as_str().into(),
        resource_version: "1".into(),
        created: Timestamp(i64::from(number)),
        request: ServiceRequest {
            eligibility: Eligibility::Eligible,
            cluster_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_served() {
        assert!(allocations(300).unwrap() > Duration::ZERO);
        assert!(in_small_pools(5_000).unwrap() > Duration::ZERO);
    }
}
