//! Whom a pool is for, and how much of it a namespace may have, read as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::request::Service;
use ferrolb_core::selector::Labels;

use crate::api::Api;

/// Whether a pool is for a Service.
pub(crate) fn admits(api: &Api, pool: &Pool, service: &Service) -> bool {
    let allocation = &pool.spec.allocation;
    let unlabeled = Labels::new();
    let namespace = &*service.key.namespace;
    let namespace_labels = api.namespaces.get(namespace).unwrap_or(&unlabeled);
    let by_name = allocation.namespaces.contains(namespace);
    let by_label = allocation
        .namespace_selectors
        .iter()
        .any(|selector| selector.matches(namespace_labels));
    let any_namespace = allocation.namespaces.is_empty() && allocation.namespace_selectors.is_empty();
    let by_own_label = allocation
        .service_selectors
        .iter()
        .any(|selector| selector.matches(&service.request.labels));
    let any_service = allocation.service_selectors.is_empty();
    (any_namespace || by_name || by_label) && (any_service || by_own_label)
}

/// Whether nobody knows whom a pool is for: then its holders stay.
pub(crate) fn is_unclear(pool: &Pool) -> bool {
    let allocation = &pool.spec.allocation;
    let mut selectors = allocation
        .namespace_selectors
        .iter()
        .chain(&allocation.service_selectors);
    selectors.any(|selector| !selector.is_valid())
}

/// Whether the Service's namespace may hold these addresses of a pool beside what others of it hold: a
/// quota refuses only what is more.
pub(crate) fn is_within_quota(
    api: &Api,
    pool: &Pool,
    service: &Service,
    choice: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) -> bool {
    let Some(most) = pool.spec.allocation.max_per_namespace else {
        return true;
    };
    let is_others = |claim: &&ferrolb_core::claim::Claim| {
        let mut holders = claim.spec.holders.iter().map(|holder| &holder.service);
        holders.any(|holder| *holder != service.key && holder.namespace == service.key.namespace)
    };
    let is_of_pool = |address: &IpAddr| match belongs.get(address) {
        Some(owner) => *owner == pool.name,
        None => api.claims[address].spec.pool.as_ref() == Some(&pool.name),
    };
    let held: BTreeSet<IpAddr> = api
        .claims
        .values()
        .filter(is_others)
        .map(|claim| claim.spec.address)
        .filter(is_of_pool)
        .collect();
    choice.is_subset(&held) || held.union(choice).count() <= most as usize
}
