//! Makes the kernel's interfaces answer for what the plan says, and says what is answered now.
//!
//! ```text
//! Plan (watch) ──────┬──> task of eth0: 2 sockets, groups, Responder ──> frames
//! Interfaces (watch) ┴──> task of eth1: ...
//!                                │
//!                                ├──> Answering (watch): VIP -> interfaces, with the log lines
//!                                └──> Unserved (watch): interfaces that no socket could be had for
//! ```
//!
//! One task per interface that the plan names, each looking at the newest plan and the newest
//! interfaces. A node has a link per pod, so an interface costs nothing before it is named; once
//! it is, it stays served until it is usable no more. The announcer only starts the tasks; each
//! ends by itself. Nothing here knows why a VIP is announced, and nothing outside knows how.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;

use ferrolb_core::burst::DEFAULT_RATE;
use ferrolb_core::interface::IfIndex;
use ferrolb_core::plan::Plan;
use ferrolb_runtime::latest;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::netlink::InterfacesWatch;
use crate::socket::SocketPool;

pub mod answering;
mod claims;
mod interface;
pub mod metrics;

use answering::{Answering, Ledger};
use interface::InterfaceTask;
use metrics::FrameMetrics;

/// What an administrator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unasked frames per second and interface. Some switches shut a port that sends more than 15
    /// ARP frames per second.
    pub rate: NonZeroU32,
    /// Jitters re-announcements; any value that differs between nodes and runs.
    pub seed: u64,
}

/// Converges sockets and responders to the plan on the interfaces that are there.
#[derive(Debug)]
pub struct Announcer {
    shared: Shared,
}

/// What every interface's task works with.
#[derive(Clone, Debug)]
struct Shared {
    settings: Settings,
    plan: watch::Receiver<Arc<Plan>>,
    interfaces: InterfacesWatch,
    sockets: SocketPool,
    ledger: Ledger,
    unserved: Arc<watch::Sender<Unserved>>,
    metrics: FrameMetrics,
}

/// Interfaces on which this node cannot answer now, though the kernel says that they are usable.
pub type Unserved = BTreeSet<IfIndex>;

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: DEFAULT_RATE,
            seed: 0,
        }
    }
}

// === impl Announcer ===

impl Announcer {
    /// An announcer that does nothing until it runs.
    pub fn new(
        settings: Settings,
        plan: watch::Receiver<Arc<Plan>>,
        interfaces: InterfacesWatch,
        sockets: SocketPool,
    ) -> Self {
        Self {
            shared: Shared {
                settings,
                plan,
                interfaces,
                sockets,
                ledger: Ledger::default(),
                unserved: Arc::default(),
                metrics: FrameMetrics::default(),
            },
        }
    }

    /// Which VIPs this node really answers for now, and where. Changes the moment it does.
    pub fn answering(&self) -> watch::Receiver<Answering> {
        self.shared.ledger.subscribe()
    }

    /// Where this node cannot answer now: no socket could be had there, and it is tried again.
    pub fn unserved(&self) -> watch::Receiver<Unserved> {
        self.shared.unserved.subscribe()
    }

    /// The counters of all interfaces, for a registry.
    pub fn metrics(&self) -> FrameMetrics {
        self.shared.metrics.clone()
    }

    /// Runs until it is dropped; then every interface is silent and its sockets are back in the
    /// pool. To stop in an orderly way, publish an empty plan and wait until nothing is answered.
    pub async fn run(mut self) -> Infallible {
        let mut tasks: JoinSet<IfIndex> = JoinSet::new();
        // What runs; the value is the task's, so that an end is never taken for a later task's.
        let mut running: BTreeMap<IfIndex, tokio::task::Id> = BTreeMap::new();
        loop {
            for index in self.shared.named() {
                running.entry(index).or_insert_with(|| {
                    let task = InterfaceTask::new(index, self.shared.clone());
                    tasks.spawn(task.run()).id()
                });
            }
            tokio::select! {
                // The watches first: a task that ended because of one is seen in the next turn.
                biased;
                () = latest::changed(&mut self.shared.plan) => {}
                () = latest::changed(&mut self.shared.interfaces) => {}
                Some(ended) = tasks.join_next_with_id() => match ended {
                    Ok((id, index)) => running.retain(|key, task| *key != index || *task != id),
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(error) => tracing::error!(%error, "Lost the task of an interface"),
                    },
                },
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// The usable interfaces that the newest plan names.
    fn named(&mut self) -> Vec<IfIndex> {
        let plan = self.plan.borrow_and_update();
        let named: BTreeSet<IfIndex> = plan
            .announcements
            .values()
            .flat_map(|announcement| announcement.interfaces.iter().copied())
            .collect();
        let interfaces = self.interfaces.borrow_and_update();
        let usable = interfaces.iter().flat_map(|interfaces| &interfaces.usable);
        usable
            .map(|interface| interface.index)
            .filter(|index| named.contains(index))
            .collect()
    }

    /// Says whether an interface can be answered on.
    fn set_served(&self, index: IfIndex, is_served: bool) {
        self.unserved.send_if_modified(|unserved| match is_served {
            true => unserved.remove(&index),
            false => unserved.insert(index),
        });
    }
}
