//! What a new Service gets, against a model that is too plain to be wrong: it lists every address of
//! every pool in the order of the rules and takes the first that it may share, else the first that
//! nobody has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::range::{AddressRange, is_buggy};
use ferrolb_core::request::{AddressWish, Eligibility, FamilyPolicy, Service, ServiceRequest};
use proptest::prelude::*;

use crate::api::Api;
use crate::objects::mk_service;
use crate::oracle::sharers::could_join;
use crate::oracle::{accepted, divide};
use crate::properties::{any_pool, any_request, config};
use crate::{admission, world::World};

const SOON: Duration = Duration::from_secs(120);

/// Every address of a pool in the order in which it is lent.
fn in_order(api: &Api, pool: &Pool) -> Vec<IpAddr> {
    let belongs = divide(api);
    let mut addresses = Vec::new();
    for range in accepted(&pool.spec.addresses) {
        for number in range.first()..=range.last() {
            let address = match range.family() {
                Family::V4 => IpAddr::V4(u32::try_from(number).expect("IPv4").into()),
                Family::V6 => IpAddr::V6(number.into()),
            };
            let is_avoided = pool.spec.avoid_buggy_ips && is_buggy(address);
            if belongs.get(&address) == Some(&pool.name) && !is_avoided && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses
}

/// The pools that are tried, in order: those for some first, each by priority, then name.
fn order<'a>(api: &'a Api, service: &Service) -> Vec<&'a Pool> {
    let is_pinned = |pool: &Pool| {
        let allocation = &pool.spec.allocation;
        !(allocation.namespaces.is_empty()
            && allocation.namespace_selectors.is_empty()
            && allocation.service_selectors.is_empty())
    };
    let asked = service.request.pool.as_ref();
    let may = |pool: &&Pool| match asked {
        Some(asked) => pool.name == *asked,
        None => pool.spec.auto_assign,
    };
    let mut pools: Vec<&Pool> = api
        .pools
        .values()
        .filter(may)
        .filter(|pool| admission::admits(api, pool, service))
        .filter(|pool| {
            let mut excluded = pool.spec.exclude.iter();
            excluded.all(|entry| entry.parse::<AddressRange>().is_ok())
        })
        .collect();
    pools.sort_by_key(|pool| {
        let priority = pool.spec.allocation.priority.unwrap_or(u32::MAX);
        (!is_pinned(pool), priority, pool.name.clone())
    });
    pools
}

/// What the rules give a Service that has nothing and asks for no address.
fn expected(api: &Api, service: &Service) -> BTreeSet<IpAddr> {
    let is_taken = |address: &IpAddr| {
        let is_shown = |other: &Service| {
            other
                .status
                .ingress
                .iter()
                .any(|entry| entry.address == Some(*address))
        };
        api.claims.contains_key(address) || api.services.values().any(is_shown)
    };
    let belongs: BTreeMap<IpAddr, PoolName> = divide(api);
    let of = |pool: &Pool, families: &[Family]| -> Option<BTreeSet<IpAddr>> {
        let free: Vec<IpAddr> = in_order(api, pool)
            .into_iter()
            .filter(|address| !is_taken(address))
            .collect();
        let shareable: Vec<IpAddr> = in_order(api, pool)
            .into_iter()
            .filter(|address| could_join(api, *address, service, &pool.name))
            .filter(|address| {
                let alone = BTreeSet::from([*address]);
                admission::is_within_quota(api, pool, service, &alone, &belongs)
            })
            .collect();
        let first = |family: &Family| {
            let mut in_turn = shareable.iter().chain(&free).copied();
            in_turn.find(|address| Family::of(*address) == *family)
        };
        let choice: BTreeSet<IpAddr> = families.iter().map(first).collect::<Option<_>>()?;
        admission::is_within_quota(api, pool, service, &choice, &belongs).then_some(choice)
    };
    let request = &service.request;
    let families: BTreeSet<Family> = request.cluster_ips.iter().copied().map(Family::of).collect();
    let Some(first) = request.cluster_ips.first().copied().map(Family::of) else {
        return BTreeSet::new();
    };
    let has_both = families.len() == 2;
    let choices: Vec<Vec<Family>> = match request.family_policy {
        FamilyPolicy::RequireDualStack if has_both => vec![vec![Family::V4, Family::V6]],
        FamilyPolicy::RequireDualStack => return BTreeSet::new(),
        FamilyPolicy::PreferDualStack if has_both => {
            let primary = request.primary_family.unwrap_or(Family::V4);
            vec![vec![Family::V4, Family::V6], vec![primary], vec![primary.other()]]
        }
        FamilyPolicy::PreferDualStack | FamilyPolicy::SingleStack => vec![vec![first]],
    };
    let pools = order(api, service);
    let is_open = |pool: &Pool| !pool.spec.allocation.is_pinned();
    // A pool for some goes before one for all, also when only the latter has both families.
    for group in [false, true] {
        for families in &choices {
            let of_group = pools
                .iter()
                .filter(|pool| request.pool.is_some() || is_open(pool) == group);
            for pool in of_group {
                if let Some(choice) = of(pool, families) {
                    return choice;
                }
            }
        }
    }
    BTreeSet::new()
}

fn is_plain(request: &ServiceRequest) -> bool {
    request.eligibility == Eligibility::Eligible && request.addresses == AddressWish::Any
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_new_service_gets_what_the_plain_rules_say(
        pools in proptest::collection::vec(any_pool(), 1..4),
        requests in proptest::collection::vec(any_request().prop_filter("plain", is_plain), 1..8),
    ) {
        let mut world = World::new();
        for pool in pools {
            world.api.put_pool(pool);
        }
        for (number, request) in requests.into_iter().enumerate() {
            world.run(SOON);
            let mut service = mk_service(&format!("s{number}"));
            service.request = request;
            if number % 3 == 2 {
                service.key.namespace = "other".into();
            }
            let expected = expected(&world.api, &service);
            let key = service.key.clone();
            world.api.create_service(service);
            world.run(SOON);
            let shown = world.api.services[&key].status.ingress.iter();
            let shown: BTreeSet<IpAddr> = shown.filter_map(|entry| entry.address).collect();
            prop_assert_eq!(&shown, &expected, "{} of {:?}", key, world.api.pools);
        }
    }
}
