//! Reservations that cannot be meant, or that something else stands in the way of.

use ferrolb_core::selector::{Requirement, Selector};

use super::*;

#[test]
fn what_a_pool_never_lends_no_reservation_gets() {
    for edit in [
        |pool: &mut ferrolb_core::pool::Pool| pool.spec.exclude = vec!["1.2.3.0".to_owned()],
        |pool: &mut ferrolb_core::pool::Pool| pool.spec.avoid_buggy_ips = true,
    ] {
        let mut world = mk_world(&[("1.2.3.0", &["s1"])]);
        world.api.edit_pool("pool", edit);
        world.api.create_service(mk_service("s1"));
        world.run(SOON);
        assert_eq!(world.shown("s1"), [""; 0]);
        assert_eq!(world.reason("s1"), "ReservationOutsidePool");
        world.assert_at_rest();
    }
    let mut world = mk_world(&[("1.2.3.0", &["s1"])]);
    world.api.edit_pool("pool", |pool| {
        pool.spec.allocation.namespaces = ["elsewhere".to_owned()].into();
    });
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.reason("s1"), "NotAdmitted");
    assert!(
        world
            .message("s1")
            .starts_with("1.2.3.0 of pool pool is reserved for the Service, but ")
    );
    world.assert_at_rest();
    world
        .api
        .edit_pool("pool", |pool| pool.spec.exclude = vec!["garbage".to_owned()]);
    world
        .api
        .edit_pool("pool", |pool| pool.spec.allocation.namespaces.clear());
    world.run(SOON);
    assert_eq!(world.reason("s1"), "PoolInvalid");
    world.assert_at_rest();
}

#[test]
fn a_reservation_outside_every_pool_is_told_to_the_service_and_once_to_the_person() {
    let mut world = mk_world(&[]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.create_claim(mk_reservation("8.8.8.8", &["s1", "s2"]));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"], "it keeps what it has");
    assert_eq!(world.shown("s2"), [""; 0]);
    for name in ["s1", "s2"] {
        assert_eq!(world.reason(name), "ReservationOutsidePool");
        assert_eq!(
            world.message(name),
            "8.8.8.8 is reserved for the Service, but no pool lends it (tried pool pool): add it to a pool, or \
             delete the AddressClaim"
        );
    }
    assert_eq!(
        warnings(&world),
        [
            "The AddressClaim reserves nothing: no pool lends it (tried pool pool): add it to a pool, or delete \
          the AddressClaim"
        ]
    );
    world.api.put_pool(mk_pool("more", &["7.7.7.7"]));
    world.run(SOON);
    assert_eq!(warnings(&world).len(), 1, "still so is no news");
    world.assert_at_rest();
    assert_eq!(warnings(&world).len(), 0, "nor is it after a restart");
    world
        .api
        .edit_pool("more", |pool| pool.spec.addresses.push("8.8.8.8".to_owned()));
    world.run(Duration::from_secs(70));
    assert_eq!(world.shown("s1"), ["8.8.8.8"]);
    assert_eq!(world.reason("s2"), "AddressInUse");
    world.assert_at_rest();
}

#[test]
fn a_reservation_that_names_another_pool_reserves_nothing() {
    let mut world = mk_world(&[]);
    let mut spec = mk_reservation("1.2.3.7", &["s1"]);
    spec.pool = Some("attic".into());
    world.api.create_claim(spec);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.reason("s1"), "ReservationOutsidePool");
    assert_eq!(
        world.message("s1"),
        "1.2.3.7 is reserved for the Service, but spec.pool of its AddressClaim says attic, and pool pool lends \
         1.2.3.7: correct or remove spec.pool"
    );
    assert_eq!(warnings(&world).len(), 1);
    world.assert_at_rest();
    world
        .api
        .edit_claim(ip("1.2.3.7"), |claim| claim.spec.pool = Some("pool".into()));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7"]);
    world.assert_at_rest();
    // The pool is renamed while the address is held and rests: that is nobody's mistake.
    world.api.put_pool(mk_pool("new", &["1.2.3.0/29"]));
    world.api.delete_pool("pool");
    world.run(SOON);
    world.api.delete_service(&key("s1"));
    world.run(Duration::from_secs(70));
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.7"]);
    world.assert_at_rest();
}

