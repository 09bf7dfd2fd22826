//! Services that share an address come, leave and fall out.

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, Story, assert_shown, put_pools, put_sharers};
use crate::objects::{ip, key, mk_sharer};

const STORIES: [Story; 4] = [
    Story {
        name: "two come to share with one that holds",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            api.create_service(mk_sharer("s1", "k", 80));
        },
        then: |api| {
            api.create_service(mk_sharer("s2", "k", 81));
            api.create_service(mk_sharer("s3", "k", 82));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.0.0"), ("s3", "10.0.0.0")]),
    },
    Story {
        name: "one of two that share leaves, and another comes for its port",
        finalizer: Finalizer::Off,
        before: put_sharers,
        then: |api| {
            api.delete_service(&key("s1"));
            api.create_service(mk_sharer("s3", "k", 80));
        },
        meanwhile: &[],
        end: |api| assert_shown(api, &[("s2", "10.0.0.0")]),
    },
    Story {
        name: "both that share leave",
        finalizer: Finalizer::Off,
        before: put_sharers,
        then: |api| {
            api.delete_service(&key("s1"));
            api.delete_service(&key("s2"));
        },
        meanwhile: &[],
        end: |api| assert_eq!(api.claims.len(), 0, "nothing is left of {:?}", api.claims),
    },
    Story {
        name: "one of two that share takes the other's port",
        finalizer: Finalizer::Off,
        before: put_sharers,
        then: |api| {
            api.edit_service(&key("s2"), |service| {
                service.request.ports = mk_sharer("s2", "k", 80).request.ports;
            });
        },
        meanwhile: &[],
        end: |api| {
            assert_shown(api, &[("s1", "10.0.0.0"), ("s2", "10.0.0.1")]);
            assert_eq!(api.claims[&ip("10.0.0.0")].spec.holders.len(), 1);
        },
    },
];

#[test]
fn no_two_cuts_of_sharing_lend_a_port_twice_leak_or_leave_anybody_waiting() {
    cut_everywhere(&STORIES, 4_000);
}

#[test]
fn two_leaders_in_any_order_put_no_two_on_one_port() {
    interleave(&STORIES);
}
