//! How long the allocator takes, alone: `allocations SERVICES [POOLS]` prints milliseconds for so
//! many Services and one large pool, or so many pools of eight addresses.
//!
//! The API server is the one in memory that the allocator's tests use. Only the allocator's own
//! steps are timed; what the server does is not its work. Built for release it is as fast as in
//! the controller; `cargo xtask bench allocate` runs it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "as in the tests, whose files these are"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the tests use all that these modules have"
)]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures real time"
)]

#[path = "../tests/allocator/api.rs"]
mod api;
#[path = "../tests/allocator/objects.rs"]
mod objects;

use std::env;
use std::time::{Duration, Instant};

use ferrolb_core::allocator::{Allocator, Event};
use ferrolb_core::time::{Now, Time, Timestamp};

use crate::api::Api;
use crate::objects::{mk_pool, mk_service};

const NOW: Now = Now {
    time: Time::ZERO,
    wall: Timestamp(1_800_000_000),
};

/// The allocator, and how long it has worked.
#[derive(Default)]
struct Timed {
    allocator: Allocator,
    taken: Duration,
}

// === impl Timed ===

impl Timed {
    fn step<T>(&mut self, step: impl FnOnce(&mut Allocator) -> T) -> T {
        let started = Instant::now();
        let result = step(&mut self.allocator);
        self.taken += started.elapsed();
        result
    }
}

fn main() {
    let mut numbers = env::args().skip(1).map(|text| text.parse().expect("a number"));
    let services: usize = numbers.next().expect("how many Services");
    let pools: Option<usize> = numbers.next();

    let mut api = Api::default();
    match pools {
        None => api.put_pool(mk_pool("pool", &["10.0.0.0/8"])),
        Some(pools) => {
            for number in 0..pools {
                let addresses = format!("10.{}.{}.0/29", number / 256, number % 256);
                api.put_pool(mk_pool(&format!("p{number:03}"), &[&addresses]));
            }
        }
    }
    for number in 0..services {
        api.create_service(mk_service(&format!("s{number}")));
    }
    let taken = lend(&mut api);
    let shown = api
        .services
        .values()
        .filter(|service| !service.status.ingress.is_empty());
    let expected = pools.map_or(services, |pools| services.min(8 * pools));
    assert_eq!(shown.count(), expected, "so many can be served");
    println!("{:.2}", taken.as_secs_f64() * 1e3);
}

/// Has every Service served that can be; returns how long the allocator has worked.
fn lend(api: &mut Api) -> Duration {
    let mut timed = Timed::default();
    for event in api.list() {
        timed.step(|allocator| allocator.apply(event, NOW));
    }
    timed.step(|allocator| allocator.apply(Event::Synced, NOW));
    while let Some((id, call)) = timed.step(|allocator| allocator.poll_call(NOW)) {
        let outcome = api.perform(&call);
        timed.step(|allocator| allocator.handle_outcome(id, outcome, NOW));
        while timed.step(Allocator::poll_notice).is_some() {}
    }
    timed.taken
}
