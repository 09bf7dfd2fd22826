//! The lending task against a scripted API server: when it calls, what, and what it never does.
//! Time is real here: the allocator's is.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_core::allocator::Options;
use ferrolb_core::selector::Labels;
use ferrolb_crds::convert::{claim, pool};
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_runtime::index::{Change, ObjectKey};
use ferrolb_runtime::lease::{self, DURATION, Elector};
use ferrolb_runtime::scripted::{Answer, Script};
use ferrolb_runtime::shutdown::{self, ShutdownTrigger};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::notices;
use crate::project::Classes;

const CREATE: &str = "POST /apis/ferrolb.io/v1alpha1/addressclaims";
const READ: &str = "GET /apis/ferrolb.io/v1alpha1/addressclaims/192.0.2.1";
const UPDATE: &str = "PATCH /apis/ferrolb.io/v1alpha1/addressclaims/192.0.2.1";
const SHOW: &str = "PATCH /api/v1/namespaces/default/services/web/status";
const LOOK: &str = "GET /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases/ferrolb-controller";
const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases";
const RENEW: &str = "PUT /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases/ferrolb-controller";
const LEFT: &str = "GET /api/v1/services";
const COUNT: &str = "PATCH /apis/ferrolb.io/v1alpha1/addresspools/home/status";

/// The task at work, as its watches feed it.
struct Stage {
    script: Script,
    inputs: mpsc::Sender<Input>,
    questions: mpsc::Sender<Question>,
    end: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Stage {
    fn new(script: Script, leadership: Leadership) -> Self {
        let (inputs, inbox) = mpsc::channel(INBOX);
        let (questions, asked) = mpsc::channel(1);
        let mut registry = Registry::default();
        let (notices, _publisher) = notices::channel("us".to_owned(), &mut registry);
        let lending = Lending {
            options: Options::default(),
            inbox,
            questions: asked,
            leadership,
            executor: Executor::new(script.client(), mk_classes()),
            notices,
            metrics: Metrics::register(&mut registry),
        };
        let (end, stop) = shutdown::channel();
        Self {
            script,
            inputs,
            questions,
            end,
            task: tokio::spawn(lending.run(stop)),
        }
    }

    /// A leader to whom every list is complete.
    async fn begin(script: &Script) -> Self {
        let stage = Self::new(script.clone(), lease::always());
        stage.show_everything().await;
        stage.show_no_claims().await;
        stage
    }

    /// One Service and one pool; that there is no claim is told apart.
    async fn show_everything(&self) {
        let service = mk_classes().know(&serde_json::from_value(mk_service()).expect("a Service"));
        self.list(Input::Service, ObjectKey::namespaced("default", "web"), service)
            .await;
        self.list(Input::Namespace, ObjectKey::cluster("default"), Labels::new())
            .await;
        self.list(Input::Node, ObjectKey::cluster("n1"), BTreeSet::new())
            .await;
        let object: AddressPool = serde_json::from_value(mk_pool()).expect("a pool");
        self.list(Input::Pool, ObjectKey::cluster("home"), pool::pool(&object))
            .await;
    }

    async fn show_no_claims(&self) {
        self.send(Input::Claim(mk_reset(BTreeMap::new()))).await;
    }

    async fn list<V>(&self, wrap: impl Fn(Change<V>) -> Input, key: ObjectKey, object: V) {
        self.send(wrap(mk_reset(BTreeMap::from([(key, object)])))).await;
    }

    async fn send(&self, input: Input) {
        self.inputs.send(input).await.expect("the task goes on");
    }

    /// What the task knows, once it has taken in all that was sent before.
    async fn state(&self) -> Value {
        while self.inputs.capacity() < INBOX {
            tokio::task::yield_now().await;
        }
        let (answer, answered) = oneshot::channel();
        self.questions.send(answer).await.expect("the task goes on");
        answered.await.expect("an answer")
    }

    async fn end(self) {
        self.script.played().await.expect("the script is followed");
        self.end.request();
        self.task.await.expect("it ends");
    }
}

fn mk_classes() -> Classes {
    Classes {
        handled: BTreeSet::new(),
        handle_unset: true,
    }
}

fn mk_reset<V>(objects: BTreeMap<ObjectKey, V>) -> Change<V> {
    Change::Reset {
        objects,
        unreadable: BTreeSet::new(),
    }
}

fn mk_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": "web", "uid": "s-1", "resourceVersion": "41"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80}],
        },
    })
}

