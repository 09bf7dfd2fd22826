//! Claims that a person makes: an address for some Services alone, or for nobody.

mod families;
mod mistakes;

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::claim::{ClaimSpec, ClaimState};
use ferrolb_core::pool::Capacity;
use ferrolb_core::request::{Eligibility, FamilyPolicy, Ingress};

use crate::objects::{
    asking, from_pool, ip, key, mk_dual_service, mk_pool, mk_reservation, mk_service, resting,
};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// A pool of eight that rests each address for a minute, and what people reserve of it.
fn mk_world(reservations: &[(&str, &[&str])]) -> World {
    let mut world = World::new();
    world.api.put_pool(resting(mk_pool("pool", &["1.2.3.0/29"]), 60));
    for (address, names) in reservations {
        world.api.create_claim(mk_reservation(address, names));
    }
    world.run(SOON);
    world
}

fn claim<'a>(world: &'a World, address: &str) -> &'a ClaimSpec {
    &world.api.claims[&ip(address)].spec
}

fn reserve(world: &mut World, address: &str, names: &[&str]) {
    world.api.edit_claim(ip(address), |claim| {
        claim.spec.reserved = true;
        claim.spec.reserved_for = names.iter().copied().map(key).collect();
    });
}

fn counts(world: &World, pool: &str) -> (i64, i64, i64, i64, i64) {
    let status = world.api.pools[pool].status.as_ref();
    let Capacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    } = status.expect("a status").v4;
    (total, assigned, reserved, quarantined, available)
}

/// The Warnings about claims.
fn warnings(world: &World) -> Vec<&str> {
    let notices = world.replicas[0].notices.iter();
    let of_claims =
        notices.filter(|notice| matches!(notice.regarding, ferrolb_core::allocator::Regarding::Claim { .. }));
    of_claims.map(|notice| notice.message.as_str()).collect()
}

