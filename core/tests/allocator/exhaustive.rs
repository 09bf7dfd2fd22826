//! Every write of some small stories, cut in every way: the controller crashes before or after it, or its
//! answer is lost and it landed, never lands, or lands late. And two leaders, interleaved in every order.
//!
//! Random histories go further, with no end to how long they are. These here leave nothing out.

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::allocator::{Call, Outcome};
use ferrolb_core::request::{AddressWish, Eligibility, FamilyPolicy};

use crate::api::Api;
use crate::objects::{asking, from_pool, key, mk_dual_service, mk_pool, mk_service};
use crate::world::{Replica, World};

/// How a call is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It lands, and nobody hears of it.
    AnswerLost,
    /// It never lands, and nobody hears of it.
    Lost,
    /// Nobody hears of it, and it lands when so many more calls have ended.
    Late(usize),
    /// The controller is killed before it calls.
    KilledBefore,
    /// The controller is killed once it has landed.
    KilledAfter,
    /// The controller is killed, and it lands when the next one has made so many calls.
    KilledLate(usize),
}

/// A story: what there is, and what people do once all is at rest.
struct Story {
    name: &'static str,
    before: fn(&mut Api),
    then: fn(&mut Api),
}

/// A pool's addresses rest for three seconds, so that the whole way of a claim is walked.
const REST: Duration = Duration::from_secs(3);

const STORIES: [Story; 8] = [
    Story {
        name: "three Services come to two pools",
        before: |api| put_pools(api),
        then: |api| {
            for name in ["s1", "s2", "s3"] {
                api.create_service(mk_service(name));
            }
        },
    },
    Story {
        name: "two families come",
        before: |api| put_pools(api),
        then: |api| {
            api.create_service(mk_dual_service("s1", FamilyPolicy::RequireDualStack, Family::V4));
        },
    },
    Story {
        name: "a Service goes and another waits for its address",
        before: |api| {
            put_pools(api);
            for name in ["s1", "s2", "s3"] {
                api.create_service(mk_service(name));
            }
            api.create_service(asking(mk_service("s4"), "10.0.0.0"));
        },
        then: |api| api.delete_service(&key("s1")),
    },
    Story {
        name: "a Service moves to an address that it asks for",
        before: |api| {
            put_pools(api);
            api.create_service(mk_service("s1"));
        },
        then: |api| {
            api.edit_service(&key("s1"), |service| {
                *service = asking(service.clone(), "10.0.1.0");
            });
        },
    },
    Story {
        name: "two Services ask for each other's address",
        before: |api| {
            put_pools(api);
            api.create_service(asking(mk_service("s1"), "10.0.0.0"));
            api.create_service(asking(mk_service("s2"), "10.0.0.1"));
        },
        then: |api| {
            for (name, address) in [("s1", "10.0.0.1"), ("s2", "10.0.0.0")] {
                api.edit_service(&key(name), |service| {
                    service.request.addresses = AddressWish::parse(None, Some(address));
                });
            }
        },
    },
    Story {
        name: "a Service changes its type, and a new one comes",
        before: |api| {
            put_pools(api);
            api.create_service(mk_service("s1"));
        },
        then: |api| {
            api.edit_service(&key("s1"), |service| {
                service.request.eligibility = Eligibility::NotLoadBalancer;
            });
            api.create_service(asking(mk_service("s2"), "10.0.0.0"));
        },
    },
    Story {
        name: "a Service is deleted and comes again",
        before: |api| {
            put_pools(api);
            api.create_service(mk_service("s1"));
        },
        then: |api| {
            api.delete_service(&key("s1"));
            api.create_service(mk_service("s1"));
        },
    },
    Story {
        name: "a pool is emptied under its holders",
        before: |api| {
            put_pools(api);
            api.create_service(mk_service("s1"));
            api.create_service(from_pool(mk_service("s2"), "a"));
        },
        then: |api| api.edit_pool("a", |pool| pool.spec.addresses = vec!["10.0.2.0/32".to_owned()]),
    },
];

fn put_pools(api: &mut Api) {
    let mut pool = mk_pool("a", &["10.0.0.0/31", "fd00::/127"]);
    pool.spec.quarantine = REST;
    api.put_pool(pool);
    api.put_pool(mk_pool("b", &["10.0.1.0/32"]));
}

impl Story {
    fn begin(&self) -> World {
        let mut world = World::new();
        (self.before)(&mut world.api);
        world.run(Duration::from_secs(30));
        (self.then)(&mut world.api);
        world
    }