/// The Service after the first write.
fn mk_served() -> Value {
    let mut service = mk_service();
    service["metadata"]["resourceVersion"] = "43".into();
    service["metadata"]["annotations"] = json!({"ferrolb.io/allocated-from-pool": "home"});
    service["status"] = json!({
        "loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]},
        "conditions": [{
            "type": "ferrolb.io/AddressAssigned", "status": "True", "reason": "Assigned",
            "message": "192.0.2.1 from pool home", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    service
}

fn mk_pool() -> Value {
    json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "home", "uid": "p-1", "resourceVersion": "9"},
        "spec": {"addresses": ["192.0.2.1-192.0.2.9"]},
    })
}

/// The claim as the controller creates it.
fn mk_claim() -> Value {
    json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": {
            "name": "192.0.2.1", "uid": "c-1", "resourceVersion": "42",
            "labels": {"ferrolb.io/pool": "home"},
        },
        "spec": {
            "address": "192.0.2.1", "pool": "home", "state": "Held",
            "stateSince": "2026-01-01T00:00:00Z", "heldBy": "default/web",
            "holders": [{
                "namespace": "default", "name": "web", "uid": "s-1",
                "ports": [{"protocol": "TCP", "port": 80}], "externalTrafficPolicy": "Cluster",
                "advertisements": ["default"],
            }],
        },
    })
}

/// The pool's counts are written beside everything else, at their own pace, and so are Services looked for that
/// are ours no more.
fn mk_script() -> Script {
    let nothing = json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": []});
    Script::new()
        .whenever(COUNT, Answer::Object(mk_pool()))
        .whenever(LEFT, Answer::Object(nothing))
}

#[tokio::test]
async fn nothing_is_written_before_every_list_is_complete() {
    let script = mk_script()
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Object(mk_served()));
    let stage = Stage::new(script.clone(), lease::always());
    stage.show_everything().await;
    assert_eq!(stage.state().await["listed"], false);
    assert_eq!(stage.state().await["callsUnderWay"], json!([]));
    stage.show_no_claims().await;
    stage.end().await;
}

#[tokio::test]
async fn the_claim_comes_first_and_the_status_shows_what_it_says() {
    let script = mk_script()
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Object(mk_served()));
    let stage = Stage::begin(&script).await;
    stage.end().await;
    let asked = script.played().await.expect("the script is followed");
    let created: AddressClaim = serde_json::from_value(asked[0].body.clone()).expect("a claim");
    let spec = claim::claim(&created).expect("named by its address").spec;
    assert_eq!(spec.held_by.as_deref(), Some("default/web"));
    let ingress = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}]);
    assert_eq!(asked[1].body["status"]["loadBalancer"]["ingress"], ingress);
}

#[tokio::test]
async fn a_creation_without_an_answer_is_followed_by_a_read_and_not_by_another_claim() {
    let mut fenced = mk_claim();
    fenced["metadata"]["resourceVersion"] = "43".into();
    let script = mk_script()
        .then(CREATE, Answer::Broken)
        .then(READ, Answer::Object(mk_claim()))
        // Whoever made it may ask to release it a moment later: a write of our own makes that fail.
        .then(UPDATE, Answer::Object(fenced))
        .then(SHOW, Answer::Object(mk_served()));
    let stage = Stage::begin(&script).await;
    stage.end().await;
}

