//! Which addresses there are, one by one, and whose they are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::range::{AddressRange, is_buggy};

use crate::api::Api;

/// Every address that some pool covers, and that pool: the oldest that lists it.
pub(crate) fn divide(api: &Api) -> BTreeMap<IpAddr, PoolName> {
    let mut pools: Vec<&Pool> = api.pools.values().collect();
    pools.sort_by_key(|pool| (pool.created, pool.name.clone()));
    let mut belongs = BTreeMap::new();
    for pool in pools {
        let excluded: Vec<AddressRange> = parse(&pool.spec.exclude);
        for range in accepted(&pool.spec.addresses) {
            for address in hosts(range) {
                let is_out = excluded.iter().any(|range| range.contains(address));
                if !is_out {
                    belongs.entry(address).or_insert_with(|| pool.name.clone());
                }
            }
        }
    }
    // A pool that has an address and avoids it has it all the same.
    belongs.retain(|address, name| !(api.pools[name].spec.avoid_buggy_ips && is_buggy(*address)));
    belongs
}

pub(super) fn parse(entries: &[String]) -> Vec<AddressRange> {
    entries.iter().filter_map(|entry| entry.parse().ok()).collect()
}

/// The entries that mean something and do not overlap an earlier one.
pub(crate) fn accepted(entries: &[String]) -> Vec<AddressRange> {
    let mut accepted: Vec<AddressRange> = Vec::new();
    for range in parse(entries) {
        if !accepted
            .iter()
            .any(|earlier| hosts(range).any(|host| earlier.contains(host)))
        {
            accepted.push(range);
        }
    }
    accepted
}

pub(super) fn hosts(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    let family = range.family();
    (range.first()..=range.last()).map(move |number| match family {
        Family::V4 => IpAddr::V4(u32::try_from(number).expect("IPv4").into()),
        Family::V6 => IpAddr::V6(number.into()),
    })
}
