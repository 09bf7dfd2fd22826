//! The finalizer: on whoever holds an address, if that is wanted, and never in the way.

use std::time::Duration;

use ferrolb_core::allocator::{Call, FinalizerEdit, Outcome};
use ferrolb_core::claim::ClaimState;
use ferrolb_core::request::{Eligibility, Ingress, ServiceStatus};

use crate::objects::{asking, ip, key, mk_pool, mk_service, resting};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// A controller that sets finalizers, and Service s1 at 1.2.3.0, for which a speaker answers.
fn mk_world() -> World {
    let mut world = World::new();
    world.restart_with(true);
    world.api.put_pool(resting(mk_pool("pool", &["1.2.3.0/30"]), 60));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world
        .api
        .edit_claim(ip("1.2.3.0"), |claim| claim.has_owner = true);
    world.run(SOON);
    world
}

fn has_finalizer(world: &World, name: &str) -> bool {
    world.api.services[&key(name)].status.has_finalizer
}

fn state(world: &World) -> Option<ClaimState> {
    world.api.claims[&ip("1.2.3.0")].spec.state
}

#[test]
fn the_write_that_shows_an_address_first_sets_the_finalizer() {
    let world = mk_world();
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert!(has_finalizer(&world, "s1"));
    let writes = world.api.writes.iter();
    let patches: Vec<_> = writes.filter(|write| write.starts_with("PatchService")).collect();
    assert_eq!(patches.len(), 1, "{patches:?}");
}