#[tokio::test]
async fn a_status_that_met_another_version_waits_for_the_watch() {
    let script = mk_script()
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Refusal(409, "Conflict"));
    let stage = Stage::begin(&script).await;
    script.played().await.expect("the script is followed");
    let script = script.then(SHOW, Answer::Object(mk_served()));
    let mut newer = mk_service();
    newer["metadata"]["resourceVersion"] = "42".into();
    let service = mk_classes().know(&serde_json::from_value(newer).expect("a Service"));
    let key = ObjectKey::namespaced("default", "web");
    stage.send(Input::Service(Change::Apply(key, service))).await;
    stage.end().await;
    let asked = script.played().await.expect("the script is followed");
    assert_eq!(asked[1].body["metadata"]["resourceVersion"], "41");
    assert_eq!(asked[2].body["metadata"]["resourceVersion"], "42");
}

#[tokio::test]
async fn a_claim_that_a_new_list_lacks_is_made_again() {
    let mut again = mk_claim();
    again["metadata"]["uid"] = "c-2".into();
    again["metadata"]["resourceVersion"] = "50".into();
    let script = mk_script()
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Object(mk_served()));
    let stage = Stage::begin(&script).await;
    script.played().await.expect("the script is followed");
    let _script = script.then(CREATE, Answer::Object(again));
    // The watch never showed the claim, and a new list does not either.
    stage.show_no_claims().await;
    stage.end().await;
}

#[tokio::test]
async fn a_standby_writes_nothing_and_a_term_begins_with_everything() {
    let (term, leadership) = tokio::sync::watch::channel(None);
    let script = mk_script();
    let stage = Stage::new(script.clone(), leadership);
    stage.show_everything().await;
    stage.show_no_claims().await;
    let state = stage.state().await;
    assert_eq!(
        (&state["leading"], &state["listed"]),
        (&json!(false), &json!(true))
    );
    script.played().await.expect("nothing was asked");
    let _script = script
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Object(mk_served()));
    term.send_replace(lease::always().borrow().clone());
    stage.end().await;
}

