//! What a subnet keeps for itself: told at every pool that lists it, lent all the same.

use std::time::Duration;

use ferrolb_core::object::ResourceVersion;

use crate::objects::{asking, ip, key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// What a pool's condition Overlap says: whether it is True, why, and its version.
fn told(world: &World, pool: &str) -> (bool, String, String) {
    let status = world.api.pools[pool].status.clone().expect("a status");
    let overlap = status.overlap.expect("a condition");
    (overlap.status, overlap.reason, overlap.message)
}

fn warnings(world: &World) -> usize {
    let notices = world.replicas[0].notices.iter();
    notices.filter(|notice| notice.reason == "SubnetAddress").count()
}

/// The owner's speaker says where it announces.
fn announce(world: &mut World, address: &str, subnet: &str) {
    let subnet = subnet.parse().expect("a subnet");
    world.api.edit_claim(ip(address), |claim| {
        claim.has_owner = true;
        claim.subnet = Some(subnet);
    });
    world.run(SOON);
}

#[test]
fn each_pool_that_lists_an_end_of_a_subnet_is_told_and_lends_it_all_the_same() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("low", &["10.0.0.0-10.0.0.9"]));
    world.api.put_pool(mk_pool("high", &["10.0.0.250-10.0.0.255"]));
    world
        .api
        .put_pool(mk_pool("beside", &["10.0.1.0/24", "fd00::/120"]));
    world.api.create_service(asking(mk_service("s1"), "10.0.0.0"));
    world.api.create_service(asking(mk_service("s2"), "10.0.0.255"));
    world.run(SOON);
    assert!(
        !told(&world, "low").0 && !told(&world, "high").0,
        "nobody told a subnet yet"
    );
    announce(&mut world, "10.0.0.0", "10.0.0.0/24");
    let expected = |kept: &str| {
        let message = format!(
            "The pool lists {kept} of 10.0.0.0/24: exclude what a subnet keeps for itself, or its hosts may not \
             reach the Service that gets it"
        );
        (true, "SubnetAddress".to_owned(), message)
    };
    assert_eq!(told(&world, "low"), expected("10.0.0.0, the network address"));
    assert_eq!(
        told(&world, "high"),
        expected("10.0.0.255, the broadcast address")
    );
    assert!(!told(&world, "beside").0);
    assert_eq!(world.shown("s1"), ["10.0.0.0"]);
    assert_eq!(world.shown("s2"), ["10.0.0.255"]);
    assert_eq!(warnings(&world), 2);
    world.assert_at_rest();
    world.restart();
    world.run(SOON);
    assert_eq!(warnings(&world), 0, "it was said before");
    world.assert_at_rest();
}

#[test]
fn it_is_told_until_the_pool_does_not_lend_it_or_nobody_is_announced_there() {
    let mut world = World::serving(&["10.0.0.254-10.0.0.255"], &["s1"]);
    announce(&mut world, "10.0.0.254", "10.0.0.0/24");
    assert_eq!(told(&world, "pool").1, "SubnetAddress");
    let mut better = mk_pool("pool", &["10.0.0.254-10.0.0.255"]);
    better.spec.exclude = vec!["10.0.0.255".to_owned()];
    world.api.put_pool(better.clone());
    world.run(SOON);
    assert_eq!(told(&world, "pool").1, "NoOverlap", "it is excluded");
    better.spec.exclude.clear();
    better.spec.avoid_buggy_ips = true;
    world.api.put_pool(better);
    world.run(SOON);
    assert_eq!(told(&world, "pool").1, "NoOverlap", "it is never lent");
    world.api.put_pool(mk_pool("pool", &["10.0.0.254-10.0.0.255"]));
    world.run(SOON);
    assert_eq!(told(&world, "pool").1, "SubnetAddress");
    world.api.delete_service(&key("s1"));
    world
        .api
        .edit_claim(ip("10.0.0.254"), |claim| claim.has_owner = false);
    world.run(SOON);
    assert_eq!(
        told(&world, "pool").1,
        "NoOverlap",
        "no claim tells of the subnet"
    );
    world.assert_at_rest();
}

#[test]
fn an_owner_that_moves_within_its_subnet_writes_no_pool() {
    let mut world = World::serving(&["10.0.0.254-10.0.0.255"], &["s1"]);
    announce(&mut world, "10.0.0.254", "10.0.0.0/24");
    let version = |world: &World| -> ResourceVersion { world.api.pools["pool"].resource_version.clone() };
    let before = version(&world);
    for has_owner in [false, true] {
        world
            .api
            .edit_claim(ip("10.0.0.254"), |claim| claim.has_owner = has_owner);
        world.run(SOON);
    }
    announce(&mut world, "10.0.0.254", "10.0.0.0/24");
    assert_eq!(version(&world), before);
    assert_eq!(warnings(&world), 1);
    announce(&mut world, "10.0.0.254", "10.0.0.254/31");
    assert_eq!(
        told(&world, "pool").1,
        "NoOverlap",
        "a subnet for two hosts keeps nothing"
    );
    world.assert_at_rest();
}

#[test]
fn a_pool_that_overlaps_in_several_ways_says_all_of_them() {
    let mut world = World::new();
    world
        .api
        .put_pool(mk_pool("a", &["10.0.0.253-10.0.0.255", "fd00::-fd00::9"]));
    world.api.set_node("n1", Some([ip("10.0.0.254")].into()));
    world.api.create_service(mk_service("s1"));
    world.api.create_service(asking(mk_service("s2"), "10.0.0.255"));
    world.run(SOON);
    announce(&mut world, "10.0.0.253", "10.0.0.0/24");
    let (_, reason, message) = told(&world, "a");
    assert_eq!(reason, "NodeAddress", "the first of them gives the reason");
    assert!(
        message.contains("10.0.0.254, the address of Node n1"),
        "{message}"
    );
    assert!(
        message.contains("10.0.0.255, the broadcast address of 10.0.0.0/24"),
        "{message}"
    );
    announce(&mut world, "10.0.0.255", "fd00::/64");
    let (_, _, message) = told(&world, "a");
    assert!(
        message.contains("fd00::, the anycast address of the routers of fd00::/64"),
        "{message}"
    );
    world.assert_at_rest();
}
