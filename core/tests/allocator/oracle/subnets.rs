//! What must be told of subnets, by the last bytes of addresses: histories know subnets of two sizes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferrolb_core::pool::{Pool, PoolName};
use ipnet::IpNet;

use crate::api::Api;

/// The subnet in which histories announce an address: a /24, or a /64.
pub(crate) fn subnet_of(address: IpAddr) -> IpNet {
    let prefix_len = if address.is_ipv4() { 24 } else { 64 };
    let subnet = IpNet::new(address, prefix_len).expect("a prefix length of its family");
    subnet.trunc()
}

/// A pool says that it lists an end of a subnet if, and only if, it does and a claim tells the subnet.
pub(crate) fn check(api: &Api, pool: &Pool, belongs: &BTreeMap<IpAddr, PoolName>) {
    let is_end = |address: &IpAddr| match address {
        IpAddr::V4(address) => matches!(address.octets(), [.., 0 | 255]),
        IpAddr::V6(address) => matches!(address.segments(), [.., 0, 0, 0, 0]),
    };
    let told = api.claims.values().filter_map(|claim| claim.subnet);
    let told: Vec<IpNet> = told
        .filter(|subnet| subnet_of(subnet.addr()) == *subnet)
        .collect();
    let is_told = |address: &IpAddr| told.iter().any(|subnet| subnet.contains(address));
    let mut own = belongs.iter().filter(|(_, name)| **name == pool.name);
    let lists_end = own.any(|(address, _)| is_end(address) && is_told(address));
    let overlap = pool.status.as_ref().and_then(|status| status.overlap.as_ref());
    let overlap = overlap.expect("it is told whether it overlaps");
    assert!(
        overlap.message.contains("keeps for itself") == lists_end,
        "pool {} by subnets {told:?}: {overlap:?}",
        pool.name
    );
}
