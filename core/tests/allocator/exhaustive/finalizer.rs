//! Services that carry the finalizer, and controllers that set it or do so no more.

use ferrolb_core::request::Eligibility;

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, Story, assert_shown, change, put_services};
use crate::api::Api;
use crate::objects::{asking, key, mk_service};

const STORIES: [Story; 5] = [
    Story {
        name: "one with the finalizer is deleted, and another waits for its address",
        finalizer: Finalizer::On,
        before: |api| {
            put_services(api, &["s1"]);
            api.create_service(asking(mk_service("s2"), "10.0.0.0"));
        },
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[],
        end: |api| {
            assert!(!api.services.contains_key(&key("s1")), "it is gone");
            assert_shown(api, &[("s2", "10.0.0.0")]);
            assert_finalizers(api, &["s2"]);
        },
    },
    Story {
        name: "one with the finalizer changes its type",
        finalizer: Finalizer::On,
        before: |api| put_services(api, &["s1"]),
        then: |api| change(api, "s1", Eligibility::NotLoadBalancer),
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "")]);
            assert_finalizers(api, &[]);
            assert_eq!(api.claims.len(), 0);
        },
    },
    Story {
        name: "one with the finalizer changes its class",
        finalizer: Finalizer::On,
        before: |api| put_services(api, &["s1"]),
        then: |api| {
            // The class can be changed only by way of another type.
            change(api, "s1", Eligibility::NotLoadBalancer);
            change(api, "s1", Eligibility::ForeignClass);
        },
        meanwhile: &[],
        end: |api| {
            assert_finalizers(api, &[]);
            assert_eq!(api.claims.len(), 0);
        },
    },
    Story {
        name: "the finalizer is wanted no more while one is deleted and another has it",
        finalizer: Finalizer::TurnedOff,
        before: |api| put_services(api, &["s1", "s2"]),
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[],
        end: |api| {
            assert!(!api.services.contains_key(&key("s1")), "it is gone");
            assert_shown(api, &[("s2", "10.0.0.1")]);
            assert_finalizers(api, &[]);
        },
    },
    Story {
        name: "the finalizer is wanted while one comes and another has an address without it",
        finalizer: Finalizer::TurnedOn,
        before: |api| put_services(api, &["s1"]),
        then: |api| api.create_service(mk_service("s2")),
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.0.1")]);
            assert_finalizers(api, &["s1", "s2"]);
        },
    },
];

/// Who carries the finalizer.
fn assert_finalizers(api: &Api, expected: &[&str]) {
    let carriers = api
        .services
        .values()
        .filter(|service| service.status.has_finalizer);
    let carriers: Vec<&str> = carriers.map(|service| &*service.key.name).collect();
    assert_eq!(carriers, expected);
}

#[test]
fn no_two_cuts_leave_a_finalizer_on_or_let_an_address_go_too_early() {
    cut_everywhere(&STORIES, 5_000);
}

#[test]
fn two_leaders_in_any_order_agree_about_the_finalizer() {
    interleave(&STORIES);
}
