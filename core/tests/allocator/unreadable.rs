//! A pool that nobody understands, as an older version of its schema may have let through: it keeps
//! what it has lent, also over a restart, and lends nothing more until it is corrected.

use std::time::Duration;

use ferrolb_core::pool::{DEFAULT_QUARANTINE, Pool, PoolSpec};

use crate::objects::{mk_pool, mk_service};
use crate::world::World;

/// Longer than the grace of a deleted pool.
const LONG: Duration = Duration::from_secs(120);

const PROBLEM: &str = "invalid type: integer `7`, expected a sequence";

/// As it is read then: nothing of what it says is believed.
pub(crate) fn make_unreadable(pool: &mut Pool) {
    let nothing = mk_pool("pool", &[]).spec;
    pool.spec = PoolSpec {
        auto_assign: false,
        advertisements: Vec::new(),
        quarantine: DEFAULT_QUARANTINE,
        ..nothing
    };
    pool.unreadable = Some(PROBLEM.to_owned());
}

/// A Service served from a pool that then nobody understands.
fn mk_world() -> World {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.api.create_service(mk_service("s1"));
    world.run(LONG);
    world.api.edit_pool("pool", make_unreadable);
    world.run(LONG);
    world
}

#[test]
fn its_holders_keep_their_addresses_also_over_a_restart() {
    let mut world = mk_world();
    let writes = world.api.writes.len();
    for _ in 0..2 {
        assert_eq!(world.shown("s1"), ["1.2.3.0"]);
        assert_eq!(world.reason("s1"), "Assigned");
        world.restart();
        world.run(LONG);
    }
    assert_eq!(
        world.api.writes[writes..],
        [] as [String; 0],
        "nothing has changed"
    );
    world.assert_at_rest();
}

#[test]
fn its_condition_says_what_is_wrong_until_it_is_corrected() {
    let mut world = mk_world();
    let ready = |world: &World| {
        let status = world.api.pools["pool"].status.clone().expect("a status");
        let ready = status.ready.expect("a condition");
        (ready.status, ready.reason, ready.message)
    };
    let message = format!(
        "the object cannot be understood: {PROBLEM}; the pool lends nothing new until this is corrected"
    );
    assert_eq!(ready(&world), (false, "Unreadable".to_owned(), message));
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.run(LONG);
    assert_eq!(ready(&world).1, "Valid");
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn it_lends_nothing_new_and_says_so() {
    let mut world = mk_world();
    let mut asking = mk_service("s2");
    asking.request.pool = Some("pool".into());
    world.api.create_service(asking);
    world.run(LONG);
    assert_eq!(world.shown("s2"), [] as [&str; 0]);
    assert_eq!(world.reason("s2"), "PoolInvalid");
    assert!(world.message("s2").contains(PROBLEM), "{}", world.message("s2"));
    world.assert_at_rest();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.run(LONG);
    assert_eq!(world.shown("s2"), ["1.2.3.1"]);
}

#[test]
fn what_its_claims_say_of_announcing_stays() {
    let mut world = mk_world();
    world.restart();
    world.run(LONG);
    let claim = world.api.claims.values().next().expect("a claim");
    assert_eq!(claim.spec.holders[0].advertisements, ["default"]);
}
