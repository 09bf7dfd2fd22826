//! Services that come, go, change and move.

use ferrolb_core::address::Family;
use ferrolb_core::request::{Eligibility, FamilyPolicy};

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, Story, ask, assert_shown, change, put_pools, put_services};
use crate::objects::{asking, from_pool, key, mk_dual_service, mk_service};

const STORIES: [Story; 8] = [
    Story {
        name: "three Services come to two pools",
        finalizer: Finalizer::Off,
        before: put_pools,
        then: |api| {
            for name in ["s1", "s2", "s3"] {
                api.create_service(mk_service(name));
            }
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.0.1"), ("s3", "10.0.1.0")]),
    },
    Story {
        name: "two families come",
        finalizer: Finalizer::Off,
        before: put_pools,
        then: |api| {
            api.create_service(mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V4));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0,fd00::")]),
    },
    Story {
        name: "a Service goes and another waits for its address",
        finalizer: Finalizer::Off,
        before: |api| {
            put_services(api, &["s1", "s2", "s3"]);
            api.create_service(asking(mk_service("s4"), "10.0.0.0"));
        },
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s2", "10.0.0.1"), ("s3", "10.0.1.0"), ("s4", "10.0.0.0")]),
    },
    Story {
        name: "a Service moves to an address that it asks for",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| ask(api, "s1", "10.0.1.0"),
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.1.0")]),
    },
    Story {
        name: "two Services ask for each other's address",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            api.create_service(asking(mk_service("s1"), "10.0.0.0"));
            api.create_service(asking(mk_service("s2"), "10.0.0.1"));
        },
        then: |api| {
            ask(api, "s1", "10.0.0.1");
            ask(api, "s2", "10.0.0.0");
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.0.1")]),
    },
    Story {
        name: "a Service changes its type, and a new one comes",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| {
            change(api, "s1", Eligibility::NotLoadBalancer);
            api.create_service(asking(mk_service("s2"), "10.0.0.0"));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", ""), ("s2", "10.0.0.0")]),
    },
    Story {
        name: "a Service is deleted and comes again",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| {
            api.delete_service(&key("s1"));
            api.create_service(mk_service("s1"));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0")]),
    },
    Story {
        name: "a pool is emptied under its holders",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            api.create_service(mk_service("s1"));
            api.create_service(from_pool(mk_service("s2"), "a"));
        },
        then: |api| api.edit_pool("a", |pool| pool.spec.addresses = vec!["10.0.2.0/32".to_owned()]),
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.2.0"), ("s2", "")]),
    },
];

#[test]
fn no_two_cuts_of_lending_lend_twice_leak_or_leave_anybody_waiting() {
    cut_everywhere(&STORIES, 10_000);
}

#[test]
fn two_leaders_in_any_order_lend_nothing_twice() {
    interleave(&STORIES);
}
