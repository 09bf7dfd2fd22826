//! Those that wait until they can share, and what wakes them.

use super::*;

#[test]
fn who_waits_for_an_exhausted_pool_is_woken_when_it_can_share() {
    let mut world = mk_world("1.2.3.0/32", &["s1", "s2"]);
    for (name, tcp) in [("w1", 80), ("w2", 80), ("w3", 81)] {
        world.api.create_service(mk_sharer(name, "k", tcp));
    }
    world.run(SOON);
    for waiting in ["w1", "w2", "w3"] {
        assert_eq!(world.shown(waiting), NOTHING);
    }
    // A holder leaves: its port is free, though no address is.
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(world.shown("w1"), ["1.2.3.0"]);
    // A holder changes.
    edit(&mut world, "s2", |service| {
        service.request.ports = port(Protocol::Tcp, 99);
    });
    assert_eq!(world.shown("w3"), ["1.2.3.0"]);
    assert_eq!(world.shown("w2"), NOTHING, "its port is used");
    world.assert_at_rest();
}

#[test]
fn two_ports_freed_at_once_serve_two_that_wait_alike() {
    let mut world = mk_world("1.2.3.0/31", &[]);
    for (name, tcp) in [("a", 80), ("b", 80), ("c", 81), ("d", 81), ("w1", 80), ("w2", 80)] {
        world.api.create_service(mk_sharer(name, "k", tcp));
    }
    world.run(SOON);
    assert_eq!((world.shown("w1"), world.shown("w2")), (vec![], vec![]));
    world.api.delete_service(&key("a"));
    world.api.delete_service(&key("b"));
    world.run(SOON);
    assert_eq!(world.shown("w1"), ["1.2.3.0"]);
    assert_eq!(world.shown("w2"), ["1.2.3.1"]);
    world.assert_at_rest();
}

/// The one that is woken for a free address shares another one instead: the next gets the free one.
#[test]
fn an_address_freed_for_one_that_shares_another_goes_to_the_next() {
    let mut world = World::new();
    world.api.put_pool(resting(mk_pool("pool", &["1.2.3.0/31"]), 10));
    world.api.create_service(mk_sharer("a", "k", 80));
    world.api.create_service(mk_service("b"));
    world.run(SOON);
    world.api.create_service(mk_sharer("w1", "k", 80));
    world.api.create_service(mk_service("w2"));
    world.api.delete_service(&key("b"));
    world.run(SOON);
    assert_eq!((world.shown("w1"), world.shown("w2")), (vec![], vec![]));
    // In one step the address is free, and the other one can be shared.
    world.advance(Duration::from_secs(11));
    world.api.edit_service(&key("a"), |service| {
        service.request.ports = port(Protocol::Tcp, 99);
    });
    world.run(SOON);
    assert_eq!(world.shown("w1"), ["1.2.3.0"]);
    assert_eq!(world.shown("w2"), ["1.2.3.1"]);
    world.assert_at_rest();
}

/// It has one family to share and waits for the other.
#[test]
fn who_requires_both_families_is_woken_when_the_one_that_is_missing_is_freed() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/32", "1000::/128"]));
    world.api.create_service(mk_sharer("four", "k", 80));
    let mut six = mk_service("six");
    six.request.cluster_ips = vec![ip("fd00::1")];
    six.request.primary_family = Some(Family::V6);
    world.api.create_service(six);
    world.run(SOON);
    let mut dual = mk_dual_service("d", FamilyPolicy::RequireDualStack, Family::V4);
    dual.request.sharing_key = Some("k".to_owned());
    dual.request.ports = port(Protocol::Tcp, 81);
    world.api.create_service(dual);
    world.run(SOON);
    assert_eq!(world.shown("d"), NOTHING);
    world.api.delete_service(&key("six"));
    world.run(SOON);
    assert_eq!(world.shown("d"), ["1.2.3.0", "1000::"]);
    world.assert_at_rest();
}
