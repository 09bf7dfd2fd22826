//! Sharing, as the oracle reads it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ferrolb_core::allocator::{Call, Event, Outcome};
use ferrolb_core::claim::{ClaimState, Holder};
use ferrolb_core::pool::{PoolName, Sharing};
use ferrolb_core::request::{Eligibility, Service, ServiceRequest};
use ferrolb_core::service::{ServicePort, TrafficPolicy};

use super::is_frozen;
use crate::api::{Api, Objects};

/// What makes two Services one another's neighbors on an address, or keeps them apart.
type Says<'a> = (
    Option<&'a str>,
    BTreeSet<ServicePort>,
    Option<&'a std::collections::BTreeMap<String, String>>,
);

/// A1: no protocol and port of an address belongs to two Services, and any two that share it want
/// to, and are served by the same nodes.
pub(super) fn check(address: IpAddr, holders: &[Holder]) {
    for (a, b) in pairs(holders) {
        assert_ne!(a.service, b.service, "A1: {address} is lent to one twice");
        assert!(
            go_together(&recorded(a), &recorded(b)),
            "A1: {address} is lent to two that do not go together: {a:?} and {b:?}"
        );
    }
}

/// What we write of the holders of a claim makes no two of them meet who do not go together, also
/// where strangers did so before.
pub(crate) fn check_write(before: &Objects, call: &Call, outcome: &Outcome) {
    let (Call::CreateClaim(spec) | Call::UpdateClaim { spec, .. }, Outcome::Done(_)) = (call, outcome) else {
        return;
    };
    let claim = before.claims.get(&spec.address);
    let was = |holder: &Holder| {
        let mut held = claim.iter().flat_map(|claim| &claim.spec.holders);
        held.any(|held| held.service == holder.service && recorded(held) == recorded(holder))
    };
    for (a, b) in pairs(&spec.holders) {
        assert!(
            go_together(&recorded(a), &recorded(b)) || (was(a) && was(b)),
            "A1: {} is lent to two that do not go together: {a:?} and {b:?}",
            spec.address
        );
    }
}

/// Unless strangers write claims: nobody joins a holder of another namespace in a cluster whose
/// pools never let them, but those who show the address already.
pub(crate) fn check_namespaces(before: &Objects, log: &[Event], call: &Call, outcome: &Outcome) {
    let (Call::CreateClaim(spec) | Call::UpdateClaim { spec, .. }, Outcome::Done(_)) = (call, outcome) else {
        return;
    };
    let address = spec.address;
    let claim = before.claims.get(&address);
    let has_met = |holder: &Holder| claim.is_some_and(|claim| claim.names(&holder.service));
    let shows = |holder: &Holder| {
        let service = before.services.get(&holder.service);
        service.is_some_and(|service| {
            let mut shown = service.status.ingress.iter();
            shown.any(|entry| entry.address == Some(address))
        })
    };
    let lets_meet = |event: &Event| matches!(event, Event::PoolApplied(pool) if pool.spec.sharing == Sharing::CrossNamespace);
    let has_any = log.iter().any(lets_meet);
    for (a, b) in pairs(&spec.holders) {
        let is_near = a.service.namespace == b.service.namespace;
        assert!(
            is_near || has_any || (has_met(a) && has_met(b)) || (shows(a) && shows(b)),
            "{address} is lent across namespaces: {a:?} and {b:?}"
        );
    }
}

/// Whether a Service could have an address together with those who have it.
pub(crate) fn could_join(api: &Api, address: IpAddr, service: &Service, pool: &PoolName) -> bool {
    let Some(claim) = api.claims.get(&address) else {
        return false;
    };
    let pool = &api.pools[pool];
    let others = claim
        .spec
        .holders
        .iter()
        .filter(|holder| holder.service != service.key);
    let mut others = others.peekable();
    let is_served_elsewhere = api.services.values().any(|other| {
        let mut shown = other.status.ingress.iter();
        other.request.eligibility == Eligibility::ForeignClass
            && shown.any(|entry| entry.address == Some(address))
    });
    claim.spec.state == Some(ClaimState::Held)
        && others.peek().is_some()
        && !claim.spec.is_reserved_from(&service.key)
        && !is_served_elsewhere
        && !is_frozen(pool)
        && others.all(|holder| {
            let other = &api.services[&holder.service];
            let is_near = holder.service.namespace == service.key.namespace;
            go_together(&said(&service.request), &said(&other.request))
                && (is_near || pool.spec.sharing == Sharing::CrossNamespace)
        })
}

fn pairs(holders: &[Holder]) -> impl Iterator<Item = (&Holder, &Holder)> {
    let of = |place: usize| (&holders[place], &holders[place + 1..]);
    let each = (0..holders.len()).map(of);
    each.flat_map(|(a, rest)| rest.iter().map(move |b| (a, b)))
}

fn go_together(a: &Says<'_>, b: &Says<'_>) -> bool {
    a.0.is_some() && a.0 == b.0 && a.1.is_disjoint(&b.1) && a.2 == b.2
}

fn recorded(holder: &Holder) -> Says<'_> {
    let local = holder.traffic_policy == TrafficPolicy::Local;
    (
        holder.sharing_key.as_deref(),
        holder.ports.iter().copied().collect(),
        local.then_some(&holder.selector),
    )
}

fn said(request: &ServiceRequest) -> Says<'_> {
    let local = request.traffic_policy == TrafficPolicy::Local;
    (
        request.sharing_key.as_deref(),
        request.ports.iter().copied().collect(),
        local.then_some(&request.selector),
    )
}
