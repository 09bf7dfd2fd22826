//! How much of a pool a namespace may have.

use super::*;

#[test]
fn a_namespace_gets_as_many_addresses_as_the_quota_says() {
    let mut world = World::new();
    world.api.put_pool(with_quota(mk_pool("a", &["10.0.0.0/29"]), 2));
    for name in ["s1", "s2", "s3"] {
        world.api.create_service(mk_service(name));
    }
    world.api.create_service(in_namespace(mk_service("s4"), "other"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["10.0.0.1"]);
    assert_eq!(world.shown("s3"), [""; 0]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    assert_eq!(
        world.message("s3"),
        "No IPv4 address: pool a lends a namespace at most 2 addresses (allocation.maxPerNamespace), and none is \
         left for default"
    );
    assert_eq!(world.api.shown(&ServiceKey::new("other", "s4")), ["10.0.0.2"]);
    world.assert_at_rest();
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s3"), ["10.0.0.3"]);
    world.assert_at_rest();
}

#[test]
fn a_smaller_quota_takes_nothing_away_and_a_greater_one_serves_who_waits() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["10.0.0.0/29"]));
    for name in ["s1", "s2"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    world
        .api
        .edit_pool("a", |pool| *pool = with_quota(pool.clone(), 1));
    world.api.create_service(asking(mk_service("s3"), "10.0.0.5"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["10.0.0.1"]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    world.assert_at_rest();
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(
        world.reason("s3"),
        "QuotaExceeded",
        "one is held, and one is allowed"
    );
    world.assert_at_rest();
    world
        .api
        .edit_pool("a", |pool| *pool = with_quota(pool.clone(), 2));
    world.run(SOON);
    assert_eq!(world.shown("s3"), ["10.0.0.5"]);
    world.assert_at_rest();
}

#[test]
fn a_pool_whose_quota_is_used_up_gives_way_to_the_next() {
    let mut world = World::new();
    world.api.put_pool(with_quota(mk_pool("a", &["10.0.0.0/29"]), 1));
    world.api.put_pool(mk_pool("b", &["10.0.1.0/32"]));
    for name in ["s1", "s2", "s3"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0"]);
    assert_eq!(world.shown("s2"), ["10.0.1.0"]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    world.assert_at_rest();
}

#[test]
fn a_move_within_a_namespace_needs_no_room_for_two() {
    let mut world = World::new();
    world.api.put_pool(with_quota(mk_pool("a", &["10.0.0.0/29"]), 1));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.edit_service(&key("s1"), |service| {
        *service = asking(service.clone(), "10.0.0.4");
    });
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.4"]);
    world.assert_at_rest();
}

/// Both queues are served: those that any open pool can serve, and those of one pool.
#[test]
fn a_freed_address_is_not_lost_on_who_may_not_have_it() {
    let mut world = World::new();
    world.api.put_pool(with_quota(mk_pool("a", &["10.0.0.0/31"]), 1));
    world.api.create_service(mk_service("s1"));
    world.api.create_service(in_namespace(mk_service("s2"), "other"));
    world.run(SOON);
    // The oldest of those that wait are of a namespace whose quota is used up.
    world.api.create_service(mk_service("s3"));
    world.api.create_service(mk_service("s4"));
    world.api.create_service(in_namespace(mk_service("s5"), "third"));
    world.run(SOON);
    world.api.delete_service(&ServiceKey::new("other", "s2"));
    world.run(SOON);
    assert_eq!(world.api.shown(&ServiceKey::new("third", "s5")), ["10.0.0.1"]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    world.assert_at_rest();
}