#[test]
fn of_two_reservations_in_one_family_neither_counts() {
    let mut world = mk_world(&[]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    for address in ["1.2.3.6", "1.2.3.5"] {
        world.api.create_claim(mk_reservation(address, &["s1", "s2"]));
    }
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"], "it keeps what it has");
    assert_eq!(world.shown("s2"), [""; 0]);
    for name in ["s1", "s2"] {
        assert_eq!(world.reason(name), "SeveralReservations");
        assert_eq!(
            world.message(name),
            "1.2.3.5 and 1.2.3.6 are reserved for the Service, and it can have one IPv4 address: take it out of \
             reservedFor of all but one AddressClaim"
        );
    }
    world.assert_at_rest();
    reserve(&mut world, "1.2.3.5", &["s1"]);
    reserve(&mut world, "1.2.3.6", &["s2"]);
    world.run(Duration::from_secs(70));
    assert_eq!(
        (world.shown("s1"), world.shown("s2")),
        (vec!["1.2.3.5".into()], vec!["1.2.3.6".into()])
    );
    world.assert_at_rest();
}

#[test]
fn a_reservation_deleted_while_held_is_made_again_as_an_ordinary_claim() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"]), ("1.2.3.0", &[])]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    world.api.remove_claim(ip("1.2.3.6"));
    world.api.remove_claim(ip("1.2.3.0"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    assert!(!claim(&world, "1.2.3.6").reserved);
    assert_eq!(world.shown("s2"), ["1.2.3.0"], "nobody keeps it any more");
    world.assert_at_rest();
}

#[test]
fn what_a_person_writes_in_the_controllers_fields_of_a_reservation_is_put_right() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"])]);
    world.api.create_service(mk_service("s9"));
    world.run(SOON);
    let holders = claim(&world, "1.2.3.0").holders.clone();
    world.api.edit_claim(ip("1.2.3.6"), |claim| {
        claim.spec.holders = holders;
        claim.spec.state = Some(ClaimState::Held);
        claim.spec.held_by = Some("default/s9".to_owned());
    });
    world.run(Duration::from_secs(70));
    assert_eq!(claim(&world, "1.2.3.6"), &mk_reservation("1.2.3.6", &["s1"]));
    assert_eq!(world.shown("s9"), ["1.2.3.0"]);
    world.api.edit_claim(ip("1.2.3.6"), |claim| {
        claim.spec.last_holder = Some(key("s9"));
        claim.spec.held_by = Some("nobody".to_owned());
    });
    world.run(SOON);
    assert_eq!(claim(&world, "1.2.3.6"), &mk_reservation("1.2.3.6", &["s1"]));
    world.assert_at_rest();
}

#[test]
fn a_reserved_address_that_another_load_balancer_serves_is_waited_for() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"])]);
    let mut foreign = mk_service("foreign");
    foreign.request.eligibility = Eligibility::ForeignClass;
    foreign.status.ingress = vec![Ingress::vip(ip("1.2.3.6"))];
    world.api.create_service(foreign);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(
        world.message("s1"),
        "1.2.3.6 is reserved for the Service, but is shown by default/foreign"
    );
    world.assert_at_rest();
    world.api.delete_service(&key("foreign"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    world.assert_at_rest();
}

#[test]
fn a_reservation_of_a_family_that_the_service_does_not_have_means_nothing() {
    let mut world = mk_world(&[("1000::1", &["s1"])]);
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s1"), "Assigned");
    world.assert_at_rest();
}

#[test]
fn an_unreadable_wish_is_answered_before_a_reservation() {
    let mut world = mk_world(&[("1.2.3.6", &["s1"])]);
    world.api.create_service(asking(mk_service("s1"), "ten"));
    world.run(SOON);
    assert_eq!(world.shown("s1"), [""; 0]);
    assert_eq!(world.reason("s1"), "InvalidAddress");
    world.assert_at_rest();
}

#[test]
fn a_pool_that_is_for_others_refuses_also_to_share_a_reservation() {
    let mut world = mk_world(&[("1.2.3.6", &["s1", "s2"])]);
    world.api.edit_pool("pool", |pool| {
        let tier = Selector {
            requirements: vec![Requirement::In("tier".to_owned(), ["a".to_owned()].into())],
        };
        pool.spec.allocation.service_selectors = vec![tier];
    });
    for (name, tier, port) in [("s1", "a", 80), ("s2", "b", 81)] {
        let mut service = mk_service(name);
        service.request.labels = [("tier".to_owned(), tier.to_owned())].into();
        service.request.sharing_key = Some("k".to_owned());
        service.request.ports[0].port = port;
        world.api.create_service(service);
        world.run(SOON);
    }
    assert_eq!(world.shown("s1"), ["1.2.3.6"]);
    assert_eq!(world.reason("s2"), "NotAdmitted");
    world.assert_at_rest();
}
