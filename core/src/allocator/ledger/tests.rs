//! The derived counts and sets against the slots that they are derived from.

use std::time::Duration;

use super::*;
use crate::address::Family;
use crate::allocator::call::CallId;
use crate::claim::{Claim, ClaimSpec, ClaimState, Holder};
use crate::object::ResourceVersion;
use crate::pool::allocation::Allocation;
use crate::pool::{Pool, PoolSpec, Sharing};
use crate::selector::Labels;
use crate::service::TrafficPolicy;
use crate::time::Timestamp;

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn mk_layout(addresses: &[&str]) -> Layout {
    let pool = Pool {
        name: "pool".into(),
        uid: Uid::from("uid"),
        resource_version: ResourceVersion::from("1"),
        created: Timestamp(0),
        spec: PoolSpec {
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            exclude: Vec::new(),
            auto_assign: true,
            avoid_buggy_ips: false,
            quarantine: Duration::ZERO,
            allocation: Allocation::default(),
            sharing: Sharing::default(),
            advertisements: Vec::new(),
        },
        unreadable: None,
        status: None,
    };
    Layout::compile([&pool])
}

fn mk_ledger(addresses: &[&str]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.set_layout(mk_layout(addresses));
    ledger
}

fn mk_claim(address: &str, holder: Option<&str>, last: Option<&str>) -> Claim {
    let holders = holder.map(|name| Holder {
        service: key(name),
        uid: Uid::from(name),
        ports: Vec::new(),
        traffic_policy: TrafficPolicy::Cluster,
        sharing_key: None,
        selector: Labels::new(),
        advertisements: Vec::new(),
    });
    Claim {
        uid: Uid::from("claim"),
        resource_version: ResourceVersion::from("1"),
        spec: ClaimSpec {
            address: ip(address),
            reserved: false,
            reserved_for: Vec::new(),
            pool: Some("pool".into()),
            state: Some(ClaimState::Held),
            state_since: None,
            held_by: None,
            last_holder: last.map(key),
            holders: holders.into_iter().collect(),
        },
        has_owner: false,
        subnet: None,
    }
}

/// (total, assigned, quarantined, available) of the IPv4 addresses of the pool.
fn counts(ledger: &Ledger) -> (i64, i64, i64, i64) {
    let (v4, _) = ledger.capacity(&"pool".into());
    (v4.total, v4.assigned, v4.quarantined, v4.available)
}

#[test]
fn an_address_counts_once_from_granted_to_free() {
    let mut ledger = mk_ledger(&["10.0.0.0/30"]);
    let (pool, address) = (PoolName::from("pool"), ip("10.0.0.0"));
    assert_eq!(counts(&ledger), (4, 0, 0, 4));
    ledger.update(address, |slot| slot.add_holder(&key("a"), &pool, Arc::default()));
    assert_eq!(counts(&ledger), (4, 1, 0, 3), "granted");
    ledger.update(address, |slot| {
        slot.live = Some(mk_claim("10.0.0.0", Some("a"), None).into());
    });
    assert_eq!(counts(&ledger), (4, 1, 0, 3), "claimed");
    ledger.update(address, |slot| slot.drop_holder(&key("a")));
    assert_eq!(counts(&ledger), (4, 1, 0, 3), "given up, and still shown");
    ledger.update(address, |slot| {
        slot.live = Some(mk_claim("10.0.0.0", None, Some("a")).into());
    });
    assert_eq!(counts(&ledger), (4, 0, 1, 3), "resting");
    assert!(ledger.addresses_of(&key("a")).eq([address]));
    ledger.update(address, |slot| slot.live = None);
    assert_eq!(counts(&ledger), (4, 0, 0, 4), "free");
    assert_eq!(ledger.addresses_of(&key("a")).next(), None);
    assert_eq!(ledger.len(), 0);
}

