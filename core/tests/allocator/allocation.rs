//! Pools for some: priority, namespaces, labels, quota.

mod quota;

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::pool::Pool;
use ferrolb_core::request::{FamilyPolicy, Service};
use ferrolb_core::selector::{Labels, Requirement, Selector};
use ferrolb_core::service::ServiceKey;

use crate::objects::{
    asking, at_priority, for_namespace, from_pool, in_namespace, ip, key, mk_dual_service, mk_pool,
    mk_service, with_quota,
};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn selector(label: &str, value: &str) -> Selector {
    Selector {
        requirements: vec![Requirement::In(label.to_owned(), [value.to_owned()].into())],
    }
}

fn for_tier(mut pool: Pool, tier: &str) -> Pool {
    pool.spec
        .allocation
        .service_selectors
        .push(selector("tier", tier));
    pool
}

fn of_tier(mut service: Service, tier: &str) -> Service {
    service.request.labels = labels(&[("tier", tier)]);
    service
}

#[test]
fn pinned_pools_are_tried_by_priority() {
    let mut world = World::new();
    let pool = |name: &str, addresses: &str, priority| {
        at_priority(for_namespace(mk_pool(name, &[addresses]), "default"), priority)
    };
    world.api.put_pool(pool("a", "10.11.12.0/31", 11));
    world.api.put_pool(pool("b", "7.8.9.0/31", 10));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["7.8.9.0"]);
    world.assert_at_rest();

    let mut world = World::new();
    world
        .api
        .put_pool(for_tier(pool("a", "22.23.24.0/31", 8), "edge"));
    world
        .api
        .put_pool(for_tier(pool("b", "25.26.27.0/31", 5), "edge"));
    world.api.create_service(of_tier(mk_service("s1"), "edge"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["25.26.27.0"]);
    world.assert_at_rest();
}

#[test]
fn after_the_pinned_pools_come_the_open_ones_each_by_priority_then_name() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a-none", &["10.0.0.0/32"]));
    world
        .api
        .put_pool(at_priority(mk_pool("b-nine", &["10.0.1.0/32"]), 9));
    world
        .api
        .put_pool(at_priority(mk_pool("c-nine", &["10.0.2.0/32"]), 9));
    world
        .api
        .put_pool(for_namespace(mk_pool("d-pinned", &["10.0.3.0/32"]), "default"));
    world.api.put_pool(at_priority(
        for_tier(mk_pool("e-pinned", &["10.0.4.0/32"]), "edge"),
        7,
    ));
    for name in ["s1", "s2", "s3", "s4", "s5", "s6"] {
        world.api.create_service(of_tier(mk_service(name), "edge"));
    }
    world.run(SOON);
    let shown: Vec<_> = ["s1", "s2", "s3", "s4", "s5"]
        .map(|name| world.shown(name).join(" "))
        .into();
    assert_eq!(
        shown,
        ["10.0.4.0", "10.0.3.0", "10.0.1.0", "10.0.2.0", "10.0.0.0"]
    );
    assert_eq!(world.reason("s6"), "PoolExhausted");
    assert_eq!(
        world.message("s6"),
        "No IPv4 address: pool e-pinned has none free; pool d-pinned has none free; pool b-nine has none free; \
         pool c-nine has none free; pool a-none has none free"
    );
    world.assert_at_rest();
}

#[test]
fn a_pool_with_a_priority_alone_is_for_everybody() {
    let mut world = World::new();
    world
        .api
        .put_pool(at_priority(mk_pool("open", &["10.0.1.0/32"]), 1));
    world
        .api
        .put_pool(for_namespace(mk_pool("pinned", &["10.0.0.0/32"]), "default"));
    world
        .api
        .create_service(in_namespace(mk_service("s1"), "elsewhere"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    let elsewhere = ServiceKey::new("elsewhere", "s1");
    assert_eq!(world.api.shown(&elsewhere), ["10.0.1.0"]);
    assert_eq!(world.shown("s2"), ["10.0.0.0"]);
    world.assert_at_rest();
}

#[test]
fn a_pinned_pool_goes_before_an_open_one_also_when_only_that_has_both_families() {
    let mut world = World::new();
    world
        .api
        .put_pool(mk_pool("open", &["10.0.1.0/32", "fd00::/128"]));
    world
        .api
        .put_pool(for_namespace(mk_pool("pinned", &["10.0.0.0/32"]), "default"));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V6));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0"]);
    world.assert_at_rest();
}

#[test]
fn a_pool_for_others_refuses_whatever_is_asked_of_it() {
    let pool = for_tier(for_namespace(mk_pool("a", &["10.0.0.0/30"]), "prod"), "edge");
    for (service, message) in [
        (
            mk_service("s"),
            "No pool is for the Service: pool a is not for namespace default",
        ),
        (
            from_pool(mk_service("s"), "a"),
            "The Service asks for pool a, but pool a is not for namespace default",
        ),
        (
            asking(mk_service("s"), "10.0.0.1"),
            "The Service asks for 10.0.0.1 of pool a, but pool a is not for namespace default",
        ),
        (
            in_namespace(asking(mk_service("s"), "10.0.0.1"), "prod"),
            "The Service asks for 10.0.0.1 of pool a, but pool a is not for Services with its labels",
        ),
    ] {
        let mut world = World::new();
        world.api.put_pool(pool.clone());
        let key = service.key.clone();
        world.api.create_service(service);
        world.run(SOON);
        assert_eq!(world.api.shown(&key), [""; 0]);
        assert_eq!(world.api.condition(&key), Some((false, "NotAdmitted".to_owned())));
        let condition = world.api.services[&key].status.condition.as_ref();
        assert_eq!(
            condition.map(|condition| condition.message.as_str()),
            Some(message)
        );
        world.assert_at_rest();
    }
}