#[tokio::test]
async fn a_term_begins_with_a_look_for_services_that_changed_their_type_while_nobody_led() {
    let mut left = mk_served();
    left["metadata"]["finalizers"] = json!(["service.kubernetes.io/load-balancer-cleanup"]);
    left["metadata"]["name"] = "left".into();
    left["metadata"]["uid"] = "s-2".into();
    left["spec"]["type"] = "ClusterIP".into();
    left["status"]["loadBalancer"] = json!({});
    let mut clean = mk_service();
    clean["metadata"]["name"] = "left".into();
    let list = json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": [left.clone()]});
    let one = "/api/v1/namespaces/default/services/left";
    let script = Script::new()
        .whenever(COUNT, Answer::Object(mk_pool()))
        .whenever(CREATE, Answer::Silence)
        .then(LEFT, Answer::Object(list))
        .then(&format!("GET {one}"), Answer::Object(left))
        .then(&format!("PATCH {one}/status"), Answer::Object(clean));
    let stage = Stage::begin(&script).await;
    let asked = script.played().await.expect("the script is followed");
    assert!(
        asked[0]
            .query
            .contains("fieldSelector=spec.type%21%3DLoadBalancer"),
        "{asked:?}"
    );
    let metadata = &asked[2].body["metadata"];
    let gone = json!({"ferrolb.io/allocated-from-pool": null});
    assert_eq!(metadata["annotations"], gone, "{metadata}");
    assert!(
        metadata.to_string().contains("load-balancer-cleanup"),
        "{metadata}"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_creation_that_came_too_often_is_made_again_when_it_was_asked_to_and_nothing_is_read() {
    let script = mk_script()
        .then(CREATE, Answer::Throttled(1))
        .then(CREATE, Answer::Object(mk_claim()))
        .then(SHOW, Answer::Object(mk_served()));
    let began = clock::boottime();
    let stage = Stage::begin(&script).await;
    stage.end().await;
    let took = clock::boottime() - began;
    assert!(took >= Duration::from_secs(1), "it came again after {took:?}");
}

#[tokio::test]
async fn only_so_many_calls_are_under_way_however_much_there_is_to_do() {
    let script = Script::new().whenever(COUNT, Answer::Silence);
    let script = script.whenever(CREATE, Answer::Silence);
    let stage = Stage::new(script.clone(), lease::always());
    stage.show_everything().await;
    stage.send(Input::Pool(mk_change_of_pool())).await;
    for number in 0..40 {
        let mut service = mk_service();
        let name = format!("web-{number}");
        service["metadata"]["name"] = name.as_str().into();
        service["metadata"]["uid"] = name.as_str().into();
        let service = mk_classes().know(&serde_json::from_value(service).expect("a Service"));
        let key = ObjectKey::namespaced("default", name);
        stage.send(Input::Service(Change::Apply(key, service))).await;
    }
    stage.show_no_claims().await;
    let state = stage.state().await;
    let calls = state["callsUnderWay"].as_array().expect("a list");
    assert_eq!(calls.len(), CALLS_AT_ONCE, "{state}");
    stage.task.abort();
}

/// The pool, with addresses for everybody.
fn mk_change_of_pool() -> Change<ferrolb_core::pool::Pool> {
    let mut object = mk_pool();
    object["metadata"]["resourceVersion"] = "10".into();
    object["spec"]["addresses"] = json!(["192.0.2.0/24"]);
    let object: AddressPool = serde_json::from_value(object).expect("a pool");
    Change::Apply(ObjectKey::cluster("home"), pool::pool(&object))
}

#[tokio::test]
async fn a_leader_that_is_cut_off_drops_what_is_under_way_and_begins_nothing_before_the_lease_can_be_taken() {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "ferrolb-controller", "namespace": "ferrolb-system", "resourceVersion": "1"},
        "spec": {"holderIdentity": "us", "leaseDurationSeconds": 4, "leaseTransitions": 0},
    });
    let script = Script::new()
        .then(LOOK, Answer::Refusal(404, "NotFound"))
        .then(LEASES, Answer::Object(lease))
        // From here on nothing is answered.
        .whenever(RENEW, Answer::Silence)
        .whenever(LOOK, Answer::Silence)
        .whenever(COUNT, Answer::Silence)
        .whenever(LEFT, Answer::Silence)
        .whenever(CREATE, Answer::Silence);
    let (elector, mut leadership) = Elector::new(
        script.client(),
        "ferrolb-system",
        "ferrolb-controller",
        "us".to_owned(),
    );
    let began = clock::boottime();
    let (_end, stop) = shutdown::channel();
    let elector = tokio::spawn(elector.run(stop));
    let leading = leadership.wait_for(Option::is_some).await;
    let term = leading.expect("the elector goes on").clone().expect("a term");
    let stage = Stage::new(script.clone(), leadership.clone());
    stage.show_everything().await;
    stage.show_no_claims().await;
    let state = stage.state().await;
    assert!(
        state["callsUnderWay"].to_string().contains("CreateClaim"),
        "{state}"
    );

    leadership
        .wait_for(Option::is_none)
        .await
        .expect("the elector goes on");
    let state = stage.state().await;
    let after = clock::boottime() - began;
    assert!(after < DURATION, "the Lease can be taken: {after:?}");
    assert!(!term.is_certain());
    assert_eq!(
        (&state["leading"], &state["callsUnderWay"]),
        (&json!(false), &json!([]))
    );
    // What comes now is taken in and not acted upon: a call would be a surprise.
    for line in [CREATE, COUNT, LEFT] {
        script.no_longer(line);
    }
    let mut service = mk_service();
    service["metadata"]["name"] = "late".into();
    let service = mk_classes().know(&serde_json::from_value(service).expect("a Service"));
    let key = ObjectKey::namespaced("default", "late");
    stage.send(Input::Service(Change::Apply(key, service))).await;
    assert_eq!(stage.state().await["services"], 2);
    script.played().await.expect("nothing was asked");
    elector.abort();
    stage.task.abort();
}
