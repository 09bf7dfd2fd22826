//! The protocol side of a speaker: gossip, membership, ownership; facts in, the plan out.
//!
//! ```text
//!  gossip socket <--> Membership <--> Ownership --> Plan (watch) --> announcer
//!  ApiFacts (mailbox) ----+---------------^   \
//!  Interfaces (watch) ----+                    +--> Reports (mailbox) --> API thread
//!  Unserved (watch) ------+
//! ```
//!
//! It runs on its own thread and waits for nothing that the API side does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::membership::{self, Keys, Membership};
use ferrolb_core::node::Boot;
use ferrolb_core::ownership::{self, Ownership, Timing};
use ferrolb_core::plan::Plan;
use ferrolb_core::time::Time;
use ferrolb_runtime::clock;
use ferrolb_runtime::shutdown::Shutdown;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub(crate) mod address;
mod driver;
pub(crate) mod guards;
pub mod metrics;
mod report;
mod state;
mod world;

use crate::announcer::Unserved;
use crate::announcer::answering::Answering;
use crate::api::{ApiFacts, Ask, Reports};
use crate::entropy;
use crate::gossip::Gossip;
use crate::mailbox::Mailbox;
use crate::netlink::InterfacesWatch;
use address::Addresses;
use driver::{Driver, End};
use guards::ProtocolGuards;
use metrics::ProtocolMetrics;
use world::World;

/// How long the announcer may take to fall silent at the end: it needs one turn of the runtime.
const SILENCE: Duration = Duration::from_millis(250);

/// The bits of a boot below its milliseconds; see [`entropy`].
const BOOT_ENTROPY_BITS: u32 = 20;

/// What the protocol side is connected to.
pub(crate) struct Ports {
    pub(crate) addresses: Addresses,
    pub(crate) facts: Mailbox<ApiFacts>,
    pub(crate) interfaces: InterfacesWatch,
    pub(crate) plan: watch::Sender<Arc<Plan>>,
    pub(crate) answering: watch::Receiver<Answering>,
    pub(crate) unserved: watch::Receiver<Unserved>,
    pub(crate) reports: Mailbox<Reports>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) guards: ProtocolGuards,
    pub(crate) metrics: ProtocolMetrics,
    pub(crate) shutdown: Shutdown,
}

/// Takes part until the shutdown, and then until the handover is over and nothing is answered.
pub(crate) async fn run(mut gossip: Gossip, keys: Keys, mut ports: Ports) {
    let mut world = World::default();
    let mut boot = new_boot(Boot::default());
    loop {
        let Some(advertised) = wait_for_address(&mut ports, &mut world).await else {
            return;
        };
        tracing::info!(boot = boot.0, address = %advertised, "Joining the other speakers");
        ports.guards.begin();
        let machines = machines(&ports, &keys, boot, advertised);
        let end = Driver::new(&mut gossip, &mut ports, &mut world, machines, advertised)
            .run()
            .await;
        match end {
            End::Left => break,
            End::Superseded(known) => {
                tracing::warn!(
                    boot = boot.0,
                    known = known.0,
                    "Other speakers know a later boot of this node and this one begins anew; \
                     if that happens again, a second speaker uses this node's name"
                );
                boot = new_boot(known);
            }
            End::Readdressed => {
                tracing::warn!("The address of this node has changed and this speaker joins anew");
                boot = new_boot(boot);
            }
        }
        ports.metrics.restarts.inc();
        // The boot that answered is gone; the next one answers when it has synced.
        ports.plan.send_replace(Arc::default());
    }
    let mut answering = ports.answering.clone();
    if timeout(SILENCE, answering.wait_for(Answering::is_empty))
        .await
        .is_err()
    {
        tracing::warn!("Some VIPs were still answered at the end of the handover");
    }
}

/// Waits until the others can be told where this speaker is; `None` when it is asked to end first.
async fn wait_for_address(ports: &mut Ports, world: &mut World) -> Option<SocketAddr> {
    loop {
        let interfaces = ports.interfaces.borrow_and_update().clone();
        world.take_in_interfaces(interfaces, ports.unserved.borrow_and_update().clone());
        if let Some(advertised) = ports.addresses.advertised(&world.facts()) {
            return Some(advertised);
        }
        ports.guards.without_address();
        tokio::select! {
            () = ports.shutdown.requested() => return None,
            api = ports.facts.take() => world.take_in_api(api),
            Ok(()) = ports.interfaces.changed() => {}
            Some(ask) = ports.asks.recv() => {
                // Who does not wait any more has gone away.
                let _gone = ask.send(json!({"members": [], "vips": {}}));
            }
        }
    }
}

fn machines(ports: &Ports, keys: &Keys, boot: Boot, advertise: SocketAddr) -> (Membership, Ownership) {
    let now = Time::from_origin(clock::boottime());
    let node = &ports.addresses.node;
    let membership = membership::Config {
        name: node.clone(),
        boot,
        advertise,
        keys: keys.clone(),
        seed: entropy::random(),
    };
    let ownership = ownership::Config {
        node: node.clone(),
        boot,
        timing: Timing::default(),
    };
    (Membership::new(membership, now), Ownership::new(ownership, now))
}

/// A boot above one that is known: the time, with random low bits. A machine without a battery
/// for its clock starts at the same time again and again, and a boot is part of every nonce.
fn new_boot(known: Boot) -> Boot {
    let millis = u64::try_from(clock::wall().as_millis()).unwrap_or(0);
    let random = entropy::random() >> (u64::BITS - BOOT_ENTROPY_BITS);
    let by_time = (millis << BOOT_ENTROPY_BITS) | random;
    Boot(by_time.max(known.0.saturating_add(1 + random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_above_what_is_known_and_above_earlier_ones() {
        let first = new_boot(Boot::default());
        assert!(
            first.0 >> BOOT_ENTROPY_BITS > 1_500_000_000_000,
            "milliseconds since 1970: {first:?}"
        );
        let future = Boot(first.0 << 1);
        assert!(new_boot(future) > future);
    }

    #[test]
    fn two_boots_in_one_millisecond_differ() {
        let future = Boot(u64::MAX / 2);
        let boots: std::collections::BTreeSet<_> = (0..100).map(|_| new_boot(future)).collect();
        assert!(
            boots.len() > 90,
            "only {} of 100 boots were different",
            boots.len()
        );
    }
}
