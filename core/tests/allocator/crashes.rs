//! What random histories found, each as an example: lost writes, restarts at a bad moment.

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::allocator::{Call, CallId, Outcome};
use ferrolb_core::request::{Eligibility, FamilyPolicy};

use crate::objects::{asking, ip, key, mk_dual_service, mk_pool, mk_service};
use crate::world::{Kind, Replica, World};

const SOON: Duration = Duration::from_secs(5);

/// Works until a call of some kind is under way, and takes it.
fn take_call(world: &mut World, is_wanted: impl Fn(&Call) -> bool) -> (CallId, Call) {
    for _ in 0..100 {
        while world.deliver(0) {}
        if !world.begin_call(0) {
            world.finish_call(0, 0);
        }
        let calls = &mut world.replicas[0].calls;
        if let Some(place) = calls.iter().position(|(_, call)| is_wanted(call)) {
            return calls.remove(place);
        }
    }
    panic!("no such call was made");
}

#[test]
fn a_creation_that_was_lost_is_made_again() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.api.create_service(mk_service("s1"));
    let (id, _) = take_call(&mut world, |call| matches!(call, Call::CreateClaim(_)));
    world.answer(0, id, Outcome::Unknown);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_service_that_waited_in_vain_and_is_changed_to_another_type_loses_its_condition() {
    let mut world = World::new();
    world.api.create_service(mk_service("s1"));
    let mut closed = mk_pool("pool", &["1.2.3.0/30"]);
    closed.spec.auto_assign = false;
    world.api.put_pool(closed);
    world.run(SOON);
    assert_eq!(world.reason("s1"), "NoAutoAssignPool");
    world.api.edit_service(&key("s1"), |service| {
        service.request.eligibility = Eligibility::NotLoadBalancer;
    });
    world.run(SOON);
    assert_eq!(world.api.services[&key("s1")].status.condition, None);
    world.assert_at_rest();
}

#[test]
fn a_pool_deleted_twice_within_its_grace_is_gone_in_the_end() {
    let mut world = World::serving(&["1.2.3.0/30"], &["s1"]);
    world.api.delete_pool("pool");
    world.run(SOON);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.run(Duration::from_secs(1));
    world.api.delete_pool("pool");
    world.run(Duration::from_secs(9));
    assert_eq!(world.shown("s1"), ["1.2.3.0"], "the grace begins anew");
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.api.claims.len(), 0);
    world.assert_at_rest();
}

#[test]
fn a_crash_between_the_two_addresses_asked_for_leaves_neither_out() {
    for wish in [Some("1.2.3.1,1000::1"), None] {
        let mut world = World::new();
        world.api.put_pool(mk_pool("pool", &["1.2.3.0/30", "1000::/126"]));
        let mut service = mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V4);
        if let Some(wish) = wish {
            service = asking(service, wish);
        }
        world.api.create_service(service);
        let (_, first) = take_call(&mut world, |call| matches!(call, Call::CreateClaim(_)));
        world.land(&first);
        assert_eq!(world.api.claims.len(), 1);
        world.restart();
        world.run(SOON);
        let expected = if wish.is_some() {
            ["1.2.3.1", "1000::1"]
        } else {
            ["1.2.3.0", "1000::"]
        };
        assert_eq!(world.shown("s1"), expected);
        world.assert_at_rest();
    }
}

#[test]
fn who_prefers_both_families_gets_the_second_once_the_pool_has_it() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["192.168.10.100/32"]));
    world.api.put_pool(mk_pool("zoo", &["fd00::/126"]));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["192.168.10.100"], "never from another pool");
    assert_eq!(world.reason("s1"), "Assigned");
    let uid = world.api.claims[&ip("192.168.10.100")].uid.clone();
    world.api.edit_pool("pool", |pool| {
        pool.spec.addresses.push("fc00:f853:ccd:e799::/124".to_owned());
    });
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["192.168.10.100", "fc00:f853:ccd:e799::"]);
    assert_eq!(
        world.api.claims[&ip("192.168.10.100")].uid,
        uid,
        "the first is not touched"
    );
    world.assert_at_rest();
}

#[test]
fn an_address_that_a_former_leader_may_yet_show_is_not_let_go() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.api.create_service(mk_service("s1"));
    let (_, late) = take_call(&mut world, |call| matches!(call, Call::PatchService(_)));
    world.api.delete_pool("pool");
    world.restart();
    world.advance(Duration::from_secs(11));
    while world.api.claims[&ip("1.2.3.0")].names(&key("s1")) {
        assert!(world.step(0), "the address is never let go");
    }
    let outcome = world.land(&late);
    assert_eq!(outcome, Outcome::Conflict);
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s1"), [""; 0]);
    world.assert_at_rest();
}

#[test]
fn a_claim_made_and_deleted_by_hand_while_the_watch_was_cut_is_made_anew() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.api.create_service(mk_service("s1"));
    let (id, call) = take_call(&mut world, |call| matches!(call, Call::CreateClaim(_)));
    let outcome = world.land(&call);
    world.answer(0, id, outcome);
    world.api.remove_claim(ip("1.2.3.0"));
    world.replicas[0].relist(&world.api, world.now);
    world.run(SOON);
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    world.assert_at_rest();
}

