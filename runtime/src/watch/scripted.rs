//! The watch against a scripted API server: what it asks, in which order, and what it makes of
//! each answer.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

mod refusals;

use super::*;
use crate::readiness::Readiness;
use crate::scripted::{Answer, Asked, Script, error_event, event};

const NODES: &str = "GET /api/v1/nodes";

/// A watch of Nodes that is reduced to their label `color`.
struct Stage {
    script: Script,
    readiness: Readiness,
    changes: mpsc::Receiver<Change<String>>,
    watch: JoinHandle<()>,
}

impl Stage {
    fn new(script: Script) -> Self {
        let readiness = Readiness::new();
        let metrics = WatchMetrics::register(&mut Registry::default());
        let guard = readiness.guard("list of Nodes");
        let watch = Watch::new(Api::all(script.client()), guard, &metrics);
        let (sink, changes) = mpsc::channel(16);
        let color = |node: Node| node.labels().get("color").cloned().unwrap_or_default();
        let watch = tokio::spawn(follow(watch, color, |change| change, sink));
        Self {
            script,
            readiness,
            changes,
            watch,
        }
    }

    async fn next(&mut self) -> Change<String> {
        self.changes.recv().await.expect("the watch goes on")
    }

    async fn end(self) -> Vec<Asked> {
        let asked = self.script.played().await.expect("the script is followed");
        self.watch.abort();
        asked
    }
}

fn mk_node(name: &str, version: &str, color: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "resourceVersion": version, "labels": {"color": color}},
    })
}

/// A Node as only a broken API server or a later version would show it.
fn mk_unreadable(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "resourceVersion": version},
        "spec": {"podCIDRs": 7},
    })
}

fn mk_list(version: &str, next: &str, items: &[Value]) -> Answer {
    Answer::Object(json!({
        "apiVersion": "v1", "kind": "NodeList",
        "metadata": {"resourceVersion": version, "continue": next},
        "items": items,
    }))
}

