//! Orphans are taken: by the best candidate at once, evenly, above every remembered epoch.

use ferrolb_core::reason::MoveReason;
use ferrolb_core::service::TrafficPolicy;

use super::{assert_well, owner, shares};
use crate::millis;
use crate::sim::Sim;
use crate::world::{World, mk_vip};

fn lend(count: u8) -> impl FnOnce(&mut World) {
    move |world| {
        for last in 0..count {
            world.lend(mk_vip(last), "all", TrafficPolicy::Cluster);
        }
    }
}

#[test]
fn vips_are_spread_evenly() {
    let sim = Sim::settled(3, 1, lend(9));
    assert_well(&sim);
    for last in 0..9 {
        owner(&sim, mk_vip(last));
    }
    assert_eq!(
        shares(&sim).into_values().collect::<Vec<_>>(),
        [3, 3, 3],
        "{}",
        sim.log.join("\n")
    );
}

#[test]
fn a_new_claim_is_announced_within_milliseconds() {
    let mut sim = Sim::settled(3, 2, lend(0));
    sim.change("a claim", lend(1));
    let took = sim.run_until(millis(1_000), "announced", |sim| {
        !sim.oracle.announcers(mk_vip(0)).is_empty()
    });
    assert_well(&sim);
    assert!(took < millis(60), "it took {took:?}");
    assert_eq!(sim.oracle.moves.last().unwrap().2.reason, MoveReason::Unowned);
}

#[test]
fn the_vips_of_a_dead_node_are_taken_by_the_others() {
    let mut sim = Sim::settled(3, 3, lend(9));
    let dead = sim.nodes()[0].clone();
    let before = sim.oracle.moves.len();
    sim.crash(&dead);
    sim.run_for(millis(2_000));
    assert_well(&sim);
    let moves = &sim.oracle.moves[before..];
    assert_eq!(moves.len(), 3, "only its VIPs move, and each once: {moves:#?}");
    for (_, _, change) in moves {
        assert_eq!(
            (change.reason, change.from.as_ref(), change.epoch.0),
            (MoveReason::NodeDown, Some(&dead), 2)
        );
    }
    assert!(
        shares(&sim).values().all(|share| *share != 5),
        "{:?}",
        shares(&sim)
    );
}
