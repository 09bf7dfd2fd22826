//! Size must not matter: neither that of a pool, nor how many Services there are.

use std::collections::BTreeSet;
use std::time::Duration;

use ferrolb_core::allocator::{Allocator, Event, Work};
use ferrolb_core::pool::{Capacity, Pool};
use ferrolb_core::time::{Now, Time, Timestamp};

use crate::objects::{asking, key, mk_pool, mk_service, mk_sharer};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// What a world lends first to a Service of the family, and the pool as it is then.
fn lend_one(pool: Pool, cluster_ip: &str) -> (String, Pool) {
    let mut world = World::new();
    let name = pool.name.clone();
    world.api.put_pool(pool);
    let mut service = mk_service("s1");
    service.request.cluster_ips = vec![crate::objects::ip(cluster_ip)];
    world.api.create_service(service);
    world.run(SOON);
    (world.shown("s1").join(" "), world.api.pools[&name].clone())
}

fn mk_capacity(total: i64, assigned: i64) -> Capacity {
    Capacity {
        total,
        assigned,
        reserved: 0,
        quarantined: 0,
        available: total.saturating_sub(assigned),
    }
}

#[test]
fn pools_of_any_size_lend_their_first_address_at_once() {
    for (entry, cluster_ip, first) in [
        ("0.0.0.0/0", "10.96.0.1", "0.0.0.0"),
        ("10.0.0.0/8", "10.96.0.1", "10.0.0.0"),
        ("255.255.255.255", "10.96.0.1", "255.255.255.255"),
        ("255.255.255.254-255.255.255.255", "10.96.0.1", "255.255.255.254"),
        ("::/0", "fd00::1", "::"),
        ("fd00:1::/64", "fd00::1", "fd00:1::"),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fd00::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
    ] {
        let (shown, _) = lend_one(mk_pool("pool", &[entry]), cluster_ip);
        assert_eq!(shown, first, "{entry}");
    }
    let mut avoiding = mk_pool("pool", &["0.0.0.0/0"]);
    avoiding.spec.avoid_buggy_ips = true;
    assert_eq!(lend_one(avoiding, "10.96.0.1").0, "0.0.0.1");
}

#[test]
fn counts_are_exact_as_far_as_they_can_be_stored_and_capped_there() {
    for (entry, total) in [
        ("fd00::/66", 1 << 62),
        ("fd00::/65", i64::MAX),
        ("fd00::/64", i64::MAX),
        ("::/0", i64::MAX),
    ] {
        let (_, pool) = lend_one(mk_pool("pool", &[entry]), "fd00::1");
        let counted = pool.status.expect("a status").v6;
        assert_eq!((counted.total, counted.assigned), (total, 1), "{entry}");
        let available = if total == i64::MAX { total } else { total - 1 };
        assert_eq!(counted.available, available, "{entry}");
    }
    let (_, pool) = lend_one(mk_pool("pool", &["0.0.0.0/0"]), "10.96.0.1");
    assert_eq!(pool.status.expect("a status").v4, mk_capacity(1 << 32, 1));
    let mut avoiding = mk_pool("pool", &["0.0.0.0/0"]);
    avoiding.spec.avoid_buggy_ips = true;
    let (_, pool) = lend_one(avoiding, "10.96.0.1");
    assert_eq!(pool.status.expect("a status").v4, mk_capacity(254 << 24, 1));
}

#[test]
fn the_last_address_of_a_family_can_be_asked_for() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["::/0", "0.0.0.0/0"]));
    let mut last = mk_service("s1");
    last.request.cluster_ips = vec![crate::objects::ip("fd00::1")];
    let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    world.api.create_service(asking(last, address));
    world
        .api
        .create_service(asking(mk_service("s2"), "255.255.255.255"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), [address]);
    assert_eq!(world.shown("s2"), ["255.255.255.255"]);
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(world.api.claims.len(), 1);
}

/// A world of so many Services, half of which wait.
fn mk_half_full(services: usize) -> World {
    let mut world = World::new();
    let last = services / 2 - 1;
    let range = format!("10.0.0.0-10.0.{}.{}", last / 256, last % 256);
    world.api.put_pool(mk_pool("pool", &[&range]));
    for number in 0..services {
        world.api.create_service(mk_service(&format!("s{number}")));
    }
    world.run(SOON);
    world
}

fn work(world: &World) -> Work {
    world.replicas[0].allocator.work()
}

