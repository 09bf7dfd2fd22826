//! What people do while the controller is still at work on what they did before.
//!
//! Each of these clauses of the allocator was taken out by itself, and this story was the first to fail:
//!
//! | clause | story |
//! |---|---|
//! | an address is let go after a write of our own (`may_be_overtaken`: not fenced) | a pool is emptied under one that has just come |
//! | the same, for whoever is not the one whom the claim names (another identity, not met) | one that asks for nothing goes, and comes again |
//! | not while a write of the status is under way | one moves to another pool, whose addresses change |
//! | not while one is lost and may land (`must_write`) | one moves to another pool, whose addresses change |
//! | not while it is shown | a pool is emptied under one that has just come |
//! | who lost a write of the status writes again, and something that differs | a pool is emptied under one that has just come |
//! | a write of a claim that is lost takes its fence off | one asks for another address, and for its own again |
//! | claim before status: it names the Service | one goes, and comes again |
//! | claim before status: by its identity | one goes, and comes again |
//! | claim before status: no call for the claim is under way | one asks for another address, and for its own again |
//! | claim before status: the claim is fenced | one asks for another address, and for its own again |
//! | a claim that was only read lets nobody go (`is_unseen`) | one goes, and comes again (two leaders) |
//! | who is gone from the watch is read before it is let go | a pool is emptied under one that has just come |
//! | after a conflict, it is read again | one changes its type, and another comes for its address |
//! | our marks go last, with the finalizer | one with the finalizer changes its class |
//! | nothing is done before all lists are there | a pool is emptied under one that has just come |

use ferrolb_core::request::Eligibility;

use super::cuts::cut_everywhere;
use super::leaders::interleave;
use super::{Finalizer, Story, ask, assert_shown, change, put_pools, put_services, put_sharers, reserve};
use crate::objects::{asking, key, mk_service, mk_sharer};

const STORIES: [Story; 11] = [
    Story {
        name: "a pool is emptied under one that has just come",
        finalizer: Finalizer::Off,
        before: put_pools,
        then: |api| api.create_service(mk_service("s1")),
        meanwhile: &[|api| api.edit_pool("a", |pool| pool.spec.addresses = vec!["10.0.2.0/32".to_owned()])],
        end: |api| assert_shown(api, &[("s1", "10.0.2.0")]),
    },
    Story {
        name: "one goes, and another comes for its address",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[|api| api.create_service(asking(mk_service("s2"), "10.0.0.0"))],
        end: |api| assert_shown(api, &[("s2", "10.0.0.0")]),
    },
    Story {
        name: "one goes, and comes again",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[|api| api.create_service(asking(mk_service("s1"), "10.0.0.0"))],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0")]),
    },
    Story {
        name: "one comes, and goes",
        finalizer: Finalizer::Off,
        before: put_pools,
        then: |api| api.create_service(mk_service("s1")),
        meanwhile: &[|api| api.delete_service(&key("s1"))],
        end: |api| assert_eq!(api.claims.len(), 0),
    },
    Story {
        name: "one comes, and another of its name takes its place",
        finalizer: Finalizer::Off,
        before: put_pools,
        then: |api| api.create_service(mk_service("s1")),
        meanwhile: &[|api| {
            api.delete_service(&key("s1"));
            api.create_service(asking(mk_service("s1"), "10.0.1.0"));
        }],
        end: |api| assert_shown(api, &[("s1", "10.0.1.0")]),
    },
    Story {
        name: "one asks for another address, and for its own again",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| ask(api, "s1", "10.0.1.0"),
        meanwhile: &[|api| ask(api, "s1", "10.0.0.0")],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0")]),
    },
    Story {
        name: "one moves to another pool, whose addresses change",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| {
            api.edit_service(&key("s1"), |service| service.request.pool = Some("b".into()));
        },
        meanwhile: &[|api| api.edit_pool("b", |pool| pool.spec.addresses = vec!["10.0.2.0/32".to_owned()])],
        end: |api| assert_shown(api, &[("s1", "10.0.2.0")]),
    },
    Story {
        name: "one moves to another pool, and goes",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| {
            api.edit_service(&key("s1"), |service| service.request.pool = Some("b".into()));
        },
        meanwhile: &[|api| api.delete_service(&key("s1"))],
        end: |api| assert_eq!(api.claims.len(), 0),
    },
    Story {
        name: "one changes its type, and back",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| change(api, "s1", Eligibility::NotLoadBalancer),
        meanwhile: &[|api| {
            ask(api, "s1", "10.0.0.0");
            change(api, "s1", Eligibility::Eligible);
        }],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0")]),
    },
    Story {
        name: "one changes its type, and another comes for its address",
        finalizer: Finalizer::Off,
        before: |api| put_services(api, &["s1"]),
        then: |api| change(api, "s1", Eligibility::NotLoadBalancer),
        meanwhile: &[|api| api.create_service(asking(mk_service("s2"), "10.0.0.0"))],
        end: |api| assert_shown(api, &[("s1", ""), ("s2", "10.0.0.0")]),
    },
    Story {
        name: "one that asks for nothing goes, and comes again as one that asks",
        finalizer: Finalizer::Off,
        before: |api| {
            put_pools(api);
            let mut headless = mk_service("s1");
            headless.request.cluster_ips.clear();
            api.create_service(headless);
        },
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[|api| api.create_service(mk_service("s1"))],
        end: |api| assert_shown(api, &[("s1", "10.0.0.0")]),
    },
];

