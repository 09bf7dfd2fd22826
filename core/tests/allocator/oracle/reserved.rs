//! Reservations, as the oracle reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::claim::{Claim, ClaimSpec};
use ferrolb_core::pool::PoolName;
use ferrolb_core::pool::allocation::Applicant;
use ferrolb_core::request::{AddressWish, FamilyPolicy, Service};
use ferrolb_core::selector::Labels;

use super::sharers::could_join;
use super::{is_frozen, is_shown};
use crate::admission;
use crate::api::{Api, Objects};

/// What one write of ours must never do to a claim that a person reserves.
pub(super) fn check_update(before: &Objects, claim: &ClaimSpec, after: &ClaimSpec) {
    let address = claim.address;
    assert_eq!(
        (claim.reserved, &claim.reserved_for),
        (after.reserved, &after.reserved_for),
        "the view of the reservation of {address}"
    );
    for holder in &after.holders {
        let key = &holder.service;
        let has_it = claim.holders.iter().any(|held| held.service == *key);
        // Somebody took it off the claim; it is put back.
        let shows = before.services.get(key).is_some_and(|service| {
            let mut shown = service.status.ingress.iter();
            shown.any(|entry| entry.address == Some(address))
        });
        assert!(
            !claim.reserved || claim.reserved_for.contains(key) || has_it || shows,
            "{address} is lent to {key}, and is reserved for {:?}",
            claim.reserved_for
        );
    }
}

/// What is left of a reservation is what a person wrote.
pub(super) fn check_idle(spec: &ClaimSpec) {
    let ours = (&spec.held_by, &spec.last_holder, spec.state_since);
    assert_eq!(ours, (&None, &None, None), "{} is not held", spec.address);
}

/// Judges a Service that something is reserved for; false if nothing is.
pub(super) fn check_service(
    api: &Api,
    service: &Service,
    held: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) -> bool {
    let Some(wanted) = families(service) else {
        return false;
    };
    let claims: Vec<&Claim> = api
        .claims
        .values()
        .filter(|claim| claim.spec.reserved && claim.spec.reserved_for.contains(&service.key))
        .filter(|claim| wanted.contains(&Family::of(claim.spec.address)))
        .collect();
    if claims.is_empty() {
        return false;
    }
    let key = &service.key;
    let Some(condition) = &service.status.condition else {
        // With no pools nothing is written.
        assert!(
            held.is_empty() && api.pools.is_empty(),
            "{key} was not told anything"
        );
        return true;
    };
    let reserved: BTreeSet<IpAddr> = claims.iter().map(|claim| claim.spec.address).collect();
    let pool = match common_pool(api, service, &claims, held, belongs) {
        Ok(pool) => pool,
        Err(reason) => {
            let told = (condition.status, condition.reason.as_str());
            assert_eq!(
                told,
                (false, reason),
                "{key}, for which {reserved:?} are reserved"
            );
            return true;
        }
    };
    let asked: Option<BTreeSet<IpAddr>> = match &service.request.addresses {
        AddressWish::Exactly(asked) => Some(asked.iter().copied().collect()),
        AddressWish::Any | AddressWish::Invalid(_) => None,
    };
    let agreed = asked.clone().filter(|asked| asked.is_superset(&reserved));
    let is_to_be_had = |address: &IpAddr| {
        let is_free = !api.claims.contains_key(address) && !is_shown(api, *address, Some(service));
        let rests = api.claims.get(address).is_some_and(|claim| {
            claim.is_vacant()
                && claim.spec.last_holder.as_ref() == Some(key)
                && !claim.spec.is_reserved_from(key)
        });
        let can_join = || could_join(api, *address, service, &pool);
        // What is reserved goes beyond a quota, the address beside it does not.
        let alone = BTreeSet::from([*address]);
        let has_quota = reserved.contains(address)
            || api
                .pools
                .get(&pool)
                .is_none_or(|pool| admission::is_within_quota(api, pool, service, &alone, belongs));
        let is_of_pool = belongs.get(address) == Some(&pool);
        // Who has what is reserved beside it is not moved when the pool is split.
        let is_kept = held.contains(address) && (is_of_pool || held.is_superset(&reserved));
        let is_lent = is_of_pool && !is_frozen(&api.pools[&pool]);
        is_kept || (is_lent && has_quota && (is_free || rests || can_join()))
    };
    let other = wanted.iter().find(|family| {
        let mut of_family = reserved
            .iter()
            .filter(|address| Family::of(**address) == **family);
        of_family.next().is_none()
    });
    let can_complete = match (&agreed, other) {
        (Some(asked), _) => asked.difference(&reserved).all(is_to_be_had),
        (None, None) => true,
        (None, Some(other)) => {
            let mut known = held.iter().chain(belongs.keys());
            known.any(|address| Family::of(*address) == *other && is_to_be_had(address))
        }
    };
    let is_optional = service.request.family_policy == FamilyPolicy::PreferDualStack && agreed.is_none();
    if !can_complete && !is_optional {
        assert!(!condition.status, "{key} is told that all is well with {held:?}");
        return true;
    }
    assert!(
        held.is_superset(&reserved),
        "{key} has {held:?}, though {reserved:?} are reserved for it: {condition:?}"
    );
    let count = if can_complete {
        wanted.len()
    } else {
        reserved.len()
    };
    assert_eq!(
        held.len(),
        count,
        "{key} has {held:?} of pool {pool}: {condition:?}"
    );
    let is_asked_elsewhere = service.request.pool.as_ref().is_some_and(|asked| {
        let of = |address: &IpAddr| belongs.get(address).or(api.claims[address].spec.pool.as_ref());
        held.iter().any(|address| of(address) != Some(asked))
    });
    let contradicts = (asked.is_some() && agreed.is_none()) || is_asked_elsewhere;
    let expected = if contradicts {
        "RequestOverridden"
    } else {
        "Assigned"
    };
    assert_eq!(
        (condition.status, condition.reason.as_str()),
        (!contradicts, expected),
        "{key} with {held:?}, for which {reserved:?} are reserved: {condition:?}"
    );
    true
}

