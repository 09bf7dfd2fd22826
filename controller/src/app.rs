//! How the controller's parts are put together, and in which order they end.
//!
//! ```text
//!  start:  port, credentials, then all tasks at once; everything waits by itself for what it needs
//!  end:    SIGTERM --> lending stops and its calls end --> Lease given back --> exit
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::allocator::Options;
use ferrolb_crds::convert::{claim, node, pool};
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_runtime::admin::{self, Pages, StateSource};
use ferrolb_runtime::index::Change;
use ferrolb_runtime::lease::{self, Elector, Leadership};
use ferrolb_runtime::readiness::Readiness;
use ferrolb_runtime::shutdown::{self, Shutdown, ShutdownTrigger};
use ferrolb_runtime::vital::Vital;
use ferrolb_runtime::watch::{Watch, WatchMetrics, follow, follow_partly};
use ferrolb_runtime::{VERSION, client, clock};
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use kube::Client;
use kube::api::Api;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::args::Args;
use crate::executor::Executor;
use crate::lending::{INBOX, Input, Lending, Question};
use crate::metrics::Metrics;
use crate::project::{Classes, partial_claim, unreadable_pool};
use crate::speakers::Speakers;
use crate::{gossip_secret, notices};

/// The Lease's name.
const LEASE: &str = "ferrolb-controller";

/// What to do when the API server does not know our kinds.
const NOT_INSTALLED: &str =
    "install the CustomResourceDefinitions; `helm install` does, or `kubectl apply -f charts/ferrolb/crds`";

/// An end takes at most this long, lending and Lease together.
const END: Duration = Duration::from_secs(5);

/// A task that is asked to end, and says when it has.
struct Ending {
    trigger: ShutdownTrigger,
    ended: oneshot::Receiver<()>,
}

/// Runs the controller until it is asked to end.
///
/// # Errors
/// With a sentence, when something is wrong that waiting does not cure, or a vital task ended.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals()?;
    for class in args.repeated_classes() {
        warn!(class, "Class is given more than once in --load-balancer-class");
    }
    let listener = admin::bind(args.admin.admin_bind, "--admin-bind").await?;
    let client = client::connect(&args.client).await?;
    let identity = identity();
    info!(
        version = VERSION,
        identity,
        namespace = args.client.namespace,
        classes = args.load_balancer_classes.join(","),
        handle_unset_class = args.handle_unset_class,
        "Starting"
    );

    let mut registry = Registry::with_prefix("ferrolb_controller");
    let watch_metrics = WatchMetrics::register(&mut registry);
    let metrics = Metrics::register(&mut registry);
    let (notices, publisher) = notices::channel(identity.clone(), &mut registry);
    let readiness = Readiness::new();
    let mut vital = Vital::new();

    let (leadership, lease_end) = leadership(&args, &client, identity, &mut vital);
    let (inputs, inbox) = mpsc::channel(INBOX);
    let (questions, asked) = mpsc::channel(1);
    let classes = Classes {
        handled: args
            .load_balancer_classes
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>(),
        handle_unset: args.handle_unset_class,
    };
    watch_objects(
        &mut vital,
        &client,
        &classes,
        &Sources {
            readiness: &readiness,
            metrics: &watch_metrics,
            inputs,
        },
    );
    let lending = Lending {
        options: Options {
            service_finalizer: args.service_finalizer,
        },
        inbox,
        questions: asked,
        leadership: leadership.clone(),
        executor: Executor::new(client.clone(), classes),
        notices: notices.clone(),
        metrics,
    };
    let lending_end = ending(&mut vital, "lending", |stop| lending.run(stop));

    vital.spawn("events", forever(publisher.run(client.clone())));
    let speakers = Speakers {
        client: client.clone(),
        namespace: args.client.namespace.clone(),
        metrics: watch_metrics,
        readiness: readiness.clone(),
        notices,
        leadership,
    };
    vital.spawn("watch of the speakers' DaemonSet", forever(speakers.run()));
    vital.spawn("gossip secret", make_gossip_secret(client, args));
    let pages = Pages {
        readiness: Some(readiness),
        registry: Arc::new(registry),
        state: Some(state_source(questions)),
    };
    vital.spawn("admin server", admin::serve(listener, pages));

    vital.run(&shutdown).await?;
    let end = async {
        lending_end.end().await;
        lease_end.end().await;
    };
    // Whatever hangs now would be killed anyway; the Lease then runs out by itself.
    let _too_late = timeout(END, end).await;
    info!("Ended");
    Ok(())
}

/// Where watches report to.
struct Sources<'a> {
    readiness: &'a Readiness,
    metrics: &'a WatchMetrics,
    inputs: mpsc::Sender<Input>,
}