#[test]
fn who_waits_carries_no_finalizer() {
    let mut world = mk_world();
    world.api.create_service(asking(mk_service("s2"), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(world.reason("s2"), "AddressInUse");
    assert!(!has_finalizer(&world, "s2"));
    world.assert_at_rest();
}

#[test]
fn a_deleted_service_is_gone_once_nobody_answers_and_the_claim_rests_only_then() {
    let mut world = mk_world();
    world.api.delete_service(&key("s1"));
    world.settle();
    assert_eq!(world.shown("s1"), [""; 0], "status first");
    assert_eq!(state(&world), Some(ClaimState::Releasing));
    assert!(has_finalizer(&world, "s1"), "somebody still answers");
    world
        .api
        .edit_claim(ip("1.2.3.0"), |claim| claim.has_owner = false);
    while world.api.services.contains_key(&key("s1")) {
        assert_eq!(state(&world), Some(ClaimState::Releasing));
        assert!(world.step(0), "the Service is stuck");
    }
    world.settle();
    assert_eq!(state(&world), Some(ClaimState::Quarantined));
    world.run(Duration::from_secs(70));
    world.assert_at_rest();
}

#[test]
fn an_owner_that_does_not_answer_is_not_waited_for_longer() {
    let mut world = mk_world();
    world.api.delete_service(&key("s1"));
    world.run(Duration::from_secs(1));
    assert!(has_finalizer(&world, "s1"));
    world.run(Duration::from_secs(2));
    assert!(!world.api.services.contains_key(&key("s1")));
    assert_eq!(state(&world), Some(ClaimState::Quarantined));
}

#[test]
fn a_service_of_another_type_loses_it_too() {
    for is_restarted in [false, true] {
        let mut world = mk_world();
        if is_restarted {
            world.replicas.clear();
        }
        world.api.edit_service(&key("s1"), |service| {
            service.request.eligibility = Eligibility::NotLoadBalancer;
        });
        if is_restarted {
            world.restart();
        }
        world.settle();
        assert!(has_finalizer(&world, "s1"), "somebody still answers");
        assert_eq!(state(&world), Some(ClaimState::Releasing));
        world.run(SOON);
        assert!(!has_finalizer(&world, "s1"));
        assert_eq!(state(&world), Some(ClaimState::Quarantined));
        world.run(Duration::from_secs(70));
        world.assert_at_rest();
    }
}

#[test]
fn who_loses_its_address_loses_it_and_who_moves_keeps_it() {
    let mut world = mk_world();
    world.api.edit_service(&key("s1"), |service| {
        service.request = asking(mk_service("s1"), "1.2.3.3").request;
    });
    while world.step(0) {
        assert!(has_finalizer(&world, "s1"));
    }
    assert_eq!(world.shown("s1"), ["1.2.3.3"]);
    world.run(SOON);
    world.api.edit_pool("pool", |pool| {
        pool.spec.addresses = vec!["9.9.9.9".to_owned()];
    });
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    assert!(!has_finalizer(&world, "s1"));
    world.run(Duration::from_secs(70));
    world.assert_at_rest();
}

#[test]
fn without_the_option_it_is_taken_off_every_service_of_ours() {
    let mut world = mk_world();
    let mut foreign = mk_service("foreign");
    foreign.request.eligibility = Eligibility::ForeignClass;
    foreign.status.has_finalizer = true;
    world.api.create_service(foreign);
    // Of no class, and served by somebody else.
    let mut served = asking(mk_service("served"), "8.8.8.8");
    served.status.ingress = vec![Ingress::vip(ip("8.8.8.8"))];
    served.status.has_finalizer = true;
    world.api.create_service(served);
    let mut left = asking(mk_service("left"), "1.2.3.0");
    left.status.has_finalizer = true;
    world.api.create_service(left);
    world.run(SOON);
    world.restart_with(false);
    world.run(SOON);
    assert!(!has_finalizer(&world, "s1"));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    // We have never given it anything.
    assert!(has_finalizer(&world, "left"));
    assert!(has_finalizer(&world, "foreign"));
    assert!(has_finalizer(&world, "served"));
    // Somebody else sets it: no quarrel.
    let writes = world.api.writes.len();
    world
        .api
        .edit_service(&key("s1"), |service| service.status.has_finalizer = true);
    world.run(SOON);
    assert_eq!(world.api.writes.len(), writes);
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert!(
        !world.api.services.contains_key(&key("s1")),
        "but it is not stuck"
    );
}

#[test]
fn a_service_that_is_deleted_while_nobody_leads_is_not_stuck() {
    for service_finalizer in [true, false] {
        let mut world = mk_world();
        world.replicas.clear();
        world.api.delete_service(&key("s1"));
        world.restart_with(service_finalizer);
        world.run(SOON);
        assert!(!world.api.services.contains_key(&key("s1")));
        world.run(Duration::from_secs(70));
        world.assert_at_rest();
    }
}

#[test]
fn a_crash_between_any_two_writes_of_a_deletion_leaves_nobody_stuck() {
    for steps in 0..40 {
        for service_finalizer in [true, false] {
            let mut world = mk_world();
            world.api.delete_service(&key("s1"));
            for _ in 0..steps {
                if !world.step(0) {
                    world.run(Duration::from_millis(500));
                }
            }
            world.restart_with(service_finalizer);
            world.run(Duration::from_secs(70));
            assert_eq!(world.api.services.len(), 0, "after {steps} steps");
            assert_eq!(world.api.claims.len(), 0, "after {steps} steps");
            world.assert_at_rest();
        }
    }
}

#[test]
fn a_removal_that_was_lost_is_made_again() {
    for is_landed in [true, false] {
        let mut world = mk_world();
        world.api.delete_service(&key("s1"));
        let is_removal = |call: &Call| matches!(call, Call::PatchService(patch) if patch.finalizer == FinalizerEdit::Remove);
        while !world.replicas[0].calls.iter().any(|(_, call)| is_removal(call)) {
            while world.deliver(0) {}
            if world.replicas[0].calls.is_empty() {
                if !world.begin_call(0) {
                    world.advance(Duration::from_millis(100));
                }
            } else {
                world.finish_call(0, 0);
            }
        }
        let (id, call) = world.replicas[0].calls.remove(0);
        if is_landed {
            world.land(&call);
        }
        world.answer(0, id, Outcome::Unknown);
        world.run(Duration::from_secs(70));
        assert_eq!(world.api.services.len(), 0);
        world.assert_at_rest();
    }
}

#[test]
fn sharers_go_one_by_one_and_the_last_one_waits_until_nobody_answers() {
    for first in ["s1", "s2"] {
        let mut world = mk_world();
        world.api.edit_service(&key("s1"), |service| {
            service.request.sharing_key = Some("k".to_owned());
        });
        let mut other = mk_service("s2");
        other.request.sharing_key = Some("k".to_owned());
        other.request.ports[0].port = 81;
        world.api.create_service(other);
        world.run(SOON);
        assert_eq!(world.shown("s2"), ["1.2.3.0"]);
        assert!(has_finalizer(&world, "s2"));
        world.api.delete_service(&key(first));
        world.settle();
        assert!(
            !world.api.services.contains_key(&key(first)),
            "others go on answering"
        );
        assert_eq!(world.api.claims[&ip("1.2.3.0")].spec.holders.len(), 1);
        let second = if first == "s1" { "s2" } else { "s1" };
        world.api.delete_service(&key(second));
        world.settle();
        assert!(has_finalizer(&world, second), "somebody still answers");
        world.run(SOON);
        assert_eq!(world.api.services.len(), 0);
        world.run(Duration::from_secs(70));
        world.assert_at_rest();
    }
}

#[test]
fn sharers_that_are_deleted_together_go_together() {
    for steps in 0..30 {
        let mut world = mk_world();
        world.api.edit_service(&key("s1"), |service| {
            service.request.sharing_key = Some("k".to_owned());
        });
        let mut other = mk_service("s2");
        other.request.sharing_key = Some("k".to_owned());
        other.request.ports[0].port = 81;
        world.api.create_service(other);
        world.run(SOON);
        world.api.delete_service(&key("s1"));
        world.api.delete_service(&key("s2"));
        for _ in 0..steps {
            world.step(0);
        }
        if steps % 2 == 0 {
            world.restart_with(steps % 4 == 0);
        }
        world.run(SOON);
        assert_eq!(world.api.services.len(), 0, "after {steps} steps");
        world.run(Duration::from_secs(70));
        assert_eq!(world.api.claims.len(), 0);
        world.assert_at_rest();
    }
}

#[test]
fn a_service_of_another_type_whose_claim_somebody_deleted_is_not_stuck() {
    for service_finalizer in [true, false] {
        let mut world = mk_world();
        world.api.create_service(mk_service("s2"));
        world.run(SOON);
        world.replicas.clear();
        for name in ["s1", "s2"] {
            world.api.edit_service(&key(name), |service| {
                service.request.eligibility = Eligibility::NotLoadBalancer;
                service.status.ingress.clear();
            });
        }
        world.api.delete_service(&key("s1"));
        world.api.remove_claim(ip("1.2.3.0"));
        world.api.remove_claim(ip("1.2.3.1"));
        world.restart_with(service_finalizer);
        world.run(SOON);
        assert!(!world.api.services.contains_key(&key("s1")));
        assert_eq!(world.api.services[&key("s2")].status, ServiceStatus::default());
        world.assert_at_rest();
    }
}

#[test]
fn the_finalizer_of_a_load_balancer_that_has_not_shown_an_address_yet_stays() {
    let closed = || {
        let mut pool = mk_pool("closed", &["1.2.3.0/30"]);
        pool.spec.auto_assign = false;
        pool
    };
    let full = || mk_pool("full", &["1.2.3.0/32"]);
    for (service_finalizer, pool) in [true, false]
        .into_iter()
        .flat_map(|option| [None, Some(closed()), Some(full())].map(|pool| (option, pool)))
    {
        let mut world = World::new();
        world.restart_with(service_finalizer);
        let is_full = pool.as_ref().is_some_and(|pool| pool.name == "full".into());
        let has_pool = pool.is_some();
        if let Some(pool) = pool {
            world.api.put_pool(pool);
        }
        if is_full {
            world.api.create_service(mk_service("holder"));
            world.run(SOON);
        }
        let names = ["pending", "deleted", "retyped"];
        for name in names {
            let mut service = mk_service(name);
            service.status.has_finalizer = true;
            world.api.create_service(service);
        }
        let check = |world: &mut World| {
            world.run(SOON);
            for name in names {
                assert!(has_finalizer(world, name), "{name} with {service_finalizer}");
            }
            let writes = world
                .api
                .writes
                .iter()
                .filter(|write| write.starts_with("PatchService"));
            assert!(has_pool || writes.count() == 0, "{:?}", world.api.writes);
        };
        check(&mut world);
        world.restart_with(service_finalizer);
        check(&mut world);
        world.api.delete_service(&key("deleted"));
        world.api.edit_service(&key("retyped"), |service| {
            service.request.eligibility = Eligibility::NotLoadBalancer;
        });
        check(&mut world);
        world.restart_with(service_finalizer);
        check(&mut world);
    }
}
