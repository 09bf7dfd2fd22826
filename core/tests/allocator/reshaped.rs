//! Pools that are renamed, split and merged over the same ranges: nothing moves, and what is written
//! about each address follows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::allocator::Call;
use ferrolb_core::pool::PoolName;
use ferrolb_core::request::Service;

use crate::api::Api;
use crate::objects::{ip, key, mk_pool, mk_service, mk_sharer, resting};
use crate::world::World;

const SOON: Duration = Duration::from_secs(30);

/// What is lent of 1.2.3.0/29, and what rests: the third one.
const SERVED: [(&str, &str); 7] = [
    ("s0", "1.2.3.0"),
    ("s1", "1.2.3.1"),
    ("s3", "1.2.3.3"),
    ("s4", "1.2.3.4"),
    ("s5", "1.2.3.5"),
    ("shared1", "1.2.3.6"),
    ("shared2", "1.2.3.6"),
];
const RESTS: &str = "1.2.3.2";

/// Of a pool: total, assigned, quarantined, available.
type Counts = (i64, i64, i64, i64);

/// A change of pools, as a person makes it.
struct Reshaping {
    name: &'static str,
    /// The pools before, and what each lists.
    before: &'static [(&'static str, &'static str)],
    /// Step by step: a pool that is put, or deleted.
    steps: &'static [(&'static str, Option<&'static str>)],
    after: &'static [(&'static str, Counts)],
    /// Whose the first half is then, and the second.
    pools: [&'static str; 2],
}

const WHOLE: &str = "1.2.3.0/29";
const FIRST: &str = "1.2.3.0/30";
const SECOND: &str = "1.2.3.4/30";

const RESHAPINGS: [Reshaping; 7] = [
    Reshaping {
        name: "renamed",
        before: &[("a", WHOLE)],
        steps: &[("z", Some(WHOLE)), ("a", None)],
        after: &[("z", (8, 6, 1, 1))],
        pools: ["z", "z"],
    },
    Reshaping {
        name: "renamed, the old one deleted first",
        before: &[("z", WHOLE)],
        steps: &[("z", None), ("a", Some(WHOLE))],
        after: &[("a", (8, 6, 1, 1))],
        pools: ["a", "a"],
    },
    Reshaping {
        name: "split, and the first half keeps the name",
        before: &[("a", WHOLE)],
        steps: &[("b", Some(SECOND)), ("a", Some(FIRST))],
        after: &[("a", (4, 3, 1, 0)), ("b", (4, 3, 0, 1))],
        pools: ["a", "b"],
    },
    Reshaping {
        name: "split into two new ones",
        before: &[("m", WHOLE)],
        steps: &[("z", Some(FIRST)), ("a", Some(SECOND)), ("m", None)],
        after: &[("a", (4, 3, 0, 1)), ("z", (4, 3, 1, 0))],
        pools: ["z", "a"],
    },
    Reshaping {
        name: "merged into the first",
        before: &[("a", FIRST), ("b", SECOND)],
        steps: &[("a", Some(WHOLE)), ("b", None)],
        after: &[("a", (8, 6, 1, 1))],
        pools: ["a", "a"],
    },
    Reshaping {
        name: "merged into the second",
        before: &[("a", FIRST), ("b", SECOND)],
        steps: &[("b", Some(WHOLE)), ("a", None)],
        after: &[("b", (8, 6, 1, 1))],
        pools: ["b", "b"],
    },
    Reshaping {
        name: "merged into a new one",
        before: &[("b", FIRST), ("c", SECOND)],
        steps: &[("a", Some(WHOLE)), ("b", None), ("c", None)],
        after: &[("a", (8, 6, 1, 1))],
        pools: ["a", "a"],
    },
];

/// Each pool lists its part, every address but one is lent, one rests, and two Services share one.
fn mk_world(before: &[(&str, &str)]) -> World {
    let mut world = World::new();
    for (pool, part) in before {
        world.api.put_pool(resting(mk_pool(pool, &[part]), 3600));
    }
    let create = |world: &mut World, service: Service| {
        world.api.create_service(service);
        world.run(Duration::from_secs(1));
    };
    for name in ["s0", "s1", "gone", "s3", "s4", "s5"] {
        create(&mut world, mk_service(name));
    }
    create(&mut world, mk_sharer("shared1", "k", 80));
    create(&mut world, mk_sharer("shared2", "k", 81));
    world.api.delete_service(&key("gone"));
    world.run(SOON);
    assert_served(&world, "before");
    world
}

fn assert_served(world: &World, when: &str) {
    for (name, address) in SERVED {
        assert_eq!(world.shown(name), [address], "{name}, {when}");
    }
}

fn counts(api: &Api) -> BTreeMap<&str, Counts> {
    let pools = api.pools.values();
    pools
        .map(|pool| {
            let counts = pool.status.as_ref().expect("counts").v4;
            let counts = (
                counts.total,
                counts.assigned,
                counts.quarantined,
                counts.available,
            );
            (pool.name.as_str(), counts)
        })
        .collect()
}

/// The pool of an address, of the first half or of the second.
fn pool_of(address: IpAddr, pools: [&'static str; 2]) -> &'static str {
    pools[usize::from(address >= ip("1.2.3.4"))]
}

/// Does all that can be done now; no write moves anybody.
fn settle(world: &mut World, name: &str) {
    loop {
        let writes = world.replicas[0].calls.iter().map(|(_, call)| call);
        for call in writes {
            assert!(!matches!(call, Call::DeleteClaim { .. }), "{name}: {call:?}");
        }
        if !world.step(0) {
            return;
        }
        assert_served(world, name);
    }
}

#[test]
fn pools_that_are_renamed_split_or_merged_move_nothing_and_what_is_written_follows() {
    for reshaping in RESHAPINGS {
        for is_restarted in [false, true] {
            let Reshaping { name, pools, .. } = reshaping;
            let mut world = mk_world(reshaping.before);
            for (pool, part) in reshaping.steps {
                match part {
                    Some(part) => world.api.put_pool(resting(mk_pool(pool, &[part]), 3600)),
                    None => world.api.delete_pool(pool),
                }
                if is_restarted {
                    world.restart();
                }
                settle(&mut world, name);
            }
            // Also the grace of what was deleted ends, and the counts are written.
            for _ in 0..SOON.as_secs() {
                world.advance(Duration::from_secs(1));
                settle(&mut world, name);
            }

            for (service, address) in SERVED {
                let pool = pool_of(ip(address), pools);
                let status = &world.api.services[&key(service)].status;
                let from = status.allocated_from.as_ref();
                assert_eq!(from.map(PoolName::as_str), Some(pool), "{service}, {name}");
                let says = format!("{address} from pool {pool}");
                assert_eq!(world.message(service), says, "{name}");
            }
            for (address, claim) in &world.api.claims {
                let pool = pool_of(*address, pools);
                let is_resting = *address == ip(RESTS);
                let recorded = claim.spec.pool.as_ref().map(PoolName::as_str);
                // What rests is written again only to go; it counts where it lies.
                assert!(
                    recorded == Some(pool) || is_resting,
                    "{address}, {name}: {recorded:?}"
                );
            }
            let after: BTreeMap<_, _> = reshaping.after.iter().copied().collect();
            assert_eq!(counts(&world.api), after, "{name}");
        }
    }
}
