//! What a reviewer broke once: many changes between two decisions, and families that were moved together.

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::request::FamilyPolicy;
use ferrolb_core::selector::{Labels, Requirement, Selector};
use ferrolb_core::service::{Protocol, ServicePort};

use crate::objects::{ip, key, mk_dual_service, mk_pool, mk_reservation, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// As a driver does that is busy: shows everything, begins all calls that it may, then ends them.
fn drive(world: &mut World) {
    for _ in 0..1000 {
        let mut busy = false;
        while world.deliver(0) {
            busy = true;
        }
        while world.replicas[0].calls.len() < 16 && world.begin_call(0) {
            busy = true;
        }
        while !world.replicas[0].calls.is_empty() {
            world.finish_call(0, 0);
            busy = true;
        }
        if !busy {
            return;
        }
    }
}

fn edge(mut s: ferrolb_core::request::Service) -> ferrolb_core::request::Service {
    s.request.labels = Labels::from([("tier".to_owned(), "edge".to_owned())]);
    s
}

fn sharing(mut s: ferrolb_core::request::Service, k: &str, port: u16) -> ferrolb_core::request::Service {
    s.request.sharing_key = Some(k.to_owned());
    s.request.ports = vec![ServicePort {
        protocol: Protocol::Tcp,
        port,
    }];
    s
}

#[test]
fn an_address_that_the_oldest_does_not_take_goes_to_the_next() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a-open", &["10.0.0.0/32"]));
    let mut pinned = mk_pool("b-pinned", &["10.0.1.0/32"]);
    pinned.spec.allocation.service_selectors.push(Selector {
        requirements: vec![Requirement::In("tier".to_owned(), ["edge".to_owned()].into())],
    });
    world.api.put_pool(pinned);
    world.api.create_service(edge(mk_service("h1")));
    world.api.create_service(mk_service("h2"));
    world.api.create_service(edge(mk_service("w1")));
    world.api.create_service(mk_service("w2"));
    drive(&mut world);
    world.api.delete_service(&key("h1"));
    world.api.delete_service(&key("h2"));
    drive(&mut world);
    world.run(Duration::from_secs(3600));
    assert_eq!(
        world.shown("w2").len(),
        1,
        "w2 waits though there is a free address"
    );
}

#[test]
fn who_comes_to_share_leaves_the_freed_address_to_the_next() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("p", &["10.0.0.0/31"]));
    world.api.create_service(sharing(mk_service("h"), "k", 80));
    world.api.create_service(mk_service("j"));
    drive(&mut world);
    world.api.create_service(sharing(mk_service("w1"), "k", 80));
    world.api.create_service(mk_service("w2"));
    drive(&mut world);
    world.api.delete_service(&key("j"));
    // until the delete of the claim is under way
    for _ in 0..50 {
        while world.deliver(0) {}
        if !world.begin_call(0) {
            break;
        }
        if format!("{:?}", world.replicas[0].calls[0].1).starts_with("DeleteClaim") {
            break;
        }
        world.finish_call(0, 0);
    }
    world.api.edit_service(&key("h"), |s| {
        s.request.ports = vec![ServicePort {
            protocol: Protocol::Tcp,
            port: 81,
        }];
    });
    world.finish_call(0, 0);
    while world.deliver(0) {}
    drive(&mut world);
    world.run(Duration::from_secs(3600));
    assert_eq!(world.shown("w1").len(), 1);
    assert_eq!(
        world.shown("w2").len(),
        1,
        "w2 waits though there is a free address"
    );
}

#[test]
fn the_second_family_is_replaced_in_its_own_pool() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("z", &["10.0.1.0/30", "fd00:1::/126"]));
    world
        .api
        .create_service(mk_dual_service("s", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.1.0", "fd00:1::"]);
    world.api.put_pool(mk_pool("a", &["10.0.0.0/30", "fd00:0::/126"]));
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.1.0", "fd00:1::"]);
    world
        .api
        .edit_pool("z", |p| p.spec.exclude = vec!["fd00:1::".into()]);
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.1.0", "fd00:1::1"]);
}

#[test]
fn who_comes_to_require_both_families_stays_in_its_pool() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("z", &["10.0.1.0/30", "fd00:1::/126"]));
    let mut s = mk_dual_service("s", FamilyPolicy::SingleStack, Family::V4);
    s.request.cluster_ips.truncate(1);
    world.api.create_service(s);
    world.run(SOON);
    world.api.put_pool(mk_pool("a", &["10.0.0.0/30", "fd00:0::/126"]));
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.1.0"]);
    world.api.edit_service(&key("s"), |s| {
        s.request.family_policy = FamilyPolicy::RequireDualStack;
        s.request.cluster_ips = vec![ip("10.96.0.1"), ip("fd00::1")];
    });
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.1.0", "fd00:1::"]);
}

