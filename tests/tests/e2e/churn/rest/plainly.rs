//! What Services, claims and pools say, read as plainly as possible.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ferrolb_core::address::Family;
use ferrolb_core::range::{AddressRange, is_buggy};
use ferrolb_crds::{AddressClaim, AddressPool};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

/// Whether a Service is one that we serve.
pub(super) fn is_ours(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        let class = spec.load_balancer_class.as_deref();
        spec.type_.as_deref() == Some("LoadBalancer")
            && class.is_none_or(|class| class == "ferrolb.io/layer2")
    })
}

pub(super) fn holds(claim: &AddressClaim, service: &Service) -> bool {
    let mut holders = claim.spec.holders.iter();
    holders.any(|holder| holder.name == service.name_any())
}

pub(super) fn policy(service: &Service) -> &str {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.ip_family_policy.as_deref())
        .unwrap_or("SingleStack")
}

pub(super) fn asked(service: &Service) -> Option<&String> {
    service.annotations().get("ferrolb.io/load-balancer-ips")
}

/// The families of a Service's cluster IPs.
pub(super) fn wanted(service: &Service) -> Result<Vec<Family>> {
    let spec = service.spec.as_ref().context("no spec")?;
    let ips = spec.cluster_ips.iter().flatten();
    ips.map(|ip| Ok(Family::of(ip.parse()?))).collect()
}

/// Whether a pool is for a Service of this label.
pub(super) fn admits(pool: &AddressPool, service: &Service) -> bool {
    let allocation = pool.spec.allocation.as_ref();
    let selectors = allocation.map(|allocation| &*allocation.service_selectors);
    let selectors = selectors.unwrap_or_default();
    let fits = |(key, value): (&String, &String)| service.labels().get(key) == Some(value);
    selectors.is_empty()
        || selectors
            .iter()
            .any(|selector| selector.match_labels.iter().flatten().all(fits))
}

/// Every address that a pool lends, one by one.
pub(super) fn addresses(pool: &AddressPool) -> Result<Vec<IpAddr>> {
    let parse = |entry: &String| Ok(entry.parse::<AddressRange>()?);
    let excluded: Vec<AddressRange> = pool
        .spec
        .exclude
        .iter()
        .map(|entry| parse(&entry.0))
        .collect::<Result<_>>()?;
    let mut addresses = Vec::new();
    for entry in &pool.spec.addresses {
        let range = parse(&entry.0)?;
        addresses.extend((range.first()..=range.last()).map(|number| match range.family() {
            Family::V4 => IpAddr::V4(u32::try_from(number).unwrap().into()),
            Family::V6 => IpAddr::V6(number.into()),
        }));
    }
    addresses.retain(|address| {
        let is_avoided = pool.spec.avoid_buggy_ips && is_buggy(*address);
        !is_avoided && !excluded.iter().any(|range| range.contains(*address))
    });
    Ok(addresses)
}
