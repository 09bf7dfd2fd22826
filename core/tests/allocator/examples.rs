//! The examples of the rule book that concern lending without sharing or pinning.

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::pool::Capacity;
use ferrolb_core::request::FamilyPolicy;

use crate::objects::{from_pool, ip, key, mk_dual_service, mk_pool, mk_service, resting};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

fn create(world: &mut World, names: &[&str]) {
    for name in names {
        world.api.create_service(mk_service(name));
    }
}

#[test]
fn the_first_service_gets_the_first_address() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/24"]));
    create(&mut world, &["s1"]);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s1"), "Assigned");
    assert_eq!(world.message("s1"), "1.2.3.0 from pool pool");
    world.assert_at_rest();
}

#[test]
fn services_are_served_in_order_and_a_freed_address_serves_who_waits_longest() {
    let mut world = World::new();
    world
        .api
        .put_pool(mk_pool("pool", &["1.2.3.4/31", "1.2.3.10/31"]));
    create(&mut world, &["s1", "s2", "s3", "s4", "s5", "s6"]);
    world.run(SOON);
    let shown: Vec<_> = ["s1", "s2", "s3", "s4"]
        .map(|name| world.shown(name).join(" "))
        .into();
    assert_eq!(shown, ["1.2.3.4", "1.2.3.5", "1.2.3.10", "1.2.3.11"]);
    for waiting in ["s5", "s6"] {
        assert_eq!(world.shown(waiting), [""; 0]);
        assert_eq!(world.reason(waiting), "PoolExhausted");
        assert_eq!(world.message(waiting), "No IPv4 address: pool pool has none free");
    }
    world.api.delete_service(&key("s1"));
    world.run(Duration::from_secs(1));
    assert_eq!(world.shown("s5"), ["1.2.3.4"]);
    assert_eq!(world.shown("s6"), [""; 0]);
    world.assert_at_rest();
}

#[test]
fn pools_are_filled_by_name_and_closed_ones_only_on_request() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("p1", &["1.2.3.0/31"]));
    world.api.put_pool(mk_pool("p2", &["1.2.4.0/31"]));
    create(&mut world, &["s1", "s2", "s3", "s4", "s5"]);
    world.run(SOON);
    assert_eq!(world.shown("s4"), ["1.2.4.1"]);
    assert_eq!(world.shown("s5"), [""; 0]);
    world.assert_at_rest();

    let mut world = World::new();
    let mut closed = mk_pool("p1", &["1.2.3.0/31"]);
    closed.spec.auto_assign = false;
    world.api.put_pool(closed);
    world.api.put_pool(mk_pool("p2", &["1.2.4.0/31"]));
    create(&mut world, &["s1", "s2", "s3"]);
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.4.1"]);
    assert_eq!(world.shown("s3"), [""; 0]);
    world
        .api
        .edit_service(&key("s3"), |service| service.request.pool = Some("p1".into()));
    world.run(SOON);
    assert_eq!(world.shown("s3"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn buggy_addresses_are_lent_only_by_pools_that_do_not_avoid_them() {
    let mut world = World::new();
    for (name, entry, avoids) in [
        ("a", "1.2.3.0/31", false),
        ("b", "1.2.3.254/31", false),
        ("c", "1.2.4.0/31", true),
        ("d", "1.2.4.254/31", true),
    ] {
        let mut pool = mk_pool(name, &[entry]);
        pool.spec.avoid_buggy_ips = avoids;
        world.api.put_pool(pool);
    }
    let names = ["s1", "s2", "s3", "s4", "s5", "s6", "s7"];
    create(&mut world, &names);
    world.run(SOON);
    let shown: Vec<_> = names.map(|name| world.shown(name).join(" ")).into();
    assert_eq!(
        shown,
        [
            "1.2.3.0",
            "1.2.3.1",
            "1.2.3.254",
            "1.2.3.255",
            "1.2.4.1",
            "1.2.4.254",
            ""
        ]
    );
    world.assert_at_rest();
}

#[test]
fn a_service_that_names_another_pool_moves_there_and_keeps_the_old_address_until_then() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool1", &["1.2.3.0/24"]));
    world.api.put_pool(mk_pool("pool2", &["3.4.5.6/32"]));
    create(&mut world, &["s1"]);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world
        .api
        .edit_service(&key("s1"), |service| service.request.pool = Some("pool2".into()));
    while world.shown("s1") == ["1.2.3.0"] {
        let old = &world.api.claims[&ip("1.2.3.0")];
        assert!(
            old.names(&key("s1")),
            "the old address is held until the new one is shown"
        );
        assert!(world.step(0), "the service never moves");
    }
    assert_eq!(world.shown("s1"), ["3.4.5.6"]);
    world.run(SOON);
    assert!(!world.api.claims.contains_key(&ip("1.2.3.0")));
    world.assert_at_rest();
}

#[test]
fn a_restart_changes_no_address_and_settles_what_happened_meanwhile() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/29"]));
    let names = ["s1", "s2", "s3", "s4", "s5"];
    create(&mut world, &names);
    world.run(SOON);
    let before: Vec<_> = names.map(|name| world.shown(name)).into();
    let writes = world.api.writes.len();
    world.restart();
    world.run(SOON);
    assert_eq!(before, names.map(|name| world.shown(name)));
    assert_eq!(world.api.writes.len(), writes, "a restart writes nothing");

    world.replicas.clear();
    world.api.delete_service(&key("s2"));
    create(&mut world, &["s6"]);
    world.restart();
    world.run(SOON);
    assert_eq!(world.shown("s1"), before[0]);
    assert_eq!(world.shown("s6"), ["1.2.3.5"]);
    assert!(!world.api.claims.contains_key(&ip("1.2.3.1")));
    world.assert_at_rest();
}

