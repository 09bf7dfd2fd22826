//! What must hold after every write, and what must hold at rest.
//!
//! The oracle knows the objects and the rules, not the allocator: it lists hosts one by one.

mod capacity;
mod hosts;
mod reserved;
pub(crate) mod sharers;
pub(crate) mod subnets;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::allocator::{Call, FinalizerEdit, Options, Outcome};
use ferrolb_core::claim::ClaimState;
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::range::AddressRange;
use ferrolb_core::request::{Eligibility, FamilyPolicy, Service};
use ferrolb_core::time::Timestamp;

use crate::admission;
use crate::api::{Api, Objects};
use capacity::check_capacity;
use hosts::parse;
pub(crate) use hosts::{accepted, divide};
use wish::{can_be_satisfied, is_satisfied};

/// A10, whoever writes what.
pub(crate) fn check_class(before: &Objects, call: &Call, outcome: &Outcome) {
    let (Call::PatchService(patch), Outcome::Done(_)) = (call, outcome) else {
        return;
    };
    let service = &before.services[&patch.key];
    if service.request.eligibility != Eligibility::ForeignClass {
        return;
    }
    let adds_nothing = patch.ingress.as_ref().is_none_or(Vec::is_empty)
        && (patch.condition.is_none() || patch.condition == service.status.condition)
        && (patch.allocated_from.is_none() || patch.allocated_from == service.status.allocated_from)
        && patch.finalizer != FinalizerEdit::Add;
    assert!(
        service.carries_marks() && adds_nothing,
        "A10: {} is of a foreign class and was written: {patch:?} over {service:?}",
        patch.key
    );
}

/// What one write of ours must never do, whoever decided it on whatever view.
pub(crate) fn check_write(before: &Objects, call: &Call, outcome: &Outcome) {
    if !matches!(outcome, Outcome::Done(_)) {
        return;
    }
    match call {
        Call::PatchService(patch) => {
            for address in patch.ingress.iter().flatten() {
                // A1: an address is shown only to whom the claim names.
                let claim = &before.claims.get(address);
                let claim =
                    claim.unwrap_or_else(|| panic!("A1: {} shows {address} without a claim", patch.key));
                let mut holders = claim.spec.holders.iter();
                let is_named = holders.any(|it| it.service == patch.key && it.uid == patch.uid);
                assert!(
                    is_named && claim.spec.state == Some(ClaimState::Held),
                    "A1: {} shows {address}, which it does not hold: {claim:?}",
                    patch.key
                );
            }
        }
        Call::UpdateClaim { spec, .. } => {
            let claim = &before.claims[&spec.address];
            reserved::check_update(before, &claim.spec, spec);
            for holder in &claim.spec.holders {
                let is_kept = spec.holders.iter().any(|kept| kept.service == holder.service);
                let shows = before.services.get(&holder.service).is_some_and(|service| {
                    service
                        .status
                        .ingress
                        .iter()
                        .any(|entry| entry.address == Some(spec.address))
                        && (service.request.eligibility != Eligibility::ForeignClass
                            || service.carries_marks())
                });
                assert!(
                    is_kept || !shows,
                    "A1: {} is taken from {} while it shows it",
                    spec.address,
                    holder.service
                );
            }
        }
        Call::CreateClaim(spec) => assert!(!spec.reserved, "only a person reserves {}", spec.address),
        Call::DeleteClaim { address, .. } => {
            let is_reserved = before.claims[address].spec.reserved;
            assert!(!is_reserved, "only a person deletes the reservation of {address}");
        }
        Call::ReadClaim(_) | Call::ReadService(_) | Call::FindLeftovers | Call::PatchPool(_) => {}
    }
}

/// What holds between any two writes, unless strangers write claims.
pub(crate) fn check_always(api: &Api) {
    for claim in api.claims.values() {
        sharers::check(claim.spec.address, &claim.spec.holders);
    }
}

/// What holds once the controller has nothing more to do.
pub(crate) fn check_at_rest(api: &Api, now: Timestamp) {
    let belongs = divide(api);
    check_claims(api, now);
    for service in api.services.values() {
        check_marks(service);
        check_service(api, service, &belongs);
    }
    for pool in api.pools.values() {
        check_capacity(api, pool, &belongs);
    }
}

