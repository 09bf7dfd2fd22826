//! Every write of some small stories, cut in every way, and two leaders in every order.
//!
//! Random histories go further, with no end to how long they are. These here leave nothing out, and
//! say of each story how it must end.

mod cuts;
mod finalizer;
mod leaders;
mod lending;
mod meanwhile;
mod pools;
mod reservations;
mod sharing;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ferrolb_core::allocator::Options;
use ferrolb_core::request::Eligibility;

use crate::api::Api;
use crate::objects::{asking, ip, key, mk_pool, mk_service, mk_sharer, resting};
use crate::world::World;

/// A story: what there is, and what people do once all is at rest.
struct Story {
    name: &'static str,
    finalizer: Finalizer,
    before: Edit,
    then: Edit,
    /// What people do after that, one by one, each at any moment.
    meanwhile: &'static [Edit],
    /// Says what must be in the end, beside what must always be.
    end: fn(&Api),
}

/// Something that people do.
type Edit = fn(&mut Api);

/// Whether controllers set finalizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finalizer {
    Off,
    On,
    /// Until the next one is started.
    TurnedOff,
    /// As soon as the next one is started.
    TurnedOn,
}

/// A pool's addresses rest for so many seconds, so that the whole way of a claim is walked.
const REST: u64 = 3;

// === impl Finalizer ===

impl Finalizer {
    /// With which the first controller is started, and all others.
    fn options(self) -> (Options, Options) {
        let (first, others) = match self {
            Self::Off => (false, false),
            Self::On => (true, true),
            Self::TurnedOff => (true, false),
            Self::TurnedOn => (false, true),
        };
        let options = |service_finalizer| Options { service_finalizer };
        (options(first), options(others))
    }
}

// === impl Story ===

impl Story {
    fn begin(&self) -> World {
        let (first, others) = self.finalizer.options();
        let mut world = World::started_with(first);
        (self.before)(&mut world.api);
        world.run(Duration::from_secs(30));
        (self.then)(&mut world.api);
        world.options = others;
        world
    }

    /// Nothing is under way any more: all must come to rest, and as the story says.
    fn end(&self, world: &mut World) {
        let (first, others) = self.finalizer.options();
        world.run(Duration::from_secs(60));
        if first != others {
            // Whoever was started first may be there still.
            world.restart();
            world.run(Duration::from_secs(60));
        }
        (self.end)(&world.api);
        world.assert_at_rest();
    }

    /// Does something, and says of which story when it fails, and what was done to it.
    fn attempt<T>(&self, how: impl std::fmt::Debug, act: impl FnOnce() -> T) -> T {
        let attempted = std::panic::catch_unwind(AssertUnwindSafe(act));
        attempted.unwrap_or_else(|_| panic!("{}: {how:?}", self.name))
    }
}

/// A pool of two of each family, and one of one more.
fn put_pools(api: &mut Api) {
    api.put_pool(resting(mk_pool("a", &["10.0.0.0/31", "fd00::/127"]), REST));
    api.put_pool(mk_pool("b", &["10.0.1.0/32"]));
}

/// Pools, and Services that take whatever there is, oldest first.
fn put_services(api: &mut Api, names: &[&str]) {
    put_pools(api);
    for name in names {
        api.create_service(mk_service(name));
    }
}

/// Pools, and two that share the first address: s1 with port 80 and s2 with port 81.
fn put_sharers(api: &mut Api) {
    put_pools(api);
    api.create_service(mk_sharer("s1", "k", 80));
    api.create_service(mk_sharer("s2", "k", 81));
}

/// A Service asks for an address from now on.
fn ask(api: &mut Api, name: &str, address: &str) {
    api.edit_service(&key(name), |service| {
        *service = asking(service.clone(), address);
    });
}

/// A Service changes its type, or its class.
fn change(api: &mut Api, name: &str, eligibility: Eligibility) {
    api.edit_service(&key(name), |service| service.request.eligibility = eligibility);
}

/// A person reserves an address that is lent.
fn reserve(api: &mut Api, address: &str, name: &str) {
    api.edit_claim(ip(address), |claim| {
        claim.spec.reserved = true;
        claim.spec.reserved_for = vec![key(name)];
    });
}

/// What each of these Services shows, with nothing for those that must wait.
fn assert_shown(api: &Api, expected: &[(&str, &str)]) {
    for (name, addresses) in expected {
        assert_eq!(api.shown(&key(name)).join(","), *addresses, "what {name} shows");
    }
}