const WITH_FINALIZER: [Story; 4] = [
    Story {
        name: "one with the finalizer goes, and another comes for its address",
        finalizer: Finalizer::On,
        before: |api| put_services(api, &["s1"]),
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[|api| api.create_service(asking(mk_service("s2"), "10.0.0.0"))],
        end: |api| assert_shown(api, &[("s2", "10.0.0.0")]),
    },
    Story {
        name: "one comes, is given the finalizer, and goes",
        finalizer: Finalizer::On,
        before: put_pools,
        then: |api| api.create_service(mk_service("s1")),
        meanwhile: &[|api| api.delete_service(&key("s1"))],
        end: |api| assert_eq!((api.claims.len(), api.services.len()), (0, 0)),
    },
    Story {
        name: "one with the finalizer changes its type, and goes",
        finalizer: Finalizer::On,
        before: |api| put_services(api, &["s1"]),
        then: |api| change(api, "s1", Eligibility::NotLoadBalancer),
        meanwhile: &[|api| api.delete_service(&key("s1"))],
        end: |api| assert_eq!((api.claims.len(), api.services.len()), (0, 0)),
    },
    Story {
        name: "one with the finalizer changes its class by way of another type",
        finalizer: Finalizer::On,
        before: |api| put_services(api, &["s1"]),
        then: |api| change(api, "s1", Eligibility::NotLoadBalancer),
        meanwhile: &[|api| change(api, "s1", Eligibility::ForeignClass)],
        end: |api| {
            let status = &api.services[&key("s1")].status;
            assert_eq!((api.claims.len(), status.has_finalizer), (0, false));
        },
    },
];

const OF_SEVERAL: [Story; 2] = [
    Story {
        name: "one of two that share leaves, and another comes for its port",
        finalizer: Finalizer::Off,
        before: put_sharers,
        then: |api| api.delete_service(&key("s1")),
        meanwhile: &[|api| api.create_service(mk_sharer("s3", "k", 80))],
        end: |api| assert_shown(api, &[("s2", "10.0.0.0")]),
    },
    Story {
        name: "the address of one is reserved for another, and its holder goes",
        finalizer: Finalizer::Off,
        before: |api| {
            put_services(api, &["s1", "s2"]);
        },
        then: |api| {
            reserve(api, "10.0.0.0", "s2");
        },
        meanwhile: &[|api| api.delete_service(&key("s1"))],
        end: |api| assert_shown(api, &[("s2", "10.0.0.0")]),
    },
];

fn all() -> Vec<Story> {
    STORIES
        .into_iter()
        .chain(WITH_FINALIZER)
        .chain(OF_SEVERAL)
        .collect()
}

#[test]
fn no_cut_and_no_edit_at_any_moment_lend_twice_leak_or_leave_anybody_waiting() {
    cut_everywhere(&all(), 1_000);
}

#[test]
fn two_leaders_in_any_order_and_an_edit_at_any_moment_lend_nothing_twice() {
    interleave(&all());
}
