//! An API server that has too much to do (429): nothing was done, so nothing is read, and everybody
//! waits, not only the object that was refused.

use std::time::Duration;

use ferrolb_core::allocator::{Call, Outcome};

use crate::objects::{mk_pool, mk_service};
use crate::world::World;

const ASKED: Duration = Duration::from_secs(3);

/// As many waiting Services as a driver lets calls go, all of them under way.
fn mk_busy_world() -> World {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/24"]));
    for number in 0..16 {
        world.api.create_service(mk_service(&format!("s{number}")));
    }
    while world.deliver(0) {}
    while world.replicas[0].calls.len() < 16 {
        assert!(world.begin_call(0));
    }
    world
}

/// Refuses every call that is under way, and gives them.
fn refuse_all(world: &mut World) -> Vec<Call> {
    let calls = std::mem::take(&mut world.replicas[0].calls);
    let refuse = |(id, call)| {
        world.answer(0, id, Outcome::Throttled(Some(ASKED)));
        call
    };
    calls.into_iter().map(refuse).collect()
}

#[test]
fn nobody_calls_before_the_stated_time_is_over_and_then_one_at_a_time() {
    let mut world = mk_busy_world();
    refuse_all(&mut world);
    assert!(!world.begin_call(0), "it was asked to wait");
    world.advance(ASKED - Duration::from_millis(1));
    assert!(!world.begin_call(0), "it was asked to wait longer");
    world.advance(Duration::from_millis(1));
    let mut widths = Vec::new();
    for _ in 0..4 {
        while world.begin_call(0) {}
        widths.push(world.replicas[0].calls.len());
        world.finish_call(0, 0);
    }
    assert_eq!(
        widths,
        [1, 2, 4, 8],
        "each that ends well doubles what may be under way"
    );
    world.run(Duration::from_secs(5));
    world.assert_at_rest();
}

#[test]
fn what_was_refused_is_asked_again_as_it_was_and_nothing_is_read() {
    let mut world = mk_busy_world();
    let refused = refuse_all(&mut world);
    world.advance(ASKED);
    let mut again = Vec::new();
    while again.len() < refused.len() {
        assert!(world.begin_call(0), "{} of them came again", again.len());
        let (_, call) = &world.replicas[0].calls[0];
        assert!(
            !matches!(
                call,
                Call::ReadClaim(_) | Call::ReadService(_) | Call::FindLeftovers
            ),
            "{call:?}"
        );
        if matches!(call, Call::CreateClaim(_)) {
            again.push(call.clone());
        }
        world.finish_call(0, 0);
    }
    let addresses = |calls: &[Call]| -> Vec<_> {
        let creations = calls.iter().map(|call| match call {
            Call::CreateClaim(spec) => spec.address,
            other => panic!("{other:?} is no creation"),
        });
        let mut addresses: Vec<_> = creations.collect();
        addresses.sort();
        addresses
    };
    assert_eq!(addresses(&again), addresses(&refused));
    world.run(Duration::from_secs(5));
    world.assert_at_rest();
}

#[test]
fn a_refusal_after_a_refusal_makes_it_wait_again() {
    let mut world = mk_busy_world();
    refuse_all(&mut world);
    for _ in 0..5 {
        world.advance(ASKED);
        while world.begin_call(0) {}
        assert_eq!(refuse_all(&mut world).len(), 1, "one feels the way");
    }
    world.advance(ASKED);
    world.run(Duration::from_secs(5));
    world.assert_at_rest();
}