#[test]
fn labels_are_followed_for_new_wishes_and_move_only_who_is_not_admitted_any_more() {
    let mut world = World::new();
    let mut pool = mk_pool("team", &["10.0.0.0/32"]);
    pool.spec.allocation.namespace_selectors = vec![selector("team", "a")];
    world.api.put_pool(pool);
    world.api.put_pool(mk_pool("zoo", &["10.0.1.0/31"]));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.1.0"], "the namespace has no label yet");
    world.api.label_namespace("default", labels(&[("team", "a")]));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.1.0"], "what is held stays");
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["10.0.0.0"]);
    world.api.label_namespace("default", labels(&[("team", "b")]));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["10.0.1.1"], "the pool is not for it any more");
    world.assert_at_rest();
}

#[test]
fn who_is_not_admitted_any_more_has_the_next_address_before_it_loses_the_old_one() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["10.0.0.0/32"]));
    world.api.put_pool(mk_pool("b", &["10.0.1.0/32"]));
    world.api.create_service(of_tier(mk_service("s1"), "edge"));
    world.api.create_service(of_tier(mk_service("s2"), "edge"));
    world.run(SOON);
    world.api.delete_service(&key("s2"));
    world.run(SOON);
    world
        .api
        .edit_pool("a", |pool| *pool = for_tier(pool.clone(), "core"));
    while world.shown("s1") == ["10.0.0.0"] {
        assert!(world.step(0), "it never moves");
    }
    assert_eq!(world.shown("s1"), ["10.0.1.0"], "never without an address");
    world.run(SOON);
    world.api.create_service(of_tier(mk_service("s3"), "edge"));
    world.run(SOON);
    assert_eq!(world.reason("s3"), "PoolExhausted");
    world.assert_at_rest();
}

#[test]
fn a_selector_that_nobody_understands_admits_nobody_and_takes_nothing_away() {
    let mut world = World::new();
    world
        .api
        .put_pool(for_tier(mk_pool("a", &["10.0.0.0/30"]), "edge"));
    world.api.create_service(of_tier(mk_service("s1"), "edge"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0"]);
    world.api.edit_pool("a", |pool| {
        pool.spec.allocation.service_selectors = vec![Selector {
            requirements: vec![Requirement::Invalid],
        }];
    });
    world.api.create_service(of_tier(mk_service("s2"), "edge"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0"]);
    assert_eq!(world.reason("s2"), "NotAdmitted");
    let ready = world.api.pools["a"]
        .status
        .clone()
        .and_then(|status| status.ready);
    let ready = ready.expect("a condition");
    assert!(!ready.status);
    assert_eq!(
        ready.message,
        "spec.allocation.serviceSelectors[0]: an operator is unknown, or has too many or too few values; it admits \
         nobody new until it is corrected"
    );
    world.assert_at_rest();
}

#[test]
fn a_dual_pool_that_loses_a_family_gives_way_to_another_dual_pool() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["10.0.0.0/31", "fd00::/127"]));
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V4));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0", "fd00::"]);
    world.api.put_pool(mk_pool("b", &["10.0.1.0/31", "fd01::/127"]));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.0", "fd00::"]);
    let shrink = |pool: &mut Pool| drop(pool.spec.addresses.pop());
    world.api.edit_pool("a", shrink);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.1.0", "fd01::"]);
    world.assert_at_rest();
    world.api.edit_pool("b", shrink);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.1.0"], "there is no other dual pool");
    world.assert_at_rest();
    let writes = world.api.writes.len();
    world
        .api
        .edit_pool("a", |pool| pool.spec.addresses.push("fd00::/127".to_owned()));
    world.run(SOON);
    assert_eq!(
        world.shown("s1"),
        ["10.0.1.0"],
        "never a jump for a second family"
    );
    let touched = world.api.writes[writes..]
        .iter()
        .filter(|write| !write.starts_with("PatchPool"));
    assert_eq!(touched.count(), 0);
    world.assert_at_rest();
}

#[test]
fn a_pool_over_a_nodes_address_is_told_and_lends_all_the_same() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("a", &["10.0.0.0/31"]));
    world
        .api
        .set_node("n1", Some(["10.0.0.1", "10.9.9.9"].map(ip).into()));
    world.api.create_service(asking(mk_service("s1"), "10.0.0.1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["10.0.0.1"]);
    let overlap = |world: &World| {
        let status = world.api.pools["a"].status.clone();
        let overlap = status.and_then(|status| status.overlap).expect("a condition");
        (overlap.status, overlap.reason, overlap.message)
    };
    assert_eq!(
        overlap(&world),
        (
            true,
            "NodeAddress".to_owned(),
            "The pool lists 10.0.0.1, the address of Node n1: exclude what is a Node's own, or two hosts answer for it"
                .to_owned()
        )
    );
    let warnings = world.replicas[0]
        .notices
        .iter()
        .filter(|notice| notice.reason == "NodeAddress");
    assert_eq!(warnings.count(), 1);
    world.assert_at_rest();
    world.api.set_node("n1", None);
    world.run(SOON);
    assert!(!overlap(&world).0);
    world.assert_at_rest();
}
