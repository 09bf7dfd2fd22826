//! In which order a controller hears of things decides nothing for those who hold an address.
//!
//! Each watch shows its own kind of object in order, and no two watches keep step. A controller that
//! starts lists every kind, and whatever happened before is in these lists.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::object::Uid;
use ferrolb_core::pool::PoolName;
use ferrolb_core::request::{Eligibility, Service};
use ferrolb_core::service::ServiceKey;
use proptest::prelude::*;

use crate::api::Api;
use crate::history::{Calling, Deed, History, SERVICES, Step, service_key};
use crate::objects::mk_pool;
use crate::properties::{any_deed, any_request, any_step, config};
use crate::world::{Kind, Replica, World};

/// A Service of one life.
type Identity = (ServiceKey, Uid);

/// What people see of a Service.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    addresses: Vec<IpAddr>,
    pool: Option<PoolName>,
    /// Whether all is well, the reason, and the message.
    told: Option<(bool, String, String)>,
}

/// In how many orders each is tried.
const ORDERS: u64 = 4;

// === impl Seen ===

impl Seen {
    fn of(service: &Service) -> Self {
        let status = &service.status;
        let told = status.condition.as_ref();
        Self {
            addresses: status.ingress.iter().filter_map(|entry| entry.address).collect(),
            pool: status.allocated_from.clone(),
            told: told.map(|told| (told.status, told.reason.clone(), told.message.clone())),
        }
    }
}

fn config_of_orders() -> ProptestConfig {
    let config = config();
    ProptestConfig {
        // Each case is as many histories as there are orders, and one more.
        cases: config.cases.div_ceil(8),
        ..config
    }
}

proptest! {
    #![proptest_config(config_of_orders())]

    #[test]
    fn a_controller_that_lists_what_is_settled_in_any_order_writes_nothing(
        steps in any_steps(), seed in any::<u64>()
    ) {
        let world = mk_settled(steps);
        for order in 0..ORDERS {
            let end = start_in_order(&world, seed ^ order);
            prop_assert_eq!(&end.api.writes[world.api.writes.len()..], [""; 0]);
        }
    }

    #[test]
    fn in_whatever_order_a_controller_lists_what_was_edited_holders_end_alike(
        steps in any_steps(), edits in any_edits(), seed in any::<u64>()
    ) {
        assert_holders_end_alike(steps, edits, |edited, order| start_in_order(edited, seed ^ order));
    }

    #[test]
    fn in_whatever_order_watches_show_what_was_edited_holders_end_alike(
        steps in any_steps(), edits in any_edits(), seed in any::<u64>()
    ) {
        assert_holders_end_alike(steps, edits, |edited, order| deliver_in_order(edited, seed ^ order));
    }

    #[test]
    fn whoever_comes_and_goes_and_whichever_watch_lags_the_others_keep_what_they_have(
        steps in any_steps(), edits in any_edits(), seed in any::<u64>()
    ) {
        let settled = mk_settled(steps);
        let is_taken = |number| settled.api.services.contains_key(&service_key(number));
        let mut comings = edits;
        comings.retain(|edit| match edit {
            Deed::PutService(number, _) => !is_taken(*number),
            Deed::DeleteService(_) | Deed::SetNode(_) => true,
            Deed::PutPool(_) | Deed::DeletePool(_) | Deed::LabelNamespace(..) => false,
            Deed::Reserve(_) | Deed::Unreserve(_) | Deed::DeleteReservation(_) => false,
        });
        let before = see(&settled.api, &holders(&settled.api));
        let edited = edit(settled, comings);
        for order in 0..ORDERS {
            let end = work_in_order(&edited, seed ^ order);
            for (identity, after) in see(&end.api, &before.keys().cloned().collect()) {
                let before = &before[&identity];
                let is_kept = before.addresses.iter().all(|address| after.addresses.contains(address));
                // Who was refused something may get it when another goes.
                let was_well = before.told.as_ref().is_some_and(|(is_well, ..)| *is_well);
                prop_assert!(is_kept || !was_well, "{identity:?} had {before:?}, and has {after:?}");
            }
        }
    }
}