/// Nothing has leaked: every claim is held by whom it names, or rests for a stated time.
fn check_claims(api: &Api, now: Timestamp) {
    for claim in api.claims.values() {
        let address = claim.spec.address;
        match claim.spec.state {
            Some(ClaimState::Held) => {
                assert!(!claim.spec.holders.is_empty(), "A4: {address} is held by nobody");
                sharers::check(address, &claim.spec.holders);
                for holder in &claim.spec.holders {
                    let service = api.services.get(&holder.service);
                    let service = service
                        .unwrap_or_else(|| panic!("A4: {address} is held by {}, gone", holder.service));
                    assert_eq!(
                        service.uid, holder.uid,
                        "A4: {address} is held by a Service of another life"
                    );
                    let request = &service.request;
                    assert_eq!(
                        (
                            &holder.ports,
                            holder.traffic_policy,
                            &holder.sharing_key,
                            &holder.selector
                        ),
                        (
                            &request.ports,
                            request.traffic_policy,
                            &request.sharing_key,
                            &request.selector
                        ),
                        "what the claim of {address} says of {}",
                        service.key
                    );
                    let shown = api.shown(&service.key);
                    assert!(
                        shown.contains(&address.to_string()),
                        "A4: {address} is held by {} which shows {shown:?}",
                        service.key
                    );
                }
            }
            Some(ClaimState::Quarantined) => {
                let pool = claim.spec.pool.as_ref().and_then(|pool| api.pools.get(pool));
                let rest = pool.map_or(60, |pool| pool.spec.quarantine.as_secs());
                let since = claim.spec.state_since.expect("a beginning");
                assert!(
                    now.seconds_since(since) < rest,
                    "A4: {address} rests longer than {rest} s"
                );
                assert!(claim.spec.holders.is_empty());
            }
            None if claim.is_idle_reservation() => reserved::check_idle(&claim.spec),
            Some(ClaimState::Releasing) | None => panic!("A4: {address} is stuck: {claim:?}"),
        }
    }
}

/// Nothing of ours stays on a Service that is not ours to serve.
fn check_marks(service: &Service) {
    match service.request.eligibility {
        Eligibility::Eligible => {}
        Eligibility::ForeignClass | Eligibility::NotLoadBalancer | Eligibility::Deleting => {
            assert!(!service.carries_marks(), "our marks are left on {service:?}");
        }
    }
}

/// A finalizer of ours is on whoever holds an address, if that is wanted, and keeps nobody else.
///
/// A stranger may delete the claim that tells of it, or write a status that is not ours.
pub(crate) fn check_finalizers(api: &Api, options: Options, is_vandalized: bool) {
    for service in api.services.values() {
        let (key, has_it) = (&service.key, service.status.has_finalizer);
        let holds = api.claims.values().any(|claim| claim.names(key));
        match service.request.eligibility {
            Eligibility::Eligible if holds => assert_eq!(
                has_it, options.service_finalizer,
                "the finalizer of {key}, which holds an address"
            ),
            Eligibility::Eligible
            | Eligibility::ForeignClass
            | Eligibility::NotLoadBalancer
            | Eligibility::Deleting => assert!(
                !has_it || is_vandalized,
                "{key} holds nothing, and the finalizer is on it: {service:?}"
            ),
        }
    }
}

