//! What a pool says of its addresses, against counting them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::pool::{Pool, PoolName};

use super::{is_frozen, is_shown, subnets};
use crate::api::Api;

/// A6, by counting hosts.
pub(super) fn check_capacity(api: &Api, pool: &Pool, belongs: &BTreeMap<IpAddr, PoolName>) {
    let status = pool
        .status
        .as_ref()
        .unwrap_or_else(|| panic!("pool {} has no status", pool.name));
    let mut nodes = api.nodes.values().flatten();
    let is_on_node = nodes.any(|address| belongs.get(address) == Some(&pool.name));
    let overlap = status.overlap.as_ref().expect("it is told whether it overlaps");
    assert!(
        overlap.message.contains("the address of Node") == is_on_node,
        "pool {}: {overlap:?}",
        pool.name
    );
    subnets::check(api, pool, belongs);
    let is_frozen = is_frozen(pool);
    for (family, capacity) in [(Family::V4, status.v4), (Family::V6, status.v6)] {
        let covered = belongs
            .iter()
            .filter(|(address, name)| Family::of(**address) == family && **name == pool.name);
        let (mut assigned, mut reserved, mut quarantined, mut free) = (0, 0, 0, 0);
        for (address, _) in covered {
            match api.claims.get(address) {
                None if is_shown(api, *address, None) => assigned += 1,
                None => free += i64::from(!is_frozen),
                Some(claim) if claim.is_idle_reservation() => reserved += 1,
                Some(claim) if claim.is_vacant() => quarantined += 1,
                Some(_) => assigned += 1,
            }
        }
        let kept = api.claims.values().filter(|claim| {
            let address = claim.spec.address;
            Family::of(address) == family
                && !claim.is_vacant()
                && claim.spec.pool.as_ref() == Some(&pool.name)
                && !belongs.contains_key(&address)
        });
        assigned += i64::try_from(kept.count()).expect("few");
        let counted = (
            capacity.assigned,
            capacity.reserved,
            capacity.quarantined,
            capacity.available,
        );
        assert_eq!(
            counted,
            (assigned, reserved, quarantined, free),
            "A6: (assigned, reserved, quarantined, available) of pool {} {family:?}",
            pool.name
        );
        assert_eq!(
            capacity.total,
            assigned + reserved + quarantined + free,
            "A6: total of pool {}",
            pool.name
        );
    }
}
