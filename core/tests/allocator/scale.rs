//! Size must not matter: neither that of a pool, nor how many Services there are.

use std::time::Duration;

use ferrolb_core::allocator::Work;
use ferrolb_core::pool::{Capacity, Pool};

use crate::objects::{asking, key, mk_pool, mk_service};
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