#[test]
fn a_reserved_address_is_lent_to_whom_it_is_for_and_to_nobody_else() {
    let mut world = mk_world(&[("1.2.3.0", &["s2"])]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world.api.create_service(asking(mk_service("s3"), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(world.reason("s3"), "AddressReserved");
    assert_eq!(
        world.message("s3"),
        "The Service asks for 1.2.3.0, which is reserved for default/s2"
    );
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    assert_eq!(world.reason("s2"), "Assigned");
    assert!(world.message("s3").ends_with("is held by default/s2"));
    world.assert_at_rest();
}

#[test]
fn a_reservation_outlives_its_holder() {
    let mut world = mk_world(&[("1.2.3.0", &["s1", "s2"])]);
    let uid = world.api.claims[&ip("1.2.3.0")].uid.clone();
    let written = claim(&world, "1.2.3.0").clone();
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(claim(&world, "1.2.3.0").state, Some(ClaimState::Quarantined));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"], "it rests for who held it last");
    world.api.delete_service(&key("s1"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), [""; 0]);
    assert_eq!(world.reason("s2"), "AddressInUse");
    assert_eq!(
        world.message("s2"),
        "1.2.3.0 is reserved for the Service, but was held by default/s1 and rests before it is lent again"
    );
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.api.delete_service(&key("s2"));
    world.run(Duration::from_secs(70));
    assert_eq!(claim(&world, "1.2.3.0"), &written, "as the person wrote it");
    assert_eq!(world.api.claims[&ip("1.2.3.0")].uid, uid);
    world.assert_at_rest();
}

#[test]
fn an_address_reserved_for_nobody_stays_with_its_holder_until_it_lets_go() {
    let mut world = mk_world(&[("1.2.3.1", &[])]);
    for name in ["s1", "s2"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    assert_eq!(
        (world.shown("s1"), world.shown("s2")),
        (vec!["1.2.3.0".into()], vec!["1.2.3.2".into()])
    );
    reserve(&mut world, "1.2.3.0", &[]);
    world.run(SOON);
    world.restart();
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s1"), "Assigned");
    world.assert_at_rest();

    world.api.delete_service(&key("s1"));
    world.run(SOON);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.3"], "it has let go");
    world.api.create_service(asking(mk_service("s4"), "1.2.3.0"));
    world.run(Duration::from_secs(70));
    assert_eq!(world.reason("s4"), "AddressReserved");
    assert_eq!(
        world.message("s4"),
        "The Service asks for 1.2.3.0, which is reserved for nobody: its AddressClaim keeps it from everybody"
    );
    assert_eq!(claim(&world, "1.2.3.0").state, None);
    world.assert_at_rest();
}

#[test]
fn who_holds_another_address_moves_to_the_reserved_one_and_shows_one_at_all_times() {
    let mut world = mk_world(&[]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.create_claim(mk_reservation("1.2.3.7", &["s1"]));
    while world.step(0) {
        assert_eq!(world.shown("s1").len(), 1);
    }
    assert_eq!(world.shown("s1"), ["1.2.3.7"]);
    world.run(SOON);
    assert_eq!(claim(&world, "1.2.3.0").state, Some(ClaimState::Quarantined));
    world.run(Duration::from_secs(70));
    world.assert_at_rest();
}

#[test]
fn a_reservation_beats_what_the_service_asks_for_and_says_so() {
    let mut world = mk_world(&[("1.2.3.7", &["s1", "s2"])]);
    world.api.put_pool(mk_pool("other", &["9.9.9.0/30"]));
    world.api.create_service(asking(mk_service("s1"), "1.2.3.5"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7"]);
    assert_eq!(world.reason("s1"), "RequestOverridden");
    assert_eq!(
        world.message("s1"),
        "The Service asks for 1.2.3.5, but has what is reserved for it: 1.2.3.7"
    );
    world.assert_at_rest();
    world.api.delete_service(&key("s1"));
    world.api.create_service(from_pool(mk_service("s2"), "other"));
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s2"), ["1.2.3.7"]);
    assert_eq!(
        world.message("s2"),
        "The Service asks for pool other, but has what is reserved for it: 1.2.3.7 (of pool pool)"
    );
    world
        .api
        .edit_service(&key("s2"), |service| service.request.pool = None);
    world.run(SOON);
    assert_eq!(world.reason("s2"), "Assigned");
    world.assert_at_rest();
}

#[test]
fn a_closed_pool_and_a_quota_do_not_keep_a_reserved_address_from_anybody() {
    let mut world = mk_world(&[("1.2.3.7", &["s2"])]);
    world
        .api
        .edit_pool("pool", |pool| pool.spec.allocation.max_per_namespace = Some(1));
    for name in ["s1", "s2", "s3"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.7"]);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    world.api.edit_pool("pool", |pool| {
        pool.spec.allocation.max_per_namespace = None;
        pool.spec.auto_assign = false;
    });
    world.api.create_claim(mk_reservation("1.2.3.6", &["s3"]));
    world.run(SOON);
    assert_eq!(world.shown("s3"), ["1.2.3.6"]);
    world.assert_at_rest();
}

#[test]
fn who_holds_an_address_that_is_reserved_for_others_keeps_it_and_they_wait() {
    let mut world = mk_world(&[]);
    world.api.create_service(mk_service("s1"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    reserve(&mut world, "1.2.3.0", &["s2"]);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
    assert_eq!(world.reason("s2"), "AddressInUse");
    assert_eq!(
        world.message("s2"),
        "1.2.3.0 is reserved for the Service, but is held by default/s1"
    );
    world.assert_at_rest();
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.1"], "it rests");
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.run(Duration::from_secs(70));
    world.assert_at_rest();
}

#[test]
fn a_reservation_taken_off_leaves_an_ordinary_claim() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"]), ("1.2.3.7", &[])]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    for address in ["1.2.3.6", "1.2.3.7"] {
        world
            .api
            .edit_claim(ip(address), |claim| claim.spec.reserved = false);
    }
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    assert_eq!(claim(&world, "1.2.3.7").state, Some(ClaimState::Quarantined));
    world.api.delete_service(&key("s1"));
    world.run(Duration::from_secs(140));
    assert_eq!(world.api.claims.len(), 0);
    world.assert_at_rest();
}

#[test]
fn reserved_addresses_count_as_reserved_while_nobody_holds_them() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"]), ("1.2.3.7", &[]), ("8.8.8.8", &[])]);
    assert_eq!(counts(&world, "pool"), (8, 0, 2, 0, 6));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(counts(&world, "pool"), (8, 1, 1, 0, 6));
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(counts(&world, "pool"), (8, 0, 1, 1, 6));
    world.run(Duration::from_secs(70));
    assert_eq!(counts(&world, "pool"), (8, 0, 2, 0, 6));
    world.api.remove_claim(ip("1.2.3.7"));
    world.run(SOON);
    assert_eq!(counts(&world, "pool"), (8, 0, 1, 0, 7));
    world.assert_at_rest();
}

#[test]
fn who_may_share_a_reservation_waits_for_the_other() {
    let mut world = mk_world(&[("1.2.3.6", &["s1", "s2"])]);
    world.api.create_service(mk_service("s2"));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.6"], "the older one");
    assert_eq!(world.reason("s1"), "AddressInUse");
    world.assert_at_rest();
    world.api.delete_service(&key("s2"));
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    world.assert_at_rest();
}

#[test]
fn those_for_whom_an_address_is_reserved_share_it_if_they_could_share_any() {
    let mut world = mk_world(&[("1.2.3.6", &["s1", "s2", "s3"])]);
    for (name, sharing_key, port) in [("s1", "k", 80), ("s2", "k", 81), ("s3", "k", 80), ("s4", "k", 82)] {
        let mut service = mk_service(name);
        service.request.sharing_key = Some(sharing_key.to_owned());
        service.request.ports[0].port = port;
        world.api.create_service(service);
        world.run(SOON);
    }
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    assert_eq!(world.shown("s2"), ["1.2.3.6"]);
    assert_eq!(world.reason("s3"), "AddressInUse");
    assert_eq!(
        world.shown("s4"),
        ["1.2.3.0"],
        "not for others, whatever their key"
    );
}

#[test]
fn a_reservation_made_while_its_address_is_being_lent_is_respected() {
    let mut world = mk_world(&[]);
    world.api.create_service(mk_service("s1"));
    while world.replicas[0].calls.is_empty() {
        assert!(world.deliver(0) || world.begin_call(0));
    }
    world.api.create_claim(mk_reservation("1.2.3.0", &["s2"]));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_pool_deleted_and_recreated_leaves_a_reserved_address_with_its_holder() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"])]);
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses.push("1000::/126".to_owned()));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    let pool = world.api.pools["pool"].clone();
    let written = world.api.services[&key("s1")].clone();
    world.api.delete_pool("pool");
    world.run(SOON);
    world.api.put_pool(pool);
    world.run(SOON);
    assert_eq!(world.api.services[&key("s1")], written);
    assert_eq!(warnings(&world).len(), 0);
    world.assert_at_rest();
}