#[test]
fn twice_as_many_services_are_twice_the_work() {
    let of = |services| work(&mk_half_full(services)).decisions;
    let (once, twice) = (of(200), of(400));
    assert!(twice <= once * 2 + 10, "{once} decisions, then {twice}");
}

#[test]
fn a_freed_address_wakes_one_however_many_wait() {
    for services in [20, 600] {
        let mut world = mk_half_full(services);
        for number in 0..5 {
            let before = work(&world);
            world.api.delete_service(&key(&format!("s{number}")));
            world.run(SOON);
            let served = format!("s{}", services / 2 + number);
            assert_eq!(world.shown(&served), [format!("10.0.0.{number}")]);
            let decisions = work(&world).decisions - before.decisions;
            let looks = work(&world).looks - before.looks;
            assert!(
                decisions <= 4 && looks <= 20,
                "{decisions} decisions and {looks} looks with {services} Services"
            );
        }
    }
}

/// So many sharers of one port, one after the other on an address of its own.
fn lend_apart(count: usize) -> (Work, Allocator) {
    let mut allocator = Allocator::default();
    let now = Now {
        time: Time::ZERO,
        wall: Timestamp(0),
    };
    allocator.apply(Event::PoolApplied(mk_pool("pool", &["10.0.0.0/8"])), now);
    allocator.apply(Event::Synced, now);
    for number in 0..count {
        allocator.apply(
            Event::ServiceApplied(mk_sharer(&format!("s{number}"), "k", 80)),
            now,
        );
        // It decides before it has the next call made.
        assert!(allocator.poll_call(now).is_some());
    }
    (allocator.work(), allocator)
}

#[test]
fn to_find_an_address_to_share_does_not_take_longer_because_many_cannot_be_shared() {
    let (once, _) = lend_apart(1_000);
    let (tenfold, mut allocator) = lend_apart(10_000);
    assert!(
        tenfold.steps <= once.steps * 10 + 100,
        "{} steps for 1,000 Services, {} for 10,000",
        once.steps,
        tenfold.steps
    );
    assert!(
        tenfold.decisions <= 10_000 + 100,
        "{} decisions",
        tenfold.decisions
    );
    let addresses: BTreeSet<_> = allocator.decisions().map(|(_, addresses, _)| addresses).collect();
    assert_eq!(addresses.len(), 10_000, "each on an address of its own");
    // One of another port shares the first of them, in a few steps.
    let now = Now {
        time: Time::ZERO,
        wall: Timestamp(0),
    };
    allocator.apply(Event::ServiceApplied(mk_sharer("other", "k", 81)), now);
    allocator.poll_call(now);
    let found = allocator.decisions().find(|(key, ..)| *key.name == *"other");
    assert_eq!(found.expect("it is known").1, [crate::objects::ip("10.0.0.0")]);
    assert!(allocator.work().steps <= tenfold.steps + 10);
}

#[test]
fn of_many_that_wait_to_share_alike_one_is_woken_for_each_that_leaves() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["10.0.0.0/31"]));
    for number in 0..200 {
        world
            .api
            .create_service(mk_sharer(&format!("s{number}"), "k", 80));
    }
    // It keeps both addresses from being freed when the first two leave.
    for (name, address) in [("a", "10.0.0.0"), ("b", "10.0.0.1")] {
        let service = asking(mk_sharer(name, "k", 81), address);
        world.api.create_service(service);
    }
    world.run(SOON);
    for number in 0..5 {
        let before = work(&world);
        world.api.delete_service(&key(&format!("s{number}")));
        world.run(SOON);
        let served = format!("s{}", number + 2);
        assert_eq!(world.shown(&served).len(), 1, "{served} waits");
        let decisions = work(&world).decisions - before.decisions;
        assert!(decisions <= 20, "{decisions} decisions");
    }
    world.assert_at_rest();
}

#[test]
fn each_one_that_joins_has_a_few_decided_about_however_many_share_already() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["10.0.0.0/32"]));
    for port in 1..100 {
        let before = work(&world);
        let name = format!("s{port}");
        world.api.create_service(mk_sharer(&name, "k", port));
        world.run(SOON);
        assert_eq!(world.shown(&name), ["10.0.0.0"]);
        let decisions = work(&world).decisions - before.decisions;
        assert!(decisions <= 5, "{decisions} decisions for {name}");
    }
    for port in 1..100 {
        let before = work(&world);
        world.api.delete_service(&key(&format!("s{port}")));
        world.run(SOON);
        let decisions = work(&world).decisions - before.decisions;
        assert!(decisions <= 5, "{decisions} decisions when s{port} leaves");
    }
    world.assert_at_rest();
}