/// The families that a Service wants; `None` if what it says cannot be meant.
fn families(service: &Service) -> Option<BTreeSet<Family>> {
    let request = &service.request;
    let clusters: BTreeSet<Family> = request.cluster_ips.iter().copied().map(Family::of).collect();
    let first = request.cluster_ips.first().copied().map(Family::of)?;
    let wanted = match request.family_policy {
        FamilyPolicy::SingleStack => BTreeSet::from([first]),
        FamilyPolicy::PreferDualStack => clusters,
        FamilyPolicy::RequireDualStack if clusters.len() == 2 => clusters,
        FamilyPolicy::RequireDualStack => return None,
    };
    match &request.addresses {
        AddressWish::Any => Some(wanted),
        AddressWish::Exactly(asked) => {
            let asked: BTreeSet<Family> = asked.iter().copied().map(Family::of).collect();
            (asked == wanted).then_some(wanted)
        }
        AddressWish::Invalid(_) => None,
    }
}

/// The pool of all reserved addresses if the Service can have them, else the reason.
fn common_pool(
    api: &Api,
    service: &Service,
    claims: &[&Claim],
    held: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) -> Result<PoolName, &'static str> {
    let of = |family| {
        claims
            .iter()
            .filter(move |claim| Family::of(claim.spec.address) == family)
    };
    if Family::ALL.into_iter().any(|family| of(family).count() > 1) {
        return Err("SeveralReservations");
    }
    let mut pools = BTreeSet::new();
    for claim in claims {
        let address = claim.spec.address;
        let recorded = claim.spec.pool.clone().filter(|_| held.contains(&address));
        let pool = belongs.get(&address).cloned().or(recorded);
        let pool = pool.ok_or("ReservationOutsidePool")?;
        let is_other = |named: &PoolName| claim.is_idle_reservation() && *named != pool;
        if claim.spec.pool.as_ref().is_some_and(is_other) {
            return Err("ReservationOutsidePool");
        }
        pools.insert(pool);
    }
    let has_all = claims.iter().all(|claim| held.contains(&claim.spec.address));
    if pools.len() > 1 && !has_all {
        return Err("AddressesInTwoPools");
    }
    let nothing = Labels::new();
    let applicant = Applicant {
        namespace: &service.key.namespace,
        namespace_labels: api.namespaces.get(&*service.key.namespace).unwrap_or(&nothing),
        labels: &service.request.labels,
    };
    for claim in claims {
        let address = claim.spec.address;
        let pool = &api.pools[pools.first().expect("a pool")];
        let rests = claim.is_vacant() && claim.spec.last_holder.as_ref() == Some(&service.key);
        if held.contains(&address) {
            continue;
        }
        if !pool.spec.allocation.admits(applicant) {
            return Err("NotAdmitted");
        }
        let of_pool = belongs.get(&address);
        let can_join = of_pool.is_some_and(|pool| could_join(api, address, service, pool));
        if !claim.is_idle_reservation() && !rests && !can_join {
            return Err("AddressInUse");
        }
        if is_frozen(pool) {
            return Err("PoolInvalid");
        }
        if is_shown(api, address, Some(service)) && !can_join {
            return Err("AddressInUse");
        }
    }
    Ok(pools.pop_first().expect("a pool"))
}
