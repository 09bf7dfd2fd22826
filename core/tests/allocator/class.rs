//! A Service whose class we handled once: flags changed while no controller was there.

use std::time::Duration;

use ferrolb_core::request::{Eligibility, Ingress};

use crate::objects::{ip, key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

const RESTED: Duration = Duration::from_secs(70);

/// `s1` holds 1.2.3.0, `s2` waits, and nobody leads.
fn mk_world(service_finalizer: bool) -> World {
    let mut world = World::new();
    world.restart_with(service_finalizer);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/32"]));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s2"), "PoolExhausted");
    world.replicas.clear();
    world
}

/// As a controller sees it that is started with other classes.
fn disown(world: &mut World, name: &str) {
    world.api.edit_service(&key(name), |service| {
        service.request.eligibility = Eligibility::ForeignClass;
    });
}

#[test]
fn all_that_is_ours_is_taken_off_and_the_address_goes_on() {
    for service_finalizer in [false, true] {
        let mut world = mk_world(service_finalizer);
        disown(&mut world, "s1");
        world.restart();
        world.run(RESTED);
        let service = &world.api.services[&key("s1")];
        assert_eq!(service.status, Default::default());
        assert_eq!(world.shown("s2"), ["1.2.3.0"]);
        world.assert_at_rest();
    }
}

#[test]
fn the_finalizer_goes_last_also_from_one_that_is_deleted() {
    let mut world = mk_world(true);
    world.api.delete_service(&key("s1"));
    disown(&mut world, "s1");
    world.restart_with(false);
    while world.step(0) {
        let is_there = world.api.services.contains_key(&key("s1"));
        let is_held = world.api.claims.values().any(|claim| claim.names(&key("s1")));
        assert!(is_there || !is_held);
    }
    world.run(RESTED);
    assert!(!world.api.services.contains_key(&key("s1")), "it is not stuck");
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn one_that_waited_in_vain_is_left_without_a_word() {
    let mut world = mk_world(false);
    disown(&mut world, "s2");
    world.restart();
    world.run(SOON);
    let service = &world.api.services[&key("s2")];
    assert_eq!(service.status, Default::default());
    world.assert_at_rest();
}

#[test]
fn what_another_load_balancer_has_put_there_since_stays() {
    let mut world = mk_world(true);
    disown(&mut world, "s1");
    let theirs = vec![Ingress::vip(ip("8.8.8.8"))];
    world
        .api
        .edit_service(&key("s1"), |service| service.status.ingress.clone_from(&theirs));
    world.restart();
    world.run(RESTED);
    let status = &world.api.services[&key("s1")].status;
    assert_eq!(status.ingress, theirs);
    assert_eq!((&status.condition, &status.allocated_from), (&None, &None));
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
    // And nobody looks at it again.
    let writes = world.api.writes.len();
    world
        .api
        .edit_service(&key("s1"), |service| service.status.has_finalizer = true);
    world.run(SOON);
    world.restart();
    world.run(SOON);
    assert_eq!(world.api.writes.len(), writes);
}

#[test]
fn handled_again_it_gets_its_address_back() {
    let mut world = mk_world(false);
    disown(&mut world, "s1");
    world.api.delete_service(&key("s2"));
    world.restart();
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    world.api.edit_service(&key("s1"), |service| {
        service.request.eligibility = Eligibility::Eligible;
    });
    world.restart();
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_crash_between_any_two_writes_leaves_nothing_behind() {
    for steps in 0..40 {
        let mut world = mk_world(true);
        disown(&mut world, "s1");
        world.restart();
        for _ in 0..steps {
            if !world.step(0) {
                world.run(Duration::from_millis(500));
            }
        }
        world.restart();
        world.run(RESTED);
        assert_eq!(world.api.services[&key("s1")].status, Default::default());
        assert_eq!(world.shown("s2"), ["1.2.3.0"], "after {steps} steps");
        world.assert_at_rest();
    }
}
