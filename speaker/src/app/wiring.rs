//! What is connected to what: channels, readiness, metrics, pages.

use std::net::SocketAddr;
use std::sync::Arc;

use ferrolb_runtime::admin::{Pages, StateSource};
use ferrolb_runtime::readiness::Readiness;
use ferrolb_runtime::shutdown::Shutdown;
use ferrolb_runtime::watch::WatchMetrics;
use kube::Client;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::announcer::{Announcer, Settings};
use crate::api::metrics::WriteMetrics;
use crate::api::{ApiPorts, ApiSide, Ask, ListGuards};
use crate::args::Args;
use crate::mailbox::Mailbox;
use crate::netlink::Interfaces;
use crate::protocol::address::Addresses;
use crate::protocol::guards::ProtocolGuards;
use crate::protocol::metrics::ProtocolMetrics;
use crate::socket::SocketPool;
use crate::{entropy, protocol};

/// Questions of the debug page that wait for an answer; more of them wait in the admin server.
const ASKS: usize = 4;

/// What was opened at the start.
pub(super) struct Parts {
    pub(super) bound: SocketAddr,
    pub(super) client: Client,
    pub(super) sockets: SocketPool,
    pub(super) admin: TcpListener,
    pub(super) metrics: Option<TcpListener>,
    pub(super) shutdown: Shutdown,
}

/// What each side takes.
pub(super) struct Sides {
    pub(super) protocol: protocol::Ports,
    pub(super) announcer: Announcer,
    pub(super) interfaces: watch::Sender<Option<Arc<Interfaces>>>,
    pub(super) api: ApiTask,
}

/// What the API thread runs.
pub(super) struct ApiTask {
    pub(super) side: ApiSide,
    pub(super) guards: ListGuards,
    pub(super) servers: Vec<(&'static str, TcpListener, Pages)>,
}

/// Connects everything. Nothing runs yet.
pub(super) fn connect(args: &Args, parts: Parts) -> Sides {
    let Parts {
        bound,
        client,
        sockets,
        admin,
        metrics,
        shutdown,
    } = parts;
    let readiness = Readiness::new();
    let mut registry = Registry::default();
    let own = registry.sub_registry_with_prefix("ferrolb_speaker");
    let watch_metrics = WatchMetrics::register(own);
    let write_metrics = WriteMetrics::register(own);
    let protocol_metrics = ProtocolMetrics::register(own);

    let (interfaces, interfaces_watch) = watch::channel(None);
    let (plan, plan_watch) = watch::channel(Arc::default());
    let settings = Settings {
        rate: args.burst_rate,
        seed: entropy::random(),
    };
    let announcer = Announcer::new(settings, plan_watch, interfaces_watch.clone(), sockets);
    registry.register_collector(Box::new(announcer.metrics()));

    let (facts, reports) = (Mailbox::new(), Mailbox::new());
    let (ask_protocol, protocol_asks) = mpsc::channel(ASKS);
    let (ask_api, api_asks) = mpsc::channel(ASKS);
    let protocol = protocol::Ports {
        addresses: Addresses {
            node: args.node_name.clone(),
            bound,
            advertise: args.gossip_advertise,
            seeds: args.static_seeds(),
        },
        facts: facts.clone(),
        interfaces: interfaces_watch,
        plan,
        answering: announcer.answering(),
        unserved: announcer.unserved(),
        reports: reports.clone(),
        asks: protocol_asks,
        guards: ProtocolGuards::new(&readiness),
        metrics: protocol_metrics,
        shutdown,
    };

    let guards = ListGuards::new(&readiness);
    let ports = ApiPorts {
        facts,
        reports,
        asks: api_asks,
    };
    let registry = Arc::new(registry);
    let bare = Pages {
        readiness: None,
        registry: Arc::clone(&registry),
        state: None,
    };
    let full = Pages {
        readiness: Some(readiness.clone()),
        registry,
        state: Some(state_source(args, ask_protocol, ask_api)),
    };
    let servers = std::iter::once(("admin server", admin, full))
        .chain(metrics.map(|listener| ("metrics server", listener, bare)))
        .collect();
    let side = ApiSide::new(client, readiness, (watch_metrics, write_metrics), ports);
    Sides {
        protocol,
        announcer,
        interfaces,
        api: ApiTask {
            side,
            guards,
            servers,
        },
    }
}

/// Asks both sides, and puts their answers together.
fn state_source(args: &Args, protocol: mpsc::Sender<Ask>, api: mpsc::Sender<Ask>) -> StateSource {
    let node = args.node_name.clone();
    Arc::new(move || {
        let (node, protocol, api) = (node.clone(), protocol.clone(), api.clone());
        Box::pin(async move {
            let (mut state, api) = tokio::join!(ask(protocol), ask(api));
            if let Some(state) = state.as_object_mut() {
                state.insert("node".to_owned(), json!(node));
                state.insert("version".to_owned(), json!(ferrolb_runtime::VERSION));
                state.insert("api".to_owned(), api);
            }
            state
        })
    })
}

async fn ask(whom: mpsc::Sender<Ask>) -> Value {
    let (sender, answer) = oneshot::channel();
    // A side that has ended is shown as null.
    if whom.send(sender).await.is_err() {
        return Value::Null;
    }
    answer.await.unwrap_or_default()
}
