//! Puts the speaker together: what needs privileges first, then two threads, then an orderly end.
//!
//! ```text
//!  main thread: protocol runtime   gossip, membership, ownership, netlink, announcer, signals
//!  "api" thread: api runtime       watches, status writer, admin server
//! ```
//!
//! Either side ending by itself ends the process: a speaker that lost a part of itself and still
//! answers is worse than a restart.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ferrolb_core::membership::Keys;
use ferrolb_runtime::admin;
use ferrolb_runtime::shutdown::{self, Shutdown};
use ferrolb_runtime::vital::Vital;
use ferrolb_runtime::{client, logging};
use kube::Client;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

mod wiring;

use crate::args::Args;
use crate::gossip::BoundGossip;
use crate::socket::SocketPool;
use crate::{netlink, privileges, protocol};
use wiring::{ApiTask, Parts, Sides, connect};

/// How long the API side may take to end after the protocol side has: its own bound, and some.
const API_END: Duration = Duration::from_secs(1);

/// What could only be had with privileges, or must be had before anything else starts.
struct Prepared {
    args: Args,
    keys: Keys,
    gossip: BoundGossip,
    sockets: SocketPool,
    api_runtime: Runtime,
    client: Client,
    admin: TcpListener,
    metrics: Option<TcpListener>,
}

/// Runs the speaker until it is asked to end and has handed over.
///
/// # Errors
/// A sentence that says what an operator has to do.
pub fn run(args: Args) -> anyhow::Result<()> {
    logging::init(&args.log)?;
    let prepared = prepare(args)?;
    // Before the first thread, which would keep them.
    let dropped = privileges::drop_all()?;
    tracing::info!(
        node = %prepared.args.node_name,
        version = ferrolb_runtime::VERSION,
        privileges = ?dropped,
        "Starting"
    );
    let protocol_runtime = runtime()?;
    let shutdown = protocol_runtime
        .block_on(async { shutdown::on_signals() })
        .context("listening to signals")?;
    protocol_runtime.block_on(work(prepared, shutdown))
}

fn prepare(args: Args) -> anyhow::Result<Prepared> {
    let keys = read_keys(&args.gossip_key_file, &args.client.namespace)?;
    let sockets = SocketPool::open(args.max_interfaces.get())?;
    let gossip = BoundGossip::bind(args.gossip_bind)?;
    // Has no threads of its own, so it can exist before the privileges are dropped. Credentials
    // are read now because they may be root's.
    let api_runtime = runtime()?;
    let (client, admin, metrics) = api_runtime.block_on(async {
        let admin = admin::bind(args.admin.admin_bind, "--admin-bind").await?;
        let metrics = match args.metrics_bind {
            Some(address) => Some(admin::bind(address, "--metrics-bind").await?),
            None => None,
        };
        let client = client::connect(&args.client).await?;
        anyhow::Ok((client, admin, metrics))
    })?;
    Ok(Prepared {
        args,
        keys,
        gossip,
        sockets,
        api_runtime,
        client,
        admin,
        metrics,
    })
}

fn read_keys(path: &Path, namespace: &str) -> anyhow::Result<Keys> {
    let shown = path.display();
    let contents = fs::read(path).with_context(|| {
        format!(
            "--gossip-key-file {shown}: cannot be read; it holds the secret that all speakers share, which in \
             Kubernetes is the key \"key\" of the Secret ferrolb-gossip in the namespace {namespace}"
        )
    })?;
    Keys::parse(&contents).with_context(|| format!("--gossip-key-file {shown}"))
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")
}

async fn work(prepared: Prepared, shutdown: Shutdown) -> anyhow::Result<()> {
    let Prepared {
        args,
        keys,
        gossip,
        sockets,
        api_runtime,
        client,
        admin,
        metrics,
    } = prepared;
    let bound = gossip.local_address().context("asking where gossip is bound")?;
    let gossip = gossip.listen().context("registering the gossip socket")?;
    let parts = Parts {
        bound,
        client,
        sockets,
        admin,
        metrics,
        shutdown,
    };
    let Sides {
        protocol,
        announcer,
        interfaces,
        api,
    } = connect(&args, parts);

    let (finish, finish_requested) = shutdown::channel();
    let (ended, mut api_ended) = oneshot::channel();
    thread::Builder::new()
        .name("api".to_owned())
        .spawn(move || {
            let result = api_runtime.block_on(api_side(api, finish_requested));
            // Nobody listens any more when the process ends anyway.
            let _unheard = ended.send(result);
        })
        .context("starting the API thread")?;

    let (_never, unrequested) = shutdown::channel();
    let mut vital = Vital::new();
    vital.spawn("netlink", async move { match netlink::run(interfaces).await {} });
    vital.spawn("announcer", async move { match announcer.run().await {} });
    tokio::select! {
        () = protocol::run(gossip, keys, protocol) => {}
        ended = vital.run(&unrequested) => ended?,
        result = &mut api_ended => return Err(api_failure(result)),
    }
    finish.request();
    if timeout(API_END, api_ended).await.is_err() {
        tracing::warn!("The API side did not end in time");
    }
    tracing::info!("Stopped");
    Ok(())
}

/// The whole of the API thread: ends when it is asked to finish, or with what went wrong.
async fn api_side(task: ApiTask, finish: Shutdown) -> anyhow::Result<()> {
    let ApiTask {
        side,
        guards,
        servers,
    } = task;
    let (_never, unrequested) = shutdown::channel();
    let mut vital = Vital::new();
    for (name, listener, pages) in servers {
        vital.spawn(name, admin::serve(listener, pages));
    }
    tokio::select! {
        () = side.run(guards, finish) => Ok(()),
        ended = vital.run(&unrequested) => Ok(ended?),
    }
}

fn api_failure(result: Result<anyhow::Result<()>, oneshot::error::RecvError>) -> anyhow::Error {
    match result {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => anyhow!("the API side ended by itself; this is a defect of FerroLB"),
    }
}

#[cfg(test)]
mod tests {
    use ferrolb_core::ownership::Timing;

    use super::*;

    const DAEMON_SET: &str = include_str!("../../charts/ferrolb/templates/speaker/daemonset.yaml");

    #[test]
    fn the_chart_gives_twice_the_time_that_a_drain_and_the_end_may_take() {
        let mut words = DAEMON_SET.split_whitespace();
        words.find(|word| *word == "terminationGracePeriodSeconds:");
        let seconds = words.next().expect("the chart says how long the kubelet waits");
        let grace = Duration::from_secs(seconds.parse().expect("a number of seconds"));
        let end = Timing::default().drain + API_END;
        // Twice, because a drain begins late on a node where everything is being stopped.
        assert!(
            grace >= 2 * end,
            "the kubelet kills after {grace:?}, the end takes {end:?}"
        );
    }
}
