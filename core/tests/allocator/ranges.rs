//! Pools of many small ranges, and pools up to the first and the last address of a family: every
//! address is counted once, whatever it stands for, and the first one that is free is lent.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::pool::Capacity;
use ferrolb_core::request::FamilyPolicy;

use crate::objects::{ip, key, mk_dual_service, mk_pool, mk_reservation, resting};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);
/// How many ranges of two addresses each a pool has of each family.
const RANGES: u32 = 5_000;
const SERVICES: u32 = 60;

/// The first address of a range: no two ranges touch, and a later one lies lower.
fn first_of(family: Family, range: u32) -> IpAddr {
    let number = 4 * (RANGES - range);
    match family {
        Family::V4 => Ipv4Addr::from_bits((10 << 24) + number).into(),
        Family::V6 => Ipv6Addr::from_bits((0xfd << 120) + u128::from(number)).into(),
    }
}

/// The entries of some ranges of both families, in turns.
fn entries(ranges: std::ops::Range<u32>) -> Vec<String> {
    let both = |range| {
        [
            format!("{}/31", first_of(Family::V4, range)),
            format!("{}/127", first_of(Family::V6, range)),
        ]
    };
    ranges.flat_map(both).collect()
}

/// The address of a number, in the order in which the ranges are listed.
fn nth(family: Family, number: u32) -> String {
    let first = first_of(family, number / 2);
    let address: IpAddr = match (first, number % 2) {
        (first, 0) => first,
        (IpAddr::V4(first), _) => Ipv4Addr::from_bits(first.to_bits() + 1).into(),
        (IpAddr::V6(first), _) => Ipv6Addr::from_bits(first.to_bits() + 1).into(),
    };
    address.to_string()
}

fn name(number: u32) -> String {
    format!("s{number}")
}

fn create(world: &mut World, number: u32) {
    let service = mk_dual_service(&name(number), FamilyPolicy::RequireDualStack, Family::V4);
    world.api.create_service(service);
}

fn mk_capacity(total: i64, assigned: i64, reserved: i64, quarantined: i64) -> Capacity {
    let used = assigned + reserved + quarantined;
    Capacity {
        total,
        assigned,
        reserved,
        quarantined,
        // What cannot be counted any more is as good as untouched.
        available: if total == i64::MAX { total } else { total - used },
    }
}

fn capacities(world: &World) -> (Capacity, Capacity) {
    let status = world.api.pools["pool"].status.as_ref().expect("a status");
    (status.v4, status.v6)
}

#[test]
fn ten_thousand_small_ranges_are_lent_as_listed_and_counted_exactly() {
    let mut world = World::new();
    let mut pool = resting(mk_pool("pool", &[]), 60);
    pool.spec.addresses = entries(0..RANGES);
    world.api.put_pool(pool);
    for address in [nth(Family::V4, 2), nth(Family::V6, 3)] {
        world.api.create_claim(mk_reservation(&address, &[]));
    }
    for number in 0..SERVICES {
        create(&mut world, number);
    }
    world.run(SOON);
    // One of each family is reserved, and passed over.
    let expected = |number| {
        let v4 = if number < 2 { number } else { number + 1 };
        let v6 = if number < 3 { number } else { number + 1 };
        [nth(Family::V4, v4), nth(Family::V6, v6)]
    };
    for number in 0..SERVICES {
        assert_eq!(world.shown(&name(number)), expected(number));
    }
    for number in 0..5 {
        world.api.delete_service(&key(&name(number)));
    }
    world.run(SOON);
    let total = i64::from(2 * RANGES);
    let counted = mk_capacity(total, i64::from(SERVICES) - 5, 1, 5);
    assert_eq!(capacities(&world), (counted, counted));
    world.restart();
    world.run(SOON);
    assert_eq!(capacities(&world), (counted, counted), "after a restart");
    // Once they have rested, the first ones are lent again.
    world.run(Duration::from_secs(60));
    create(&mut world, SERVICES);
    world.run(SOON);
    assert_eq!(world.shown(&name(SERVICES)), expected(0));
}

