//! The API side of a speaker: watches in, facts out; reports in, claim status out.
//!
//! ```text
//!  claims, pools, nodes (, endpoints) --> ApiIndex --> ApiFacts (mailbox) --> protocol thread
//!                                           |
//!  protocol thread --> Reports (mailbox) --> Writer --> patches of addressclaims/status
//! ```
//!
//! It runs on its own thread. While the API server is away nothing comes out of it, and nothing
//! that is answered changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::facts::Facts;
use ferrolb_core::node::NodeName;
use ferrolb_crds::convert::node::node_facts;
use ferrolb_crds::convert::pool::advertisements;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_runtime::readiness::{Guard, Readiness};
use ferrolb_runtime::shutdown::Shutdown;
use ferrolb_runtime::watch::{Watch, WatchMetrics, follow};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

mod endpoints;
mod index;
pub mod metrics;
pub(crate) mod status;
mod writer;

use crate::mailbox::Mailbox;
use index::{ApiEvent, ApiIndex, claim_view};
use metrics::WriteMetrics;
use writer::Writer;

pub(crate) use writer::Reports;

/// Changes that wait to be taken in. When it is full the watches wait, and the API server keeps
/// what was not read yet.
const CHANGES: usize = 256;

/// Facts are published at most this often; a single change goes out at once.
const FACTS_INTERVAL: Duration = Duration::from_millis(20);

/// How long the last reports may take to be written when the process ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What to do when the API server does not know our kinds.
const CRDS_HINT: &str = "install FerroLB's CustomResourceDefinitions (kubectl apply -f charts/ferrolb/crds)";

/// What the API says, for the protocol thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiFacts {
    /// All but the interfaces.
    pub facts: Facts,
    /// The nodes that claims name as their owners, claims without holders included.
    pub named_owners: BTreeMap<IpAddr, NodeName>,
}

/// Asks for a copy of what is known, for the debug page.
pub type Ask = oneshot::Sender<Value>;

/// Where facts go, where reports come from, and who may ask.
#[derive(Debug)]
pub(crate) struct ApiPorts {
    pub(crate) facts: Mailbox<ApiFacts>,
    pub(crate) reports: Mailbox<Reports>,
    pub(crate) asks: mpsc::Receiver<Ask>,
}

/// The API side.
pub(crate) struct ApiSide {
    client: Client,
    readiness: Readiness,
    watch_metrics: WatchMetrics,
    ports: ApiPorts,
    index: ApiIndex,
    writer: Writer,
    /// The sender is kept for the watch of endpoints, which comes and goes.
    changes: (mpsc::Sender<ApiEvent>, mpsc::Receiver<ApiEvent>),
    slices: Option<(JoinHandle<()>, Guard)>,
    /// When the facts go out next; `None` when they are out.
    publish_at: Option<Instant>,
    published_at: Option<Instant>,
}

/// The first lists that readiness waits for.
#[derive(Debug)]
pub(crate) struct ListGuards {
    claims: Guard,
    pools: Guard,
    nodes: Guard,
}

// === impl ListGuards ===

impl ListGuards {
    pub(crate) fn new(readiness: &Readiness) -> Self {
        Self {
            claims: readiness.guard("list of AddressClaims"),
            pools: readiness.guard("list of AddressPools"),
            nodes: readiness.guard("list of Nodes"),
        }
    }
}

// === impl ApiSide ===

impl ApiSide {
    pub(crate) fn new(
        client: Client,
        readiness: Readiness,
        (watch_metrics, write_metrics): (WatchMetrics, WriteMetrics),
        ports: ApiPorts,
    ) -> Self {
        Self {
            writer: Writer::new(client.clone(), write_metrics),
            client,
            readiness,
            watch_metrics,
            ports,
            index: ApiIndex::default(),
            changes: mpsc::channel(CHANGES),
            slices: None,
            publish_at: None,
            published_at: None,
        }
    }

    /// Starts the three watches that always run, and works until it is asked to finish and the last
    /// words are written, or time is up. The watches end when their sink is dropped with it.
    pub(crate) async fn run(mut self, guards: ListGuards, finish: Shutdown) {
        self.start_watches(guards);
        let mut finish_at = None;
        loop {
            if finish_at.is_some() && self.writer.is_idle() {
                return;
            }
            tokio::select! {
                () = finish.requested(), if finish_at.is_none() => {
                    finish_at = Some(Instant::now() + LAST_WORDS);
                }
                () = until(finish_at) => return,
                Some(event) = self.changes.1.recv() => self.take_in(event),
                reports = self.ports.reports.take() => self.writer.report(reports),
                Some(ask) = self.ports.asks.recv() => {
                    // Who does not wait any more has gone away.
                    let _gone = ask.send(self.state());
                }
                () = until(self.publish_at) => self.publish(),
                () = self.writer.advance() => {}
            }
        }
    }

    fn start_watches(&self, guards: ListGuards) {
        let ListGuards { claims, pools, nodes } = guards;
        let sink = || self.changes.0.clone();
        let claims = Watch::<AddressClaim>::new(Api::all(self.client.clone()), claims, &self.watch_metrics)
            .when_unknown(CRDS_HINT);
        tokio::spawn(follow(
            claims,
            |claim| claim_view(&claim),
            ApiEvent::Claims,
            sink(),
        ));
        let pools = Watch::<AddressPool>::new(Api::all(self.client.clone()), pools, &self.watch_metrics)
            .when_unknown(CRDS_HINT);
        tokio::spawn(follow(
            pools,
            |pool| advertisements(&pool.spec),
            ApiEvent::Pools,
            sink(),
        ));
        let nodes = Watch::<Node>::new(Api::all(self.client.clone()), nodes, &self.watch_metrics);
        tokio::spawn(follow(nodes, |node| node_facts(&node), ApiEvent::Nodes, sink()));
    }

    fn take_in(&mut self, event: ApiEvent) {
        if matches!(event, ApiEvent::Slices(_)) && self.slices.is_none() {
            // The last words of a watch that was ended.
            return;
        }
        let absorbed = self.index.absorb(event);
        self.writer.observe(absorbed.claims);
        if !absorbed.has_changed {
            return;
        }
        let earliest = self.published_at.map(|at| at + FACTS_INTERVAL);
        let now = Instant::now();
        self.publish_at
            .get_or_insert(earliest.map_or(now, |earliest| earliest.max(now)));
    }

    /// Endpoints are watched only while a claim has policy Local: there are many of them.
    fn watch_slices_if_needed(&mut self) {
        match (self.index.needs_slices(), &self.slices) {
            (true, None) => {
                let guard = self.readiness.guard("list of EndpointSlices");
                let watch = Watch::<EndpointSlice>::new(
                    Api::all(self.client.clone()),
                    guard.again(),
                    &self.watch_metrics,
                );
                let sink = self.changes.0.clone();
                let task = tokio::spawn(follow(watch, endpoints::slice_facts, ApiEvent::Slices, sink));
                self.slices = Some((task, guard));
            }
            (false, Some((task, guard))) => {
                task.abort();
                guard.ready();
                self.slices = None;
                self.index.forget_slices();
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn publish(&mut self) {
        self.watch_slices_if_needed();
        self.publish_at = None;
        self.published_at = Some(Instant::now());
        self.ports.facts.put(ApiFacts {
            facts: self.index.facts(),
            named_owners: self.index.named_owners(),
        });
    }

    fn state(&self) -> Value {
        let counts: serde_json::Map<_, _> = self
            .index
            .counts()
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), json!(count)))
            .collect();
        json!({"objects": counts, "writesPending": !self.writer.is_idle()})
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
