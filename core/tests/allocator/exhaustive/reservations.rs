//! Addresses that a person reserves, for Services that come, go, and come again as others.

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, Story, assert_shown, put_pools, put_services, reserve};
use crate::api::Api;
use crate::objects::{asking, ip, key, mk_reservation, mk_service};

const STORIES: [Story; 4] = [
    Story {
        name: "the one comes for whom an address is reserved, and one who asks for it",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            api.create_claim(mk_reservation("10.0.0.1", &["s1"]));
        },
        then: |api| {
            api.create_service(asking(mk_service("s2"), "10.0.0.1"));
            api.create_service(mk_service("s1"));
        },
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.0.1"), ("s2", "")]);
            assert_reserved(api, "10.0.0.1", &["s1"]);
        },
    },
    Story {
        name: "another address is reserved for one that has one",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| api.create_claim(mk_reservation("10.0.0.1", &["s1"])),
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.0.1")]);
            assert_reserved(api, "10.0.0.1", &["s1"]);
        },
    },
    Story {
        name: "the one for whom an address is reserved is deleted and comes again as another",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            api.create_claim(mk_reservation("10.0.0.1", &["s1"]));
            api.create_service(mk_service("s1"));
        },
        then: |api| {
            api.delete_service(&key("s1"));
            api.create_service(mk_service("s1"));
        },
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.0.1")]);
            assert_reserved(api, "10.0.0.1", &["s1"]);
            let holder = &api.claims[&ip("10.0.0.1")].spec.holders[0];
            assert_eq!(holder.uid, api.services[&key("s1")].uid);
        },
    },
    Story {
        name: "an address is reserved for another while it is held, and its holder goes",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1", "s2"]),
        then: |api| {
            reserve(api, "10.0.0.0", "s2");
            api.delete_service(&key("s1"));
        },
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s2", "10.0.0.0")]);
            assert_reserved(api, "10.0.0.0", &["s2"]);
        },
    },
];

/// What a person wrote is there still, whatever became of the address.
fn assert_reserved(api: &Api, address: &str, names: &[&str]) {
    let spec = &api.claims[&ip(address)].spec;
    let expected: Vec<_> = names.iter().copied().map(key).collect();
    assert_eq!((spec.reserved, &spec.reserved_for), (true, &expected));
}

#[test]
fn no_two_cuts_lose_a_reservation_or_lend_it_to_another() {
    cut_everywhere(&STORIES, 5_000);
}

#[test]
fn two_leaders_in_any_order_lend_what_is_reserved_to_whom_it_is_for() {
    interleave(&STORIES);
}
