//! Reservations for Services that want both families.

use super::*;

#[test]
fn the_other_family_comes_from_the_pool_of_the_reserved_address() {
    let policies = [FamilyPolicy::PreferDualStack, FamilyPolicy::RequireDualStack];
    for policy in policies {
        let mut world = mk_world(&[]);
        world.api.put_pool(mk_pool("dual", &["9.9.9.0/31", "1000::/127"]));
        world
            .api
            .create_service(mk_dual_service("s1", policy, Family::V4));
        world
            .api
            .create_service(mk_dual_service("s2", policy, Family::V4));
        world.run(SOON);
        assert_eq!(world.shown("s2"), ["9.9.9.1", "1000::1"]);
        world.api.put_pool(mk_pool("home", &["5.5.5.0/31", "2000::/126"]));
        world.api.create_claim(mk_reservation("2000::2", &["s2"]));
        world.run(SOON);
        assert_eq!(world.shown("s2"), ["5.5.5.0", "2000::2"]);
        assert_eq!(world.reason("s2"), "Assigned");
        world.assert_at_rest();
    }
}

#[test]
fn a_pool_that_has_the_reserved_address_alone_serves_who_can_do_with_one_family() {
    for (policy, shown, reason) in [
        (FamilyPolicy::PreferDualStack, vec!["1.2.3.7"], "Assigned"),
        (FamilyPolicy::RequireDualStack, vec![], "NoDualStackPool"),
        (FamilyPolicy::SingleStack, vec!["1.2.3.7"], "Assigned"),
    ] {
        let mut world = mk_world(&[("1.2.3.7", &["s1"])]);
        world
            .api
            .create_service(mk_dual_service("s1", policy, Family::V4));
        world.run(SOON);
        assert_eq!(world.shown("s1"), shown);
        assert_eq!(world.reason("s1"), reason);
        world.assert_at_rest();
        world
            .api
            .edit_pool("pool", |pool| pool.spec.addresses.push("1000::/126".to_owned()));
        world.run(SOON);
        assert_eq!(world.shown("s1")[0], "1.2.3.7");
        assert_eq!(world.reason("s1"), "Assigned");
        world.assert_at_rest();
    }
}

#[test]
fn both_families_may_be_reserved_but_in_one_pool() {
    let mut world = mk_world(&[("1.2.3.7", &["s1"]), ("1000::3", &["s1"])]);
    let service = mk_dual_service("s1", FamilyPolicy::PreferDualStack, Family::V6);
    world.api.put_pool(mk_pool("other", &["1000::/126"]));
    world.api.create_service(service);
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.reason("s1"), "AddressesInTwoPools");
    world.assert_at_rest();
    world.api.delete_pool("other");
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses.push("1000::/126".to_owned()));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7", "1000::3"]);
    world.assert_at_rest();
    // One pool becomes two: nothing moves.
    let writes = world.api.claims.len();
    world.api.put_pool(mk_pool("six", &["1000::/126"]));
    world
        .api
        .edit_pool("pool", |pool| drop(pool.spec.addresses.pop()));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7", "1000::3"]);
    assert_eq!(world.api.claims.len(), writes);
    world.assert_at_rest();
}

#[test]
fn who_has_all_that_it_wants_stays_when_the_pool_of_the_reserved_address_is_split() {
    let mut world = mk_world(&[("1.2.3.7", &["s1"])]);
    world.api.edit_pool("pool", |pool| {
        pool.spec.addresses.push("1000::/126".to_owned());
    });
    world
        .api
        .create_service(mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V4));
    world.run(SOON);
    world.api.put_pool(mk_pool("six", &["1000::/126"]));
    world
        .api
        .edit_pool("pool", |pool| drop(pool.spec.addresses.pop()));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7", "1000::"]);
    assert_eq!(world.reason("s1"), "Assigned");
    world.assert_at_rest();
}