#[test]
fn both_families_come_from_one_pool_and_ipv4_is_shown_first() {
    for first in Family::ALL {
        let mut world = World::new();
        world.api.put_pool(mk_pool("both", &["1.2.3.0/31", "1000::/127"]));
        let service = mk_dual_service("s1", FamilyPolicy::RequireDualStack, first);
        world.api.create_service(service);
        world.run(SOON);
        assert_eq!(world.shown("s1"), ["1.2.3.0", "1000::"]);
        world.assert_at_rest();
    }
}

#[test]
fn both_families_or_nothing_when_both_are_required() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("v4", &["1.2.3.0/31"]));
    world.api.put_pool(mk_pool("v6", &["1000::/127"]));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.reason("s1"), "NoDualStackPool");
    assert_eq!(
        world.message("s1"),
        "No IPv4 and IPv6 address together: pool v4 has no IPv6 addresses; pool v6 has no IPv4 addresses"
    );
    world.assert_at_rest();
}

#[test]
fn a_pools_counts_follow_what_is_lent_added_and_rested() {
    let mut world = World::new();
    let mut pool = resting(mk_pool("pool", &["192.168.10.0/30", "fc00::/126"]), 60);
    world.api.put_pool(pool.clone());
    let available = |world: &World| {
        let status = world.api.pools["pool"].status.clone().expect("a status");
        (status.v4.available, status.v6.available)
    };
    world.run(SOON);
    assert_eq!(available(&world), (4, 4));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(available(&world), (3, 3));
    pool.spec.addresses = vec!["192.168.10.0/29".to_owned(), "fc00::/125".to_owned()];
    world.api.put_pool(pool);
    world.run(SOON);
    assert_eq!(available(&world), (7, 7));
    assert_eq!(world.shown("s1"), ["192.168.10.0", "fc00::"]);
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    let status = world.api.pools["pool"].status.clone().expect("a status");
    let resting = Capacity {
        total: 8,
        assigned: 0,
        reserved: 0,
        quarantined: 1,
        available: 7,
    };
    assert_eq!((status.v4, status.v6), (resting, resting));
    world.run(Duration::from_secs(60));
    assert_eq!(available(&world), (8, 8));
    world.api.edit_pool("pool", |pool| pool.spec.auto_assign = false);
    world.run(SOON);
    world.assert_at_rest();
}

#[test]
fn a_pool_of_the_services_choice_is_obeyed_at_once() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["1.2.3.0/31"]));
    world.api.put_pool(mk_pool("b", &["1.2.4.0/31"]));
    world.api.create_service(from_pool(mk_service("s1"), "b"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.4.0"]);
    world.assert_at_rest();
}
