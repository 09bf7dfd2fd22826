//! Division of addresses among pools.

use std::time::Duration;

use super::*;
use crate::object::{ResourceVersion, Uid};
use crate::pool::PoolSpec;
use crate::pool::allocation::Allocation;
use crate::pool::free::Free;
use crate::time::Timestamp;

pub(in crate::pool) fn mk_pool(name: &str, created: i64, addresses: &[&str]) -> Pool {
    Pool {
        name: name.into(),
        uid: Uid::from(name),
        resource_version: ResourceVersion::from("1"),
        created: Timestamp(created),
        spec: PoolSpec {
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            exclude: Vec::new(),
            auto_assign: true,
            avoid_buggy_ips: false,
            quarantine: Duration::ZERO,
            allocation: Allocation::default(),
            sharing: Sharing::default(),
            advertisements: vec!["default".into()],
        },
        unreadable: None,
        status: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn share<'a>(layout: &'a Layout, name: &str) -> &'a Share {
    layout.share(&name.into()).expect("the pool is there")
}

#[test]
fn entries_are_lent_as_listed_and_lowest_first() {
    let layout = Layout::compile(&[mk_pool("p", 1, &["10.0.1.4/31", "10.0.0.10/31"])]);
    let share = share(&layout, "p");
    let mut free = Free::of(share);
    let mut lent = Vec::new();
    while let Some(address) = free.first(share, Family::V4) {
        free.take(share, address);
        lent.push(address.to_string());
    }
    assert_eq!(lent, ["10.0.1.4", "10.0.1.5", "10.0.0.10", "10.0.0.11"]);
    assert_eq!(free.first(share, Family::V6), None);
}

#[test]
fn excluded_and_avoided_addresses_are_never_lent() {
    let mut pool = mk_pool("p", 1, &["1.2.4.0/31", "1.2.4.254/31", "1.2.5.0/30"]);
    pool.spec.avoid_buggy_ips = true;
    pool.spec.exclude = vec!["1.2.5.2-1.2.5.9".into()];
    let layout = Layout::compile(&[pool]);
    let share = share(&layout, "p");
    assert_eq!(share.count(Family::V4), 3);
    let mut free = Free::of(share);
    let mut lent = Vec::new();
    while let Some(address) = free.first(share, Family::V4) {
        free.take(share, address);
        lent.push(address.to_string());
        assert_eq!(layout.pool_of(address), Some(&"p".into()));
    }
    assert_eq!(lent, ["1.2.4.1", "1.2.4.254", "1.2.5.1"]);
    for outside in ["1.2.4.0", "1.2.4.255", "1.2.5.2", "1.2.5.4"] {
        assert_eq!(layout.pool_of(ip(outside)), None, "{outside}");
    }
}

#[test]
fn a_whole_family_is_as_cheap_as_one_address() {
    let mut pool = mk_pool("p", 1, &["0.0.0.0/0", "::/0"]);
    pool.spec.avoid_buggy_ips = true;
    let layout = Layout::compile(&[pool]);
    let share = share(&layout, "p");
    assert_eq!(share.count(Family::V4), (1 << 32) - (1 << 25));
    assert_eq!(share.count(Family::V6), u128::MAX);
    let mut free = Free::of(share);
    assert_eq!(free.first(share, Family::V4), Some(ip("0.0.0.1")));
}

#[test]
fn an_entry_that_means_nothing_lends_nothing_and_is_named() {
    let layout = Layout::compile(&[mk_pool(
        "p",
        1,
        &["10.0.0.0/30", "fc00::2-fc00::1", "10.0.0.2/32"],
    )]);
    let share = share(&layout, "p");
    assert_eq!(share.count(Family::V4), 4);
    assert_eq!(share.count(Family::V6), 0);
    let named: Vec<String> = share.invalid.iter().map(ToString::to_string).collect();
    assert_eq!(
        named,
        [
            "spec.addresses[1]: the range \"fc00::2-fc00::1\" is backwards: its first address is above its last, so \
             swap them",
            "spec.addresses[2]: \"10.0.0.2\" overlaps the earlier entry 10.0.0.0-10.0.0.3: list each address once",
        ]
        .map(|text| text.replace("\"10.0.0.2\"", "\"10.0.0.2/32\""))
    );
    assert!(share.may_have_meant(ip("fc00::1")));
    assert!(share.lends(ip("10.0.0.2")));
}

#[test]
fn an_exclude_entry_that_means_nothing_stops_new_lending() {
    let mut pool = mk_pool("p", 1, &["10.0.0.0/30"]);
    pool.spec.exclude = vec!["10.0.0.1-".into()];
    let layout = Layout::compile(&[pool]);
    let share = share(&layout, "p");
    assert!(Free::of(share).first(share, Family::V4).is_none());
    assert!(!share.lends(ip("10.0.0.2")));
    assert!(share.covers(ip("10.0.0.2")));
}

#[test]
fn the_older_pool_has_what_two_pools_list() {
    let pools = [
        mk_pool("a", 2, &["10.0.0.0/29"]),
        mk_pool("b", 1, &["10.0.0.4/31", "fc00::/120"]),
        mk_pool("c", 2, &["10.0.0.6-10.0.0.9"]),
    ];
    let layout = Layout::compile(&pools);
    let divided: Vec<Option<&str>> = (0..11)
        .map(|last| {
            layout
                .pool_of(ip(&format!("10.0.0.{last}")))
                .map(PoolName::as_str)
        })
        .collect();
    let (a, b, c) = (Some("a"), Some("b"), Some("c"));
    assert_eq!(divided, [a, a, a, a, b, b, a, a, c, c, None]);
    assert_eq!(share(&layout, "a").count(Family::V4), 6);
    let overlap = |range: &str, has| Overlap {
        range: range.parse().expect("a range"),
        has,
    };
    assert_eq!(
        share(&layout, "a").overlaps,
        BTreeMap::from([
            ("b".into(), overlap("10.0.0.4-10.0.0.5", false)),
            ("c".into(), overlap("10.0.0.6-10.0.0.7", true)),
        ])
    );
    assert_eq!(
        share(&layout, "b").overlaps,
        BTreeMap::from([("a".into(), overlap("10.0.0.4-10.0.0.5", true))])
    );
    let mut reversed = pools.clone();
    reversed.reverse();
    let again = Layout::compile(&reversed);
    assert_eq!(share(&again, "c").overlaps, share(&layout, "c").overlaps);
}

#[test]
fn what_an_older_pool_excludes_a_younger_may_lend() {
    let mut older = mk_pool("older", 1, &["10.0.0.0/24"]);
    older.spec.exclude = vec!["10.0.0.128/25".into()];
    let layout = Layout::compile(&[older, mk_pool("younger", 2, &["10.0.0.128/25"])]);
    assert_eq!(layout.pool_of(ip("10.0.0.200")), Some(&"younger".into()));
    assert!(share(&layout, "older").overlaps.is_empty());
}