fn watch_objects(vital: &mut Vital, client: &Client, classes: &Classes, sources: &Sources<'_>) {
    let Sources {
        readiness,
        metrics,
        inputs,
    } = sources;
    let services = Watch::new(
        Api::all(client.clone()),
        readiness.guard("list of Services"),
        metrics,
    )
    .fields("spec.type=LoadBalancer");
    let classes = classes.clone();
    let project = move |object: Service| classes.know(&object);
    vital.spawn(
        "watch of Services",
        forever(follow(services, project, Input::Service, inputs.clone())),
    );

    let namespaces = Watch::new(
        Api::all(client.clone()),
        readiness.guard("list of Namespaces"),
        metrics,
    );
    let project = |object: Namespace| object.metadata.labels.unwrap_or_default();
    vital.spawn(
        "watch of Namespaces",
        forever(follow(namespaces, project, Input::Namespace, inputs.clone())),
    );

    let nodes = Watch::new(
        Api::all(client.clone()),
        readiness.guard("list of Nodes"),
        metrics,
    );
    let project = |object: Node| node::own_addresses(&object);
    vital.spawn(
        "watch of Nodes",
        forever(follow(nodes, project, Input::Node, inputs.clone())),
    );

    let pools = Watch::new(
        Api::all(client.clone()),
        readiness.guard("list of AddressPools"),
        metrics,
    )
    .when_unknown(NOT_INSTALLED);
    let project = |object: AddressPool| pool::pool(&object);
    vital.spawn(
        "watch of AddressPools",
        forever(follow_partly(
            pools,
            project,
            |unreadable| Some(unreadable_pool(unreadable)),
            Input::Pool,
            inputs.clone(),
        )),
    );

    let claims = Watch::new(
        Api::all(client.clone()),
        readiness.guard("list of AddressClaims"),
        metrics,
    )
    .when_unknown(NOT_INSTALLED);
    let project = |object: AddressClaim| claim::claim(&object);
    let wrap = |change: Change<_>| Input::Claim(change);
    vital.spawn(
        "watch of AddressClaims",
        forever(follow_partly(
            claims,
            project,
            |unreadable| Some(partial_claim(unreadable)),
            wrap,
            inputs.clone(),
        )),
    );
}

fn leadership(args: &Args, client: &Client, identity: String, vital: &mut Vital) -> (Leadership, Ending) {
    if args.leader_elect {
        let (elector, leadership) = Elector::new(client.clone(), &args.client.namespace, LEASE, identity);
        (leadership, ending(vital, "lease", |stop| elector.run(stop)))
    } else {
        let standing = |stop: Shutdown| async move { stop.requested().await };
        (lease::always(), ending(vital, "lease", standing))
    }
}

async fn make_gossip_secret(client: Client, args: Args) -> anyhow::Result<()> {
    if !args.gossip_secret.is_empty() {
        gossip_secret::ensure(client, &args.client.namespace, &args.gossip_secret).await?;
    }
    // Done for good, and still vital: a task that ends is a failure.
    std::future::pending().await
}

/// A vital task that ends only when the other side of its channels has.
async fn forever(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

/// Starts a vital task that can be asked to end.
fn ending<F>(vital: &mut Vital, name: &'static str, task: impl FnOnce(Shutdown) -> F) -> Ending
where
    F: Future<Output = ()> + Send + 'static,
{
    let (trigger, stop) = shutdown::channel();
    let (done, ended) = oneshot::channel();
    let task = task(stop);
    vital.spawn(name, async move {
        task.await;
        // Dropped unsent it says the same.
        let _nobody_waits = done.send(());
        Ok(())
    });
    Ending { trigger, ended }
}

fn state_source(questions: mpsc::Sender<Question>) -> StateSource {
    Arc::new(move || {
        let questions = questions.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            if questions.send(answer).await.is_err() {
                return json!({"error": "lending has ended"});
            }
            answered.await.unwrap_or(Value::Null)
        })
    })
}

/// Who holds the Lease, for people and for no other process: host, process, and when it began.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!(
        "{}_{}_{:x}",
        host.trim(),
        std::process::id(),
        clock::wall().as_micros()
    )
}

// === impl Ending ===

impl Ending {
    async fn end(self) {
        self.trigger.request();
        // An error means that it has ended without a word.
        let _ended = self.ended.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = include_str!("../../charts/ferrolb/templates/controller/deployment.yaml");

    #[test]
    fn the_chart_gives_twice_the_time_that_the_end_may_take() {
        let mut words = DEPLOYMENT.split_whitespace();
        words.find(|word| *word == "terminationGracePeriodSeconds:");
        let seconds = words.next().expect("the chart says how long the kubelet waits");
        let grace = Duration::from_secs(seconds.parse().expect("a number of seconds"));
        // Twice, because the end begins late on a node where everything is being stopped.
        assert!(
            grace >= 2 * END,
            "the kubelet kills after {grace:?}, the end takes {END:?}"
        );
    }
}
