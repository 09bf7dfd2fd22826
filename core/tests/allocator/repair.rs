//! What people and other programs do to pools, claims and status, and what becomes of it.

use std::time::Duration;

use ferrolb_core::claim::{ClaimSpec, ClaimState};
use ferrolb_core::request::Ingress;
use ferrolb_core::service::{Protocol, ServicePort};

use crate::objects::{ip, key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

/// Services s1 and s2 at 1.2.3.0 and 1.2.3.1.
fn mk_world() -> World {
    let world = World::serving(&["1.2.3.0/29"], &["s1", "s2"]);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
    world
}

/// What was written from a point on, without the counts of pools.
fn writes_since(world: &World, start: usize) -> Vec<&String> {
    let writes = world.api.writes[start..].iter();
    writes.filter(|write| !write.starts_with("PatchPool")).collect()
}

#[test]
fn a_pool_deleted_and_recreated_within_its_grace_moves_nothing() {
    let mut world = mk_world();
    let writes = world.api.writes.len();
    world.api.delete_pool("pool");
    world.run(Duration::from_secs(9));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/29"]));
    world.run(Duration::from_secs(60));
    assert_eq!(writes_since(&world, writes), [""; 0]);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_pool_that_is_gone_lends_nothing_and_after_its_grace_its_holders_go() {
    let mut world = mk_world();
    world.api.delete_pool("pool");
    world.run(SOON);
    world.api.create_service(mk_service("s3"));
    world.run(Duration::from_secs(1));
    assert_eq!(world.shown("s3"), [""; 0], "lent from a pool that is gone");
    world.api.put_pool(mk_pool("other", &["9.9.9.0/30"]));
    world.run(Duration::from_secs(1));
    assert_eq!(world.shown("s3"), ["9.9.9.0"]);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.run(Duration::from_secs(10));
    assert_eq!(world.shown("s1"), ["9.9.9.1"]);
    assert_eq!(world.shown("s2"), ["9.9.9.2"]);
    world.run(Duration::from_secs(120));
    assert_eq!(world.api.claims.len(), 3);
    world.assert_at_rest();
}

#[test]
fn the_grace_of_a_deleted_pool_outlives_a_restart() {
    let mut world = mk_world();
    world.replicas.clear();
    world.api.delete_pool("pool");
    let writes = world.api.writes.len();
    world.restart();
    world.run(Duration::from_secs(9));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/29"]));
    world.run(Duration::from_secs(60));
    assert_eq!(writes_since(&world, writes), [""; 0]);
    world.assert_at_rest();
}

#[test]
fn a_foreign_edit_of_a_claim_is_repaired() {
    let mut world = mk_world();
    let written = world.api.claims[&ip("1.2.3.0")].spec.clone();
    world.api.edit_claim(ip("1.2.3.0"), |claim| {
        claim.spec.held_by = Some("me".to_owned());
        claim.spec.pool = Some("nowhere".into());
        claim.spec.holders[0].ports = vec![ServicePort {
            protocol: Protocol::Udp,
            port: 1,
        }];
    });
    world.run(SOON);
    assert_eq!(world.api.claims[&ip("1.2.3.0")].spec, written);
    world.assert_at_rest();

    world.api.edit_claim(ip("1.2.3.0"), |claim| {
        claim.spec.state = Some(ClaimState::Releasing);
        claim.spec.holders.clear();
        claim.spec.last_holder = Some(key("nobody"));
    });
    world.run(SOON);
    assert_eq!(world.api.claims[&ip("1.2.3.0")].spec.holders, written.holders);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_claim_given_to_somebody_else_by_hand_returns_to_who_shows_the_address() {
    let mut world = mk_world();
    let others = world.api.claims[&ip("1.2.3.1")].spec.holders.clone();
    world
        .api
        .edit_claim(ip("1.2.3.0"), |claim| claim.spec.holders = others);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    world.assert_at_rest();
}

#[test]
fn a_claim_deleted_by_hand_is_made_anew() {
    let mut world = mk_world();
    let writes = world.api.writes.len();
    world.api.remove_claim(ip("1.2.3.0"));
    world.run(SOON);
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(writes_since(&world, writes).len(), 1);
    world.assert_at_rest();
}

#[test]
fn a_status_wiped_or_edited_by_somebody_is_repaired() {
    let mut world = mk_world();
    let written = world.api.services[&key("s1")].status.clone();
    world
        .api
        .edit_service(&key("s1"), |service| service.status = Default::default());
    world.run(SOON);
    assert_eq!(world.api.services[&key("s1")].status.ingress, written.ingress);
    assert_eq!(world.reason("s1"), "Assigned");
    world.api.edit_service(&key("s1"), |service| {
        service.status.ingress = vec![Ingress::vip(ip("1.2.3.1"))];
        service.status.allocated_from = None;
    });
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
    world.run(Duration::from_secs(60));
    world.assert_at_rest();
}

#[test]
fn a_foreign_status_stays_until_there_is_an_address_to_grant() {
    let mut world = World::new();
    let mut service = mk_service("s1");
    service.status.ingress = vec![Ingress::vip(ip("9.9.9.9"))];
    let hostname = Ingress {
        address: None,
        is_ours: false,
    };
    let mut named = mk_service("s2");
    named.status.ingress = vec![hostname];
    world.api.create_service(service);
    world.api.create_service(named);
    world.run(SOON);
    assert_eq!(world.api.writes, [""; 0], "with no pools nothing is written");
    let mut closed = mk_pool("pool", &["1.2.3.0/31"]);
    closed.spec.auto_assign = false;
    world.api.put_pool(closed);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["9.9.9.9"]);
    assert_eq!(world.reason("s1"), "NoAutoAssignPool");
    world.api.edit_pool("pool", |pool| pool.spec.auto_assign = true);
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
    world.assert_at_rest();
}

#[test]
fn an_address_in_no_pool_is_taken_off_a_status_once_it_has_a_claim() {
    let mut world = World::new();
    let mut pool = mk_pool("pool", &["1.2.3.0/32"]);
    pool.spec.exclude = vec!["1.2.3.0".to_owned()];
    world.api.put_pool(pool);
    world.api.create_service(mk_service("s1"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    world.api.edit_service(&key("s2"), |service| {
        service.status.ingress = vec![Ingress::vip(ip("1.2.3.0"))];
        service.request.pool = Some("none".into());
    });
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"], "an address in no pool");
    world.api.create_claim(ClaimSpec {
        address: ip("1.2.3.0"),
        reserved: false,
        reserved_for: Vec::new(),
        pool: Some("pool".into()),
        state: Some(ClaimState::Quarantined),
        state_since: None,
        held_by: None,
        last_holder: None,
        holders: Vec::new(),
    });
    world.settle();
    assert_eq!(world.shown("s2"), [""; 0]);
    world.run(Duration::from_secs(70));
    world.assert_at_rest();
}