#[test]
fn who_has_one_family_and_requires_both_waits_for_the_other_alone() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/32", "1000::/128"]));
    let mut first = mk_service("s1");
    first.request.cluster_ips = vec![ip("fd00::1")];
    world.api.create_service(first);
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1000::"]);
    let both = mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V6).request;
    world
        .api
        .edit_service(&key("s1"), |service| service.request = both);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1000::"]);
    assert_eq!(world.reason("s1"), "PoolExhausted");
    world.api.delete_service(&key("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0", "1000::"]);
    world.assert_at_rest();
}

#[test]
fn a_former_leader_that_meets_another_version_lets_nothing_go() {
    let mut world = World::serving(&["1.2.3.0/30"], &["s1"]);
    world.api.delete_pool("pool");
    world.settle();
    world.advance(Duration::from_secs(11));
    // The old leader takes the address off the status, and is about to let it go.
    while world.shown("s1") != [""; 0] {
        world.step(0);
    }
    world.depose();
    world
        .replicas
        .push(Replica::start(&world.api, world.options, world.now));
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    while world.shown("s1") != ["1.2.3.0"] {
        world.step(1);
        world.step(0);
    }
    for _ in 0..20 {
        world.step(0);
    }
    world.replicas.remove(0);
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    world.run(SOON);
    world.assert_at_rest();
}

#[test]
fn a_former_leader_that_has_met_a_write_of_its_successor_lets_nothing_go() {
    let mut world = World::new();
    let mut pool = mk_pool("pool", &["1.2.3.0/30"]);
    pool.spec.auto_assign = false;
    world.api.put_pool(pool);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.reason("s1"), "NoAutoAssignPool");
    world.api.edit_pool("pool", |pool| pool.spec.auto_assign = true);
    while world.deliver(0) {}
    world
        .api
        .edit_service(&key("s1"), |service| service.request.ports.clear());
    world.depose();
    world
        .replicas
        .push(Replica::start(&world.api, world.options, world.now));
    // The successor has the claim, and its write of the status is under way.
    while !matches!(world.replicas[1].calls.first(), Some((_, Call::PatchService(_)))) {
        if world.replicas[1].calls.is_empty() {
            assert!(world.begin_call(1) || world.deliver(1), "it writes nothing");
        } else {
            world.finish_call(1, 0);
        }
    }
    // The pool no longer has the address, as the old leader learns from writing its status.
    world.api.edit_pool("pool", |pool| {
        pool.spec.addresses = vec!["9.9.9.0/30".to_owned()];
    });
    for _ in 0..40 {
        world.step(0);
    }
    world.finish_call(1, 0);
    world.replicas.remove(0);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["9.9.9.0"]);
    world.assert_at_rest();
}

#[test]
fn a_service_of_another_type_loses_its_marks_also_if_somebody_empties_the_claim_before_they_are_found() {
    let mut world = World::serving(&["1.2.3.0/31"], &["s1"]);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    // The next controller knows the claim, and not the Service.
    world.is_vandalized = true;
    world.replicas.clear();
    world.api.edit_service(&key("s1"), |service| {
        service.request.eligibility = Eligibility::NotLoadBalancer;
    });
    let replica = Replica::start(&world.api, world.options, world.now);
    world.replicas.push(replica);
    world
        .api
        .edit_claim(ip("1.2.3.0"), |claim| claim.spec.holders.clear());
    world.run(SOON);
    let service = &world.api.services[&key("s1")];
    assert_eq!(service.status.allocated_from, None);
    assert_eq!(service.status.condition, None);
}

#[test]
fn a_leader_that_knows_only_a_headless_predecessor_takes_nothing_from_its_successor() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    let mut headless = mk_service("s1");
    headless.request.cluster_ips.clear();
    world.api.create_service(headless);
    world.run(SOON);
    world.api.delete_service(&key("s1"));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    // It knows the claim, and of Services neither the deletion nor anything after it.
    let lags = Kind::ALL.map(|kind| if kind == Kind::Service { 3 } else { 0 });
    let late = Replica::promote(&world.api, lags, world.options, world.now);
    world.replicas = vec![late];
    for _ in 0..20 {
        if !world.begin_call(0) {
            break;
        }
        world.finish_call(0, 0);
    }
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_deletion_that_is_shown_twice_leaves_no_condition_behind() {
    let mut world = World::new();
    let mut closed = mk_pool("pool", &["1.2.3.0/30"]);
    closed.spec.auto_assign = false;
    world.api.put_pool(closed);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.delete_service(&key("s1"));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.reason("s1"), "NoAutoAssignPool");
    // The watch goes back, and shows that the first one was deleted, and the second as it was made.
    world.replicas[0].rewind(&world.api, Kind::Service, 3);
    world.deliver_one(0, Kind::Service);
    world.deliver_one(0, Kind::Service);
    world.api.edit_service(&key("s1"), |service| {
        service.request.eligibility = Eligibility::NotLoadBalancer;
    });
    world.replicas[0].relist(&world.api, world.now);
    world.run(SOON);
    assert_eq!(world.api.services[&key("s1")].status.condition, None);
    world.assert_at_rest();
}