/// What makes a world with many holders, some of whom have come to what they have in odd ways.
fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let pools = [
        mk_pool("a", &["10.0.0.0/31", "fd00::/127"]),
        mk_pool("b", &["10.0.0.2/31", "fd00::2/127", "10.0.0.255-10.0.1.1"]),
    ];
    let pools = pools.map(|pool| Deed::PutPool(Box::new(pool)));
    let requests = proptest::collection::vec(any_request(), SERVICES.len());
    let odd = proptest::collection::vec(any_step(), 0..12);
    (requests, odd).prop_map(move |(requests, odd)| {
        let services = requests.into_iter().enumerate();
        let services = services.map(|(number, request)| Deed::PutService(number, request));
        let deeds = pools.clone().into_iter().chain(services);
        let deeds = deeds.map(|deed| Step::Do(Box::new(deed)));
        deeds
            .chain([Step::Call(0, Calling::Work(60))])
            .chain(odd)
            .collect()
    })
}

fn any_edits() -> impl Strategy<Value = Vec<Deed>> {
    proptest::collection::vec(any_deed(), 1..8)
}

fn mk_settled(steps: Vec<Step>) -> World {
    let mut history = History::new(false);
    for step in steps {
        history.take(step);
    }
    history.settle();
    history.world
}

fn edit(world: World, edits: Vec<Deed>) -> World {
    let mut history = History::of(world);
    for edit in edits {
        history.take(Step::Do(Box::new(edit)));
    }
    history.world
}

/// How a world ends whose controller is started anew, and lists everything in some order.
fn start_in_order(world: &World, seed: u64) -> World {
    let mut world = world.clone();
    let order = |events: &mut [_]| shuffle(events, seed);
    let replica = Replica::start_in_order(&world.api, world.options, world.now, order);
    world.replicas = vec![replica];
    end(world)
}

/// How a world ends whose watches show everything, in some order, before the next call is made.
fn deliver_in_order(world: &World, seed: u64) -> World {
    let mut world = world.clone();
    let mut is_shown = true;
    for turn in 0_u64.. {
        if !is_shown {
            break;
        }
        let mut kinds = Kind::ALL;
        shuffle(&mut kinds, seed ^ (turn << 32));
        is_shown = kinds.into_iter().any(|kind| world.deliver_one(0, kind));
    }
    end(world)
}

/// How a world ends whose watches show this and that, in some order, while calls are made.
fn work_in_order(world: &World, seed: u64) -> World {
    let mut world = world.clone();
    for turn in 0_u64..60 {
        match Kind::ALL.get(random((seed, turn)) % 8) {
            Some(kind) => drop(world.deliver_one(0, *kind)),
            None if world.begin_call(0) => world.finish_call(0, 0),
            None => {}
        }
    }
    end(world)
}

fn end(mut world: World) -> World {
    world.run(Duration::from_secs(7200));
    world.assert_at_rest();
    world
}

/// Who holds an address.
fn holders(api: &Api) -> BTreeSet<Identity> {
    let holders = api.claims.values().flat_map(|claim| &claim.spec.holders);
    holders
        .map(|holder| (holder.service.clone(), holder.uid.clone()))
        .collect()
}

/// What people see of those that are there still, and that ask for an address.
fn see(api: &Api, identities: &BTreeSet<Identity>) -> BTreeMap<Identity, Seen> {
    let services = api.services.values();
    let eligible = services.filter(|service| service.request.eligibility == Eligibility::Eligible);
    eligible
        .map(|service| ((service.key.clone(), service.uid.clone()), Seen::of(service)))
        .filter(|(identity, _)| identities.contains(identity))
        .collect()
}

/// Those who hold an address before some edits end alike, in whatever order these are seen.
fn assert_holders_end_alike(steps: Vec<Step>, edits: Vec<Deed>, end: impl Fn(&World, u64) -> World) {
    let settled = mk_settled(steps);
    let holders = holders(&settled.api);
    let edited = edit(settled, edits);
    let ends = (0..ORDERS).map(|order| see(&end(&edited, order).api, &holders));
    let ends: Vec<_> = ends.collect();
    for (number, end) in ends.iter().enumerate() {
        assert_eq!(*end, ends[0], "order {number} ends otherwise than the first");
    }
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    for last in (1..items.len()).rev() {
        items.swap(last, random((seed, last)) % (last + 1));
    }
}

/// A number that depends on nothing but what it is made of.
fn random(seed: impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    usize::try_from(hasher.finish() >> 33).expect("31 bits")
}