#[test]
fn many_small_ranges_shrink_under_their_holders_and_grow_again() {
    let mut world = World::new();
    let mut pool = mk_pool("pool", &[]);
    pool.spec.addresses = entries(0..RANGES);
    world.api.put_pool(pool);
    for number in 0..SERVICES {
        create(&mut world, number);
    }
    world.run(SOON);
    // Half of the holders lose what they have.
    let cut = SERVICES / 4;
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses = entries(cut..RANGES));
    world.run(SOON);
    let shown: Vec<Vec<String>> = (0..SERVICES).map(|number| world.shown(&name(number))).collect();
    for (number, shown) in (0..).zip(&shown) {
        let place = if number < 2 * cut {
            SERVICES + number
        } else {
            number
        };
        let expected = [nth(Family::V4, place), nth(Family::V6, place)];
        assert_eq!(shown, &expected, "s{number}");
    }
    let counted = mk_capacity(i64::from(2 * (RANGES - cut)), i64::from(SERVICES), 0, 0);
    assert_eq!(capacities(&world), (counted, counted));
    // What is added, at either end, moves nobody.
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses = entries(0..RANGES));
    world.run(SOON);
    let after: Vec<Vec<String>> = (0..SERVICES).map(|number| world.shown(&name(number))).collect();
    assert_eq!(after, shown);
    let counted = mk_capacity(i64::from(2 * RANGES), i64::from(SERVICES), 0, 0);
    assert_eq!(capacities(&world), (counted, counted));
    let addresses: BTreeSet<&String> = shown.iter().flatten().collect();
    assert_eq!(addresses.len(), 2 * SERVICES as usize, "no address twice");
}

/// Ranges of both families that begin or end where the family does, and how many addresses they have.
const EDGES: [(&str, &str, i64, i64); 4] = [
    ("0.0.0.0/0", "::/0", 1 << 32, i64::MAX),
    ("10.0.0.0/8", "fd00::/64", 1 << 24, i64::MAX),
    ("0.0.0.0-0.0.0.9", "::-::9", 10, 10),
    (
        "255.255.255.250-255.255.255.255",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        6,
        16,
    ),
];

#[test]
fn what_stands_for_what_adds_up_from_the_first_to_the_last_address_of_both_families() {
    for (v4, v6, total_v4, total_v6) in EDGES {
        let mut world = World::new();
        world.api.put_pool(resting(mk_pool("pool", &[v4, v6]), 60));
        for number in 0..3 {
            create(&mut world, number);
        }
        world.run(SOON);
        let freed = world.shown("s1");
        // The next ones are reserved, and one that was lent rests.
        for range in [v4, v6] {
            let range: ferrolb_core::range::AddressRange = range.parse().expect("a range");
            let third = range.first() + 3;
            let address: IpAddr = match range.family() {
                Family::V4 => Ipv4Addr::from_bits(u32::try_from(third).expect("IPv4")).into(),
                Family::V6 => Ipv6Addr::from_bits(third).into(),
            };
            world.api.create_claim(mk_reservation(&address.to_string(), &[]));
        }
        world.api.delete_service(&key("s1"));
        world.run(SOON);
        let counted = (mk_capacity(total_v4, 2, 1, 1), mk_capacity(total_v6, 2, 1, 1));
        assert_eq!(capacities(&world), counted, "{v4} {v6}");
        world.run(Duration::from_secs(60));
        let counted = (mk_capacity(total_v4, 2, 1, 0), mk_capacity(total_v6, 2, 1, 0));
        assert_eq!(capacities(&world), counted, "{v4} {v6}, rested");
        create(&mut world, 3);
        world.run(SOON);
        assert_eq!(world.shown("s3"), freed, "the lowest free one of {v4} {v6}");
    }
}

#[test]
fn a_pool_of_everything_shrinks_to_the_last_addresses_and_grows_again() {
    const LAST: [&str; 2] = ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["0.0.0.0/0", "::/0"]));
    create(&mut world, 0);
    world.run(SOON);
    assert_eq!(world.shown("s0"), ["0.0.0.0", "::"]);
    let list = |entries: [&str; 2]| entries.map(ToOwned::to_owned).into();
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses = list(LAST));
    world.run(SOON);
    assert_eq!(world.shown("s0"), LAST);
    let counted = mk_capacity(1, 1, 0, 0);
    assert_eq!(capacities(&world), (counted, counted));
    assert!(!world.api.claims.contains_key(&ip("0.0.0.0")));
    world
        .api
        .edit_pool("pool", |pool| pool.spec.addresses = list(["0.0.0.0/0", "::/0"]));
    world.run(SOON);
    assert_eq!(world.shown("s0"), LAST, "nothing moves");
    let counted = (mk_capacity(1 << 32, 1, 0, 0), mk_capacity(i64::MAX, 1, 0, 0));
    assert_eq!(capacities(&world), counted);
}
