//! Whether a Service has what it asks for, and whether it could.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::request::{AddressWish, FamilyPolicy, Service};

use super::{is_frozen, is_shown, sharers};
use crate::admission;
use crate::api::Api;

/// The wish, read as plainly as possible.
pub(super) fn is_satisfied(
    service: &Service,
    held: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) -> bool {
    let request = &service.request;
    let families: BTreeSet<Family> = held.iter().copied().map(Family::of).collect();
    let clusters: BTreeSet<Family> = request.cluster_ips.iter().copied().map(Family::of).collect();
    let Some(first) = request.cluster_ips.first().copied().map(Family::of) else {
        return held.is_empty();
    };
    let family_ok = match request.family_policy {
        FamilyPolicy::SingleStack => families == BTreeSet::from([first]),
        FamilyPolicy::PreferDualStack => !families.is_empty() && families.is_subset(&clusters),
        FamilyPolicy::RequireDualStack => families.len() == 2,
    };
    // One address of each family that it has, also where one family would do.
    let all = match request.family_policy {
        FamilyPolicy::SingleStack => 1,
        FamilyPolicy::PreferDualStack | FamilyPolicy::RequireDualStack => clusters.len(),
    };
    let address_ok = match &request.addresses {
        AddressWish::Any => true,
        AddressWish::Exactly(asked) => {
            asked.iter().copied().collect::<BTreeSet<_>>() == *held && held.len() == all
        }
        AddressWish::Invalid(_) => false,
    };
    let pool_ok = request.pool.as_ref().is_none_or(|asked| {
        held.iter()
            .all(|address| belongs.get(address).or(service.status.allocated_from.as_ref()) == Some(asked))
    });
    family_ok && address_ok && pool_ok && held.len() == families.len()
}

/// Whether some choice of free addresses would satisfy the wish: nobody waits for nothing.
pub(super) fn can_be_satisfied(
    api: &Api,
    service: &Service,
    held: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) -> bool {
    let request = &service.request;
    let clusters: BTreeSet<Family> = request.cluster_ips.iter().copied().map(Family::of).collect();
    let takeable = |address: &IpAddr| {
        let claim = api.claims.get(address);
        held.contains(address)
            || claim.is_none_or(|claim| {
                claim.is_vacant()
                    && claim.spec.last_holder.as_ref() == Some(&service.key)
                    && !claim.spec.is_reserved_from(&service.key)
            }) && !is_shown(api, *address, Some(service))
            || belongs
                .get(address)
                .is_some_and(|pool| sharers::could_join(api, *address, service, pool))
    };
    let lends = |pool: &&Pool| {
        let is_asked = request.pool.as_ref() == Some(&pool.name);
        let is_open = request.pool.is_none()
            && (pool.spec.auto_assign || matches!(request.addresses, AddressWish::Exactly(_)));
        !is_frozen(pool) && (is_asked || is_open) && admission::admits(api, pool, service)
    };
    api.pools.values().filter(lends).any(|pool| {
        let free: Vec<IpAddr> = belongs
            .iter()
            .filter(|(address, owner)| **owner == pool.name && takeable(address))
            .map(|(address, _)| *address)
            .collect();
        let is_within_quota =
            |choice: &BTreeSet<IpAddr>| admission::is_within_quota(api, pool, service, choice, belongs);
        match &request.addresses {
            AddressWish::Invalid(_) => false,
            AddressWish::Exactly(asked) => {
                let wanted: BTreeSet<IpAddr> = asked.iter().copied().collect();
                asked.iter().all(|address| free.contains(address))
                    && is_within_quota(&wanted)
                    && is_satisfied(service, &wanted, belongs)
            }
            AddressWish::Any => {
                let of = |family| {
                    free.iter()
                        .copied()
                        .find(|address| Family::of(*address) == family)
                };
                let both: BTreeSet<IpAddr> = clusters.iter().filter_map(|family| of(*family)).collect();
                let each = both.iter().map(|address| BTreeSet::from([*address]));
                each.chain([both.clone()])
                    .any(|choice| is_within_quota(&choice) && is_satisfied(service, &choice, belongs))
            }
        }
    })
}
