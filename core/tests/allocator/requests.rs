//! Services that ask for certain addresses: granted exactly, or refused with the reason.

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::claim::ClaimState;
use ferrolb_core::request::{AddressWish, FamilyPolicy, Service};

use crate::objects::{asking, from_pool, ip, key, mk_dual_service, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// Two pools of four, and a Service `first` that holds 1.2.3.0.
fn mk_world() -> World {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["1.2.3.0/30", "1000::/126"]));
    world.api.put_pool(mk_pool("b", &["3.4.5.0/30", "2000::/126"]));
    world.api.create_service(mk_service("first"));
    world.run(SOON);
    assert_eq!(world.shown("first"), ["1.2.3.0"]);
    world
}

fn by_field(mut service: Service, address: &str) -> Service {
    service.request.addresses = AddressWish::parse(Some(address), None);
    service
}

#[test]
fn an_address_asked_for_is_granted_by_field_and_by_annotation() {
    let mut world = mk_world();
    world.api.create_service(asking(mk_service("s1"), "3.4.5.2"));
    world.api.create_service(by_field(mk_service("s2"), "1.2.3.3"));
    world
        .api
        .create_service(from_pool(asking(mk_service("s3"), "3.4.5.3"), "b"));
    let dual = mk_dual_service("s4", FamilyPolicy::RequireDualStack, Family::V6);
    world.api.create_service(asking(dual, "2000::2, 3.4.5.1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["3.4.5.2"]);
    assert_eq!(world.shown("s2"), ["1.2.3.3"]);
    assert_eq!(world.shown("s3"), ["3.4.5.3"]);
    assert_eq!(world.shown("s4"), ["3.4.5.1", "2000::2"]);
    world.assert_at_rest();
}

#[test]
fn a_closed_pool_grants_an_address_that_is_asked_for() {
    let mut world = mk_world();
    world.api.edit_pool("b", |pool| pool.spec.auto_assign = false);
    world.api.create_service(asking(mk_service("s1"), "3.4.5.2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["3.4.5.2"]);
    world.assert_at_rest();
}

#[test]
fn a_wish_that_cannot_be_granted_is_refused_with_the_reason() {
    let invalid = |name| {
        let mut service = mk_service(name);
        service.request.addresses = AddressWish::parse(Some("1.2.3.1"), Some("1.2.3.2"));
        service
    };
    let dual = |name| mk_dual_service(name, FamilyPolicy::RequireDualStack, Family::V4);
    let mut single = dual("single");
    single.request.cluster_ips.pop();
    for (service, reason, message) in [
        (
            asking(mk_service("s"), "1.2.3.0"),
            "AddressInUse",
            "The Service asks for 1.2.3.0, which is held by default/first",
        ),
        (
            asking(mk_service("s"), "9.9.9.9"),
            "AddressNotInPool",
            "The Service asks for 9.9.9.9, which no pool lends (tried pools a, b): ask for another, or add it to a \
             pool",
        ),
        (
            from_pool(asking(mk_service("s"), "1.2.3.1"), "b"),
            "AddressInOtherPool",
            "The Service asks for 1.2.3.1 and for pool b, but the address is in pool a",
        ),
        (
            from_pool(mk_service("s"), "c"),
            "PoolNotFound",
            "The Service asks for pool c, which does not exist: there are pools a, b",
        ),
        (
            asking(dual("s"), "1.2.3.1,2000::1"),
            "AddressesInTwoPools",
            "The addresses asked for lie in two pools (1.2.3.1 in pool a, 2000::1 in pool b): ask for two of one \
             pool",
        ),
        (
            asking(mk_service("s"), "1000::1"),
            "FamilyMismatch",
            "The addresses asked for are IPv6, the Service is IPv4: ask for one address of each of its families",
        ),
        (
            asking(dual("s"), "1.2.3.1"),
            "FamilyMismatch",
            "The addresses asked for are IPv4, the Service is IPv4 and IPv6: ask for one address of each of its \
             families",
        ),
        (
            single,
            "SingleClusterIP",
            "ipFamilyPolicy is RequireDualStack, but the Service has a cluster IP of IPv4 only",
        ),
        (
            invalid("s"),
            "ConflictingRequest",
            "spec.loadBalancerIP asks for 1.2.3.1 and the load-balancer-ips annotation for 1.2.3.2: remove one of \
             them",
        ),
        (
            asking(mk_service("s"), "1.2.3.1,nonsense"),
            "InvalidAddress",
            "the load-balancer-ips annotation says \"nonsense\", which is no address: write one address per family",
        ),
    ] {
        let mut world = mk_world();
        let name = service.key.name.clone();
        world.api.create_service(service);
        world.run(SOON);
        assert_eq!(world.shown(&name), [""; 0], "{reason}");
        assert_eq!(world.reason(&name), reason);
        assert_eq!(world.message(&name), message);
        let warnings = world.replicas[0]
            .notices
            .iter()
            .filter(|notice| notice.is_warning)
            .count();
        assert_eq!(warnings, 1, "one Warning for {reason}");
        world.assert_at_rest();
    }
}

#[test]
fn an_address_in_use_is_granted_once_it_is_free() {
    let mut world = mk_world();
    world.api.create_service(asking(mk_service("s1"), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(world.reason("s1"), "AddressInUse");
    world.api.delete_service(&key("first"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_resting_address_is_refused_to_others_and_given_back_to_whom_it_rests_for() {
    let mut world = mk_world();
    world
        .api
        .edit_pool("a", |pool| pool.spec.quarantine = Duration::from_secs(60));
    world.run(SOON);
    world.api.delete_service(&key("first"));
    world.run(SOON);
    world.api.create_service(asking(mk_service("other"), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(
        world.message("other"),
        "The Service asks for 1.2.3.0, which was held by default/first and rests before it is lent again"
    );
    world.api.create_service(mk_service("first"));
    world.run(SOON);
    assert_eq!(world.shown("first"), ["1.2.3.0"]);
    world.api.delete_service(&key("first"));
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("other"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_refused_wish_keeps_what_is_held_and_a_granted_one_moves() {
    let mut world = mk_world();
    for (text, reason) in [
        ("9.9.9.9", "AddressNotInPool"),
        ("nonsense", "InvalidAddress"),
        ("1000::1", "FamilyMismatch"),
    ] {
        world.api.edit_service(&key("first"), |service| {
            service.request.addresses = AddressWish::parse(None, Some(text));
        });
        world.run(SOON);
        assert_eq!(world.shown("first"), ["1.2.3.0"], "{text}");
        assert_eq!(world.reason("first"), reason);
        world.assert_at_rest();
    }
    world.api.edit_service(&key("first"), |service| {
        service.request.addresses = AddressWish::parse(None, Some("3.4.5.3"));
    });
    world.run(SOON);
    assert_eq!(world.shown("first"), ["3.4.5.3"]);
    assert_eq!(world.message("first"), "3.4.5.3 from pool b");
    assert!(!world.api.claims.contains_key(&ip("1.2.3.0")));
    world.assert_at_rest();
}

/// Once each of the two woke the other for ever: the Service that waits for one address, and the
/// address that it had before and that its owner has not withdrawn yet.
#[test]
fn waiting_for_an_address_while_the_former_one_is_released_keeps_nobody_busy() {
    let mut world = mk_world();
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world
        .api
        .edit_claim(ip("1.2.3.1"), |claim| claim.has_owner = true);
    world.api.edit_service(&key("s1"), |service| {
        service.request.addresses = AddressWish::parse(None, Some("1.2.3.0"));
    });
    world
        .api
        .edit_pool("a", |pool| pool.spec.exclude = vec!["1.2.3.1".to_owned()]);
    world.settle();
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.reason("s1"), "AddressInUse");
    let releasing = &world.api.claims[&ip("1.2.3.1")];
    assert_eq!(releasing.spec.state, Some(ClaimState::Releasing));
    let before = world.replicas[0].allocator.work();
    assert!(!world.begin_call(0));
    let timeout = world.replicas[0].allocator.poll_timeout();
    assert_eq!(timeout, Some(world.now.time + Duration::from_secs(2)));
    assert_eq!(world.replicas[0].allocator.work(), before);
    world.run(SOON);
    assert!(!world.api.claims.contains_key(&ip("1.2.3.1")));
    world.assert_at_rest();
}

#[test]
fn two_that_wait_for_each_others_released_address_keep_nobody_busy() {
    let mut world = mk_world();
    world.api.create_service(mk_service("second"));
    world.run(SOON);
    for address in ["1.2.3.0", "1.2.3.1"] {
        world.api.edit_claim(ip(address), |claim| claim.has_owner = true);
    }
    world.api.delete_service(&key("first"));
    world.api.delete_service(&key("second"));
    world.settle();
    world.api.create_service(asking(mk_service("first"), "1.2.3.1"));
    world.api.create_service(asking(mk_service("second"), "1.2.3.0"));
    world.settle();
    assert_eq!(world.reason("first"), "AddressInUse");
    assert_eq!(world.reason("second"), "AddressInUse");
    world.run(SOON);
    assert_eq!(world.shown("first"), ["1.2.3.1"]);
    assert_eq!(world.shown("second"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn the_reason_follows_whichever_of_two_addresses_is_in_use() {
    let mut world = mk_world();
    let mut six = mk_service("six");
    six.request.cluster_ips = vec![ip("fd00::1")];
    world.api.create_service(asking(six, "1000::1"));
    let dual = mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V4);
    world.api.create_service(asking(dual, "1.2.3.1,1000::1"));
    world.run(SOON);
    assert_eq!(
        world.message("s1"),
        "The Service asks for 1000::1, which is held by default/six"
    );
    world.api.create_service(asking(mk_service("s2"), "1.2.3.1"));
    world.run(SOON);
    assert_eq!(
        world.message("s1"),
        "The Service asks for 1.2.3.1, which is held by default/s2"
    );
    world.assert_at_rest();
}