fn check_service(api: &Api, service: &Service, belongs: &BTreeMap<IpAddr, PoolName>) {
    let key = &service.key;
    let status = &service.status;
    let held: BTreeSet<IpAddr> = api
        .claims
        .values()
        .filter(|claim| claim.names(key))
        .map(|claim| claim.spec.address)
        .collect();
    match service.request.eligibility {
        Eligibility::ForeignClass | Eligibility::NotLoadBalancer | Eligibility::Deleting => return,
        Eligibility::Eligible => {}
    }
    let shown: Vec<IpAddr> = status.ingress.iter().filter_map(|entry| entry.address).collect();
    if held.is_empty() {
        let is_lent = |address: &IpAddr| {
            let claim = api.claims.get(address);
            claim.is_some_and(|claim| !claim.is_idle_reservation())
        };
        let is_ours = |address: &IpAddr| belongs.contains_key(address) || is_lent(address);
        assert!(
            !shown.iter().any(is_ours),
            "A1: {key} shows {shown:?} and holds nothing"
        );
    } else {
        let wanted: Vec<IpAddr> = held.iter().copied().collect();
        assert_eq!(shown, wanted, "{key} shows what it holds, IPv4 first");
        assert!(status.ingress.iter().all(|entry| entry.is_ours));
    }
    for address in &held {
        let pool = belongs.get(address);
        assert!(
            pool.is_some() || is_kept_by_invalid_pool(api, *address),
            "A2: {key} holds {address}, which no pool lends"
        );
        assert!(
            status.allocated_from.is_some(),
            "{key} holds {address} from nowhere"
        );
        let pool = pool.map(|name| &api.pools[name]);
        assert!(
            pool.is_none_or(|pool| admission::admits(api, pool, service) || admission::is_unclear(pool)),
            "A9: {key} holds {address} of {pool:?}, which does not admit it"
        );
    }
    if reserved::check_service(api, service, &held, belongs) {
        return;
    }
    match &status.condition {
        Some(condition) if condition.status => {
            assert!(
                is_satisfied(service, &held, belongs),
                "A8: {key} is told that all is well with {held:?}: {service:?}"
            );
            check_second_family(api, service, &held, belongs);
        }
        Some(condition) => {
            assert!(
                !is_satisfied(service, &held, belongs),
                "{key} is told {condition:?} with {held:?}"
            );
            assert!(
                !can_be_satisfied(api, service, &held, belongs),
                "{key} waits although it could be served: {condition:?}"
            );
        }
        None => assert!(
            held.is_empty() && (service.request.cluster_ips.is_empty() || api.pools.is_empty()),
            "{key} was not told anything"
        ),
    }
}

/// Who would like to have both families has both if the pool of the first can give the second.
fn check_second_family(
    api: &Api,
    service: &Service,
    held: &BTreeSet<IpAddr>,
    belongs: &BTreeMap<IpAddr, PoolName>,
) {
    let wants_both = service.request.family_policy == FamilyPolicy::PreferDualStack
        && service.request.cluster_ips.len() == Family::ALL.len();
    let [only] = held.iter().copied().collect::<Vec<_>>()[..] else {
        return;
    };
    let Some(pool) = belongs.get(&only).filter(|_| wants_both) else {
        return;
    };
    let second = belongs.iter().find(|(address, owner)| {
        let is_free = !api.claims.contains_key(*address) && !is_shown(api, **address, Some(service));
        let is_open = is_free || sharers::could_join(api, **address, service, owner);
        *owner == pool && Family::of(**address) != Family::of(only) && is_open
    });
    let fits = |address: &IpAddr| {
        let both = BTreeSet::from([only, *address]);
        admission::is_within_quota(api, &api.pools[pool], service, &both, belongs)
    };
    let pool = &api.pools[pool];
    assert!(
        second.is_none_or(|(address, _)| !fits(address))
            || is_frozen(pool)
            || !admission::admits(api, pool, service),
        "{} holds only {only} though {second:?} is free",
        service.key
    );
}

/// Whether a pool lends nothing new.
fn is_frozen(pool: &Pool) -> bool {
    let mut entries = pool.spec.exclude.iter();
    pool.unreadable.is_some() || entries.any(|entry| entry.parse::<AddressRange>().is_err())
}

/// Whether a Service shows an address, other than this one.
fn is_shown(api: &Api, address: IpAddr, but: Option<&Service>) -> bool {
    api.services.values().any(|service| {
        let mut shown = service.status.ingress.iter();
        but.is_none_or(|but| but.key != service.key) && shown.any(|entry| entry.address == Some(address))
    })
}

fn is_kept_by_invalid_pool(api: &Api, address: IpAddr) -> bool {
    let recorded = api.claims[&address].spec.pool.as_ref();
    recorded.and_then(|name| api.pools.get(name)).is_some_and(|pool| {
        let entries = pool.spec.addresses.len();
        pool.unreadable.is_some()
            || accepted(&pool.spec.addresses).len() < entries
            || parse(&pool.spec.exclude).len() < pool.spec.exclude.len()
    })
}