    /// Plays it with these cuts of the calls of these numbers; returns how many calls there were.
    fn play(&self, cuts: &[(usize, Cut)]) -> usize {
        let mut world = self.begin();
        let mut late: Vec<(usize, Call)> = Vec::new();
        let mut made = 0;
        let end = world.now.time + Duration::from_secs(60);
        while next_call(&mut world, end) {
            let (id, call) = world.replicas[0].calls.remove(0);
            let cut = cuts.iter().find(|(number, _)| *number == made);
            made += 1;
            match cut.map(|(_, cut)| *cut) {
                None => {
                    let outcome = world.land(&call);
                    world.answer(0, id, outcome);
                }
                Some(Cut::AnswerLost) => {
                    world.land(&call);
                    world.answer(0, id, Outcome::Unknown);
                }
                Some(Cut::Lost) => world.answer(0, id, Outcome::Unknown),
                Some(Cut::Late(calls)) => {
                    late.push((made + calls, call));
                    world.answer(0, id, Outcome::Unknown);
                }
                Some(Cut::KilledBefore) => world.restart(),
                Some(Cut::KilledAfter) => {
                    world.land(&call);
                    world.restart();
                }
                Some(Cut::KilledLate(calls)) => {
                    late.push((made + calls, call));
                    world.restart();
                }
            }
            let (due, rest) = late.into_iter().partition(|(at, _)| *at <= made);
            late = rest;
            let due: Vec<(usize, Call)> = due;
            for (_, call) in due {
                world.land(&call);
            }
        }
        for (_, call) in late {
            world.land(&call);
        }
        world.run(Duration::from_secs(60));
        world.assert_at_rest();
        made
    }
}

/// Lets the controller begin its next call, however long it waits for it; false when there is none.
fn next_call(world: &mut World, end: ferrolb_core::time::Time) -> bool {
    loop {
        while world.deliver(0) {}
        if world.begin_call(0) {
            return true;
        }
        match world.replicas[0].allocator.poll_timeout() {
            Some(at) if at <= end => world.advance(at - world.now.time),
            Some(_) | None => return false,
        }
    }
}

const CUTS: [Cut; 8] = [
    Cut::AnswerLost,
    Cut::Lost,
    Cut::Late(1),
    Cut::Late(3),
    Cut::KilledBefore,
    Cut::KilledAfter,
    Cut::KilledLate(1),
    Cut::KilledLate(2),
];

/// Plays with every set of at most two cuts, and says in which it failed.
fn play_all(story: &Story) -> usize {
    let play = |cuts: &[(usize, Cut)]| {
        let play = std::panic::AssertUnwindSafe(|| story.play(cuts));
        std::panic::catch_unwind(play).unwrap_or_else(|_| panic!("{}: {cuts:?}", story.name))
    };
    let mut played = 1;
    for first in 0..play(&[]) {
        for cut in CUTS {
            let calls = play(&[(first, cut)]);
            played += 1;
            for second in first + 1..calls {
                for other in CUTS {
                    play(&[(first, cut), (second, other)]);
                    played += 1;
                }
            }
        }
    }
    played
}

/// Plays with the leader deposed after so many steps, and the two of them in the order that the bits of a
/// number say: what is left of the old leader's work meets all of its successor's.
fn interleave(story: &Story, before: usize, order: u32, steps: u32) {
    let mut world = story.begin();
    for _ in 0..before {
        world.step(0);
    }
    world.depose();
    let successor = Replica::start(&world.api, world.options, world.now);
    world.replicas.push(successor);
    for step in 0..steps {
        let turn = usize::from(order & (1 << step) != 0);
        world.step(turn);
    }
    world.run(Duration::from_secs(1));
    world.replicas.remove(0);
    world.was_restarted = true;
    world.run(Duration::from_secs(60));
    world.assert_at_rest();
}

#[test]
fn no_two_cuts_of_any_story_lend_twice_leak_or_leave_anybody_waiting() {
    let mut played = 0;
    for story in &STORIES {
        let times = play_all(story);
        println!("{}: {times} times", story.name);
        played += times;
    }
    assert!(played > 10_000, "the stories have become too short: {played}");
}

#[test]
fn two_leaders_in_any_order_lend_nothing_twice() {
    /// Each order of the next so many steps.
    const STEPS: u32 = 7;
    for story in &STORIES {
        for before in 0..10 {
            for order in 0..1 << STEPS {
                let play = std::panic::AssertUnwindSafe(|| interleave(story, before, order, STEPS));
                let played = std::panic::catch_unwind(play);
                assert!(
                    played.is_ok(),
                    "{}: deposed after {before} steps, order {order:b}",
                    story.name
                );
            }
        }
    }
}