#[test]
fn a_clash_in_one_family_does_not_touch_the_other() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("z", &["10.0.1.0/30", "fd00:1::/128"]));
    let dual = |name: &str, port| {
        sharing(
            mk_dual_service(name, FamilyPolicy::PreferDualStack, Family::V4),
            "k",
            port,
        )
    };
    world.api.create_service(dual("s", 80));
    world.run(SOON);
    let mut t = sharing(mk_service("t"), "k", 81);
    t.request.cluster_ips = vec![ip("fd00::2")];
    t.request.primary_family = Some(Family::V6);
    world.api.create_service(t);
    world.run(SOON);
    world.api.put_pool(mk_pool("a", &["10.0.0.0/30", "fd00:0::/126"]));
    world.run(SOON);
    world.api.edit_service(&key("s"), |s| {
        s.request.ports = vec![ServicePort {
            protocol: Protocol::Tcp,
            port: 81,
        }];
    });
    world.run(SOON);
    assert_eq!(world.shown("s")[0], "10.0.1.0", "v4 is not concerned");
}

#[test]
fn a_reservation_does_not_lift_the_quota_of_the_other_family() {
    let mut world = World::new();
    let mut p = mk_pool("p", &["10.0.0.0/29", "fd00:1::/125"]);
    p.spec.allocation.max_per_namespace = Some(1);
    world.api.put_pool(p);
    world.api.create_service(mk_service("h"));
    world.run(SOON);
    world.api.create_claim(mk_reservation("10.0.0.3", &["s"]));
    world
        .api
        .create_service(mk_dual_service("s", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(world.shown("s"), ["10.0.0.3"]);
}

#[test]
fn a_quota_that_is_used_up_costs_as_much_as_there_is_room_for() {
    let decisions = |services: u32| {
        let mut world = World::new();
        let mut pool = mk_pool("p", &["10.0.0.0/16"]);
        pool.spec.allocation.max_per_namespace = Some(services);
        world.api.put_pool(pool);
        for number in 0..2 * services {
            world.api.create_service(mk_service(&format!("s{number}")));
        }
        world.run(SOON);
        let before = world.replicas[0].allocator.work().decisions;
        for number in 0..services {
            world.api.delete_service(&key(&format!("s{number}")));
        }
        world.run(SOON);
        world.replicas[0].allocator.work().decisions - before
    };
    let (once, twice) = (decisions(50), decisions(100));
    assert!(twice <= once * 2 + 10, "{once} decisions, then {twice}");
}

/// To tell each of those that wait of each that goes would be as many writes as the two multiplied.
#[test]
fn who_waits_for_a_quota_is_not_told_of_each_that_goes() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("p", &["10.0.0.0/16"]));
    for number in 0..20 {
        world.api.create_service(mk_service(&format!("s{number}")));
    }
    world.run(SOON);
    world
        .api
        .edit_pool("p", |pool| pool.spec.allocation.max_per_namespace = Some(1));
    for number in 20..40 {
        world.api.create_service(mk_service(&format!("s{number}")));
    }
    world.run(SOON);
    let before = world.api.writes.len();
    for number in 0..19 {
        world.api.delete_service(&key(&format!("s{number}")));
        world.run(SOON);
    }
    let told = world.api.writes[before..]
        .iter()
        .filter(|write| write.starts_with("PatchService"));
    assert_eq!(told.count(), 0);
}

#[test]
fn of_many_pools_the_one_with_a_quota_is_named() {
    let mut world = World::new();
    for number in 0..9 {
        world
            .api
            .put_pool(mk_pool(&format!("a{number}"), &[&format!("10.0.{number}.0/32")]));
        world.api.create_service(mk_service(&format!("s{number}")));
    }
    let mut limited = mk_pool("z", &["10.0.9.0/31"]);
    limited.spec.allocation.max_per_namespace = Some(1);
    world.api.put_pool(limited);
    world.api.create_service(mk_service("s9"));
    world.run(SOON);
    assert_eq!(world.shown("s9"), ["10.0.9.0"]);
    world.api.create_service(mk_service("waits"));
    world.run(SOON);
    assert_eq!(world.reason("waits"), "QuotaExceeded");
    let message = world.message("waits");
    assert!(
        message.contains("pool z lends a namespace at most 1 address "),
        "{message}"
    );
    assert!(message.ends_with("; 2 more pools do not do either"), "{message}");
    world.assert_at_rest();
}
