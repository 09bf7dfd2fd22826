//! What people are told: every transition once.

use std::time::Duration;

use crate::objects::{key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

fn reasons(world: &World) -> Vec<&str> {
    let notices = world.replicas[0].notices.iter();
    notices.map(|notice| notice.reason.as_str()).collect()
}

#[test]
fn a_watch_that_is_faster_than_the_answer_hides_nothing() {
    let mut world = World::new();
    world.api.create_service(mk_service("s1"));
    world.run(SOON);
    let mut bad = mk_pool("pool", &["1.2.3.0/29"]);
    bad.spec.addresses.push("web".to_owned());
    world.api.put_pool(bad);
    // Everything that a call does is shown before the call ends.
    for _ in 0..50 {
        while world.deliver(0) {}
        if world.replicas[0].calls.is_empty() && !world.begin_call(0) {
            break;
        }
        let (id, call) = world.replicas[0].calls.remove(0);
        let outcome = world.land(&call);
        while world.deliver(0) {}
        world.answer(0, id, outcome);
    }
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    let mut told = reasons(&world);
    told.sort_unstable();
    assert_eq!(told, ["Assigned", "InvalidEntry"]);
}

#[test]
fn what_was_so_before_is_no_news() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0"]));
    world.api.create_service(mk_service("s1"));
    world.api.create_service(mk_service("s2"));
    world.run(SOON);
    let mut told = reasons(&world);
    told.sort_unstable();
    assert_eq!(told, ["Assigned", "PoolExhausted"]);
    world.restart();
    world.run(SOON);
    assert_eq!(reasons(&world), [""; 0]);
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(reasons(&world), ["Assigned"]);
}
