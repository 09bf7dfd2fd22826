//! An address that a Service shows is lent to nobody else, whoever gave it to the Service.

use std::time::Duration;

use ferrolb_core::request::{Eligibility, Ingress, Service};

use crate::objects::{asking, ip, key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// A Service that another load balancer serves.
fn mk_foreign(name: &str, address: &str) -> Service {
    let mut service = mk_service(name);
    service.request.eligibility = Eligibility::ForeignClass;
    service.status.ingress = vec![Ingress::vip(ip(address))];
    service
}

/// A pool of two, the first of which another load balancer has given to `foreign`.
fn mk_world() -> World {
    let mut world = World::new();
    world.api.create_service(mk_foreign("foreign", "1.2.3.0"));
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/31"]));
    world.run(SOON);
    world
}

#[test]
fn what_another_load_balancer_shows_is_lent_only_afterwards() {
    let mut world = mk_world();
    for name in ["s1", "s2"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    assert_eq!(world.reason("s2"), "PoolExhausted");
    let counts = world.api.pools["pool"].status.clone().expect("counts").v4;
    assert_eq!((counts.total, counts.assigned, counts.available), (2, 2, 0));
    world.assert_at_rest();

    world.api.delete_service(&key("foreign"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn it_cannot_be_asked_for_either() {
    let mut world = mk_world();
    world.api.create_service(asking(mk_service("s1"), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(world.reason("s1"), "AddressInUse");
    assert!(world.message("s1").ends_with("which is shown by default/foreign"));
    world.assert_at_rest();
    world
        .api
        .edit_service(&key("foreign"), |service| service.status.ingress.clear());
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_pool_that_comes_later_does_not_lend_it() {
    let mut world = World::new();
    world.api.create_service(mk_foreign("foreign", "1.2.3.0"));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/31"]));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world.assert_at_rest();
}

#[test]
fn it_is_nobodys_to_keep() {
    let mut world = mk_world();
    let mut service = mk_service("s1");
    service.status.ingress = vec![Ingress::vip(ip("1.2.3.0"))];
    world.api.create_service(service);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world.assert_at_rest();
}

#[test]
fn a_status_gets_nobody_past_the_quota() {
    let mut world = World::new();
    let mut pool = mk_pool("pool", &["1.2.3.0/29"]);
    pool.spec.allocation.max_per_namespace = Some(1);
    world.api.put_pool(pool);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    let showing = |mut service: Service, address: &str| {
        service.status.ingress = vec![Ingress::vip(ip(address))];
        service
    };
    world.api.create_service(showing(mk_service("s2"), "1.2.3.5"));
    let asking = asking(mk_service("s3"), "1.2.3.6");
    world.api.create_service(showing(asking, "1.2.3.6"));
    world.run(SOON);
    for name in ["s2", "s3"] {
        assert_eq!(world.shown(name), [""; 0]);
        assert_eq!(world.reason(name), "QuotaExceeded");
    }
    world.assert_at_rest();
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    let served = ["s2", "s3"].map(|name| world.shown(name).len());
    assert_eq!(served.iter().sum::<usize>(), 1, "one of them has what s1 had");
    world.assert_at_rest();
}

#[test]
fn those_that_another_load_balancer_served_are_adopted_up_to_the_quota() {
    let mut world = World::new();
    for (name, address) in [("s1", "1.2.3.4"), ("s2", "1.2.3.5"), ("s3", "1.2.3.6")] {
        let mut service = mk_service(name);
        service.status.ingress = vec![Ingress::vip(ip(address))];
        world.api.create_service(service);
    }
    let mut pool = mk_pool("pool", &["1.2.3.0/29"]);
    pool.spec.allocation.max_per_namespace = Some(2);
    world.api.put_pool(pool);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.4"]);
    assert_eq!(world.shown("s2"), ["1.2.3.5"]);
    assert_eq!(world.reason("s3"), "QuotaExceeded");
    world.assert_at_rest();
}
