//! Pools for some: a quota, a namespace, an order.

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, REST, Story, assert_shown};
use crate::api::Api;
use crate::objects::{
    at_priority, for_namespace, from_pool, in_namespace, key, mk_pool, mk_service, resting, with_quota,
};

const STORIES: [Story; 4] = [
    Story {
        name: "one goes, and another waits for the quota",
        finalizer: Finalizer::Off,
        before: |api| {
            put_quota(api, 1);
            api.create_service(from_pool(mk_service("s1"), "a"));
            api.create_service(from_pool(mk_service("s2"), "a"));
        },
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[],
        end: |api| {
            let [address] = &api.shown(&key("s2"))[..] else {
                panic!("s2 waits though the quota has room");
            };
            assert!(address.starts_with("10.0.0."), "{address}");
        },
    },
    Story {
        name: "two come at once for what the quota leaves",
        finalizer: Finalizer::Off,
        before: |api| put_quota(api, 1),
        then: |api| {
            api.create_service(mk_service("s1"));
            api.create_service(mk_service("s2"));
            api.create_service(from_pool(mk_service("s3"), "a"));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.1.0"), ("s3", "")]),
    },
    Story {
        name: "three come to a pool of their namespace and one for all",
        finalizer: Finalizer::Off,
        before: |api| {
            api.put_pool(mk_pool("a", &["10.0.0.0/31"]));
            let pinned = for_namespace(mk_pool("b", &["10.0.1.0/32"]), "default");
            api.put_pool(at_priority(pinned, 10));
        },
        then: |api| {
            for name in ["s1", "s2", "s3"] {
                api.create_service(mk_service(name));
            }
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.1.0"), ("s2", "10.0.0.0"), ("s3", "10.0.0.1")]),
    },
    Story {
        name: "a pool turns from one namespace to another, of which one waits",
        finalizer: Finalizer::Off,
        before: |api| {
            let pool = for_namespace(mk_pool("a", &["10.0.0.0/32"]), "default");
            api.put_pool(resting(pool, REST));
            api.put_pool(for_namespace(mk_pool("b", &["10.0.1.0/32"]), "default"));
            api.create_service(mk_service("s1"));
            api.create_service(in_namespace(mk_service("s2"), "other"));
        },
        then: |api| {
            api.edit_pool("a", |pool| {
                pool.spec.allocation.namespaces = ["other".to_owned()].into();
            });
        },
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.1.0")]);
            let other = in_namespace(mk_service("s2"), "other").key;
            assert_eq!(api.shown(&other), ["10.0.0.0"]);
        },
    },
];

/// A pool of two that lends a namespace so many, and one of one more.
fn put_quota(api: &mut Api, most: u32) {
    let pool = with_quota(mk_pool("a", &["10.0.0.0/31"]), most);
    api.put_pool(resting(pool, REST));
    api.put_pool(mk_pool("b", &["10.0.1.0/32"]));
}

#[test]
fn no_two_cuts_exceed_a_quota_or_lend_to_whom_a_pool_is_not_for() {
    cut_everywhere(&STORIES, 5_000);
}

#[test]
fn two_leaders_in_any_order_keep_to_quota_and_admission() {
    interleave(&STORIES);
}