#[test]
fn the_lowest_free_address_is_found_again_after_it_was_used() {
    let mut ledger = mk_ledger(&["10.0.0.2/31", "10.0.0.0/31"]);
    let pool = PoolName::from("pool");
    let mut taken = Vec::new();
    while let Some(address) = ledger.first_free(&pool, Family::V4) {
        ledger.update(address, |slot| slot.add_holder(&key("a"), &pool, Arc::default()));
        taken.push(address);
    }
    assert_eq!(
        taken,
        ["10.0.0.2", "10.0.0.3", "10.0.0.0", "10.0.0.1"].map(ip),
        "as listed"
    );
    ledger.update(ip("10.0.0.0"), |slot| slot.drop_holder(&key("a")));
    ledger.update(ip("10.0.0.3"), |slot| slot.drop_holder(&key("a")));
    assert_eq!(ledger.first_free(&pool, Family::V4), Some(ip("10.0.0.3")));
    assert_eq!(ledger.first_free(&pool, Family::V6), None);
}

#[test]
fn only_what_others_can_tell_counts_as_changed() {
    let mut ledger = mk_ledger(&["10.0.0.0/31"]);
    let (pool, address) = (PoolName::from("pool"), ip("10.0.0.0"));
    ledger.update(address, |slot| slot.add_holder(&key("a"), &pool, Arc::default()));
    let changes = ledger.take_changes();
    assert_eq!(changes.addresses, BTreeSet::from([address]));
    assert_eq!(changes.pools, BTreeSet::from([pool]));
    ledger.note(address, |progress| progress.must_read = true);
    ledger.note(address, |progress| progress.is_fenced = true);
    let changes = ledger.take_changes();
    assert_eq!((changes.addresses.len(), changes.pools.len()), (0, 0));
}

#[test]
fn an_address_becomes_free_with_the_end_of_its_last_call() {
    let mut ledger = mk_ledger(&["10.0.0.0/31"]);
    let (pool, address) = (PoolName::from("pool"), ip("10.0.0.0"));
    ledger.update(address, |slot| slot.add_holder(&key("a"), &pool, Arc::default()));
    ledger.note(address, |progress| progress.call = Some(CallId(1)));
    ledger.update(address, |slot| slot.drop_holder(&key("a")));
    assert_eq!(counts(&ledger), (2, 0, 1, 1), "a claim may come of the call");
    ledger.take_changes();
    ledger.note(address, |progress| progress.call = None);
    assert_eq!(counts(&ledger), (2, 0, 0, 2));
    let changes = ledger.take_changes();
    assert_eq!(changes.addresses, BTreeSet::from([address]));
}

#[test]
fn what_a_pool_no_longer_lists_counts_nowhere() {
    let mut ledger = mk_ledger(&["10.0.0.0/30"]);
    let pool = PoolName::from("pool");
    for address in ["10.0.0.0", "10.0.0.3"] {
        ledger.update(ip(address), |slot| {
            slot.add_holder(&key("a"), &pool, Arc::default());
        });
    }
    ledger.set_layout(mk_layout(&["10.0.0.2/31"]));
    assert_eq!(counts(&ledger), (2, 1, 0, 1));
    ledger.set_layout(mk_layout(&["10.0.0.0/29"]));
    assert_eq!(counts(&ledger), (8, 2, 0, 6));
    assert_eq!(ledger.first_free(&pool, Family::V4), Some(ip("10.0.0.1")));
}

#[test]
fn a_deleted_claim_stays_buried_until_the_watch_shows_anything_else() {
    let mut ledger = Ledger::default();
    let (address, old, new) = (ip("10.0.0.0"), Uid::from("old"), Uid::from("new"));
    ledger.bury(address, old.clone());
    assert!(ledger.is_buried(address, &old));
    assert!(!ledger.is_buried(address, &new));
    assert!(!ledger.is_buried(address, &old), "the successor ends the memory");
    ledger.bury(address, old.clone());
    ledger.forget_grave(address);
    assert!(!ledger.is_buried(address, &old));
}
