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