fn mk_reset(objects: &[(&str, &str)], unreadable: &[&str]) -> Change<String> {
    Change::Reset {
        objects: objects
            .iter()
            .map(|(name, color)| (ObjectKey::cluster(*name), (*color).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        unreadable: unreadable
            .iter()
            .map(|name| ObjectKey::cluster(*name))
            .collect::<BTreeSet<_>>(),
    }
}

fn mk_apply(name: &str, color: &str) -> Change<String> {
    Change::Apply(ObjectKey::cluster(name), color.to_owned())
}

#[tokio::test(start_paused = true)]
async fn it_lists_in_pages_and_watches_from_the_version_of_the_list() {
    let script = Script::new()
        .then(NODES, mk_list("", "page-2", &[mk_node("n1", "3", "red")]))
        .then(NODES, mk_list("7", "", &[mk_node("n2", "5", "blue")]))
        .then(
            NODES,
            Answer::OpenEvents(vec![
                event("MODIFIED", &mk_node("n1", "8", "green")),
                event("DELETED", &mk_node("n2", "9", "blue")),
            ]),
        );
    let mut stage = Stage::new(script);
    assert_eq!(
        stage.next().await,
        mk_reset(&[("n1", "red"), ("n2", "blue")], &[])
    );
    assert_eq!(stage.next().await, mk_apply("n1", "green"));
    assert_eq!(stage.next().await, Change::Delete(ObjectKey::cluster("n2")));
    assert!(stage.readiness.is_ready());
    let asked = stage.end().await;
    assert!(asked[0].query.contains("limit=250"), "{asked:?}");
    assert!(asked[1].query.contains("continue=page-2"), "{asked:?}");
    for part in ["watch=true", "resourceVersion=7", "allowWatchBookmarks=true"] {
        assert!(asked[2].query.contains(part), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_resumed_where_it_was_and_nothing_is_listed() {
    let bookmark = event(
        "BOOKMARK",
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"resourceVersion": "20"}}),
    );
    let script = Script::new()
        .then(NODES, mk_list("7", "", &[]))
        .then(
            NODES,
            Answer::Events(vec![event("ADDED", &mk_node("n1", "8", "red"))]),
        )
        .then(NODES, Answer::Events(vec![bookmark]))
        .then(NODES, Answer::Broken)
        .then(NODES, Answer::Refusal(429, "TooManyRequests"))
        .then(NODES, Answer::OpenEvents(vec![]));
    let mut stage = Stage::new(script);
    assert_eq!(stage.next().await, mk_reset(&[], &[]));
    assert_eq!(stage.next().await, mk_apply("n1", "red"));
    let versions = |asked: &Asked| {
        let mut pairs = asked.query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("resourceVersion=").map(str::to_owned))
    };
    let asked: Vec<_> = stage.end().await[1..].iter().filter_map(versions).collect();
    assert_eq!(asked, ["7", "8", "20", "20", "20"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_is_answered_by_a_new_list() {
    let script = Script::new()
        .then(NODES, mk_list("7", "", &[mk_node("n1", "3", "red")]))
        .then(NODES, Answer::Events(vec![error_event(410, "Expired")]))
        .then(NODES, mk_list("50", "", &[mk_node("n2", "40", "blue")]))
        .then(NODES, Answer::Refusal(410, "Expired"))
        .then(NODES, mk_list("60", "", &[]))
        .then(NODES, Answer::OpenEvents(vec![]));
    let mut stage = Stage::new(script);
    assert_eq!(stage.next().await, mk_reset(&[("n1", "red")], &[]));
    assert_eq!(stage.next().await, mk_reset(&[("n2", "blue")], &[]));
    assert_eq!(stage.next().await, mk_reset(&[], &[]));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_on_any_page_begins_anew_and_tells_nothing() {
    let script = Script::new()
        .then(NODES, Answer::Broken)
        .then(NODES, Answer::Refusal(503, "ServiceUnavailable"))
        .then(NODES, mk_list("", "page-2", &[mk_node("n1", "3", "red")]))
        .then(NODES, Answer::Refusal(410, "Expired"))
        .then(NODES, mk_list("9", "", &[mk_node("n2", "8", "blue")]))
        .then(NODES, Answer::OpenEvents(vec![]));
    let mut stage = Stage::new(script);
    assert!(!stage.readiness.is_ready());
    assert_eq!(stage.next().await, mk_reset(&[("n2", "blue")], &[]));
    let asked = stage.end().await;
    assert!(!asked[4].query.contains("continue"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_named_and_holds_up_nothing() {
    let script = Script::new()
        .then(
            NODES,
            mk_list("7", "", &[mk_unreadable("n1", "3"), mk_node("n2", "4", "red")]),
        )
        .then(
            NODES,
            Answer::OpenEvents(vec![
                event("MODIFIED", &mk_unreadable("n2", "8")),
                event("MODIFIED", &mk_node("n1", "9", "blue")),
            ]),
        );
    let mut stage = Stage::new(script);
    assert_eq!(stage.next().await, mk_reset(&[("n2", "red")], &["n1"]));
    assert_eq!(stage.next().await, mk_apply("n1", "blue"));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_can_be_made_of_a_part_of_an_object_is_told_by_lists_and_watches_alike() {
    let script = Script::new()
        .then(NODES, mk_list("7", "", &[mk_unreadable("n1", "3")]))
        .then(
            NODES,
            Answer::OpenEvents(vec![event("MODIFIED", &mk_unreadable("n2", "8"))]),
        );
    let metrics = WatchMetrics::register(&mut Registry::default());
    let guard = Readiness::new().guard("list of Nodes");
    let watch = Watch::new(Api::all(script.client()), guard, &metrics);
    let (sink, mut changes) = mpsc::channel(16);
    let whole = |_: Node| String::new();
    let part = |unreadable: &Unreadable| Some(unreadable.raw["spec"]["podCIDRs"].to_string());
    let watch = tokio::spawn(follow_partly(watch, whole, part, |change| change, sink));
    let next = changes.recv().await.expect("the watch goes on");
    assert_eq!(next, mk_reset(&[("n1", "7")], &["n1"]));
    let next = changes.recv().await.expect("the watch goes on");
    assert_eq!(next, mk_apply("n2", "7"));
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_goes_silent_is_given_up() {
    let script = Script::new()
        .then(NODES, mk_list("7", "", &[]))
        .then(NODES, Answer::OpenEvents(vec![]))
        .then(NODES, Answer::OpenEvents(vec![]));
    Stage::new(script).end().await;
}
