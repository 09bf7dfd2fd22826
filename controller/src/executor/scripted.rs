//! The executor against a scripted API server: what each call sends, and what each answer means.

use std::collections::BTreeSet;

use ferrolb_core::allocator::FinalizerEdit;
use ferrolb_core::claim::{ClaimState, Holder};
use ferrolb_core::condition::Condition;
use ferrolb_core::pool::{Capacity, PoolStatus};
use ferrolb_core::service::TrafficPolicy;
use ferrolb_core::time::Timestamp;
use ferrolb_runtime::scripted::{Answer, Asked, Script};
use serde_json::json;
use tokio::time::Instant;

use super::*;

const CLAIMS: &str = "/apis/ferrolb.io/v1alpha1/addressclaims";
const SERVICES: &str = "/api/v1/services";

/// What every call must end within, whatever the API server does; a timer has grains of a millisecond.
const LONGEST: Duration = Duration::from_millis(20_001);

fn mk_executor(script: &Script) -> Executor {
    let classes = Classes {
        handled: BTreeSet::new(),
        handle_unset: true,
    };
    Executor::new(script.client(), classes)
}

fn mk_spec() -> ClaimSpec {
    let holder = Holder {
        service: ServiceKey::new("default", "web"),
        uid: "s-1".into(),
        ports: vec![],
        traffic_policy: TrafficPolicy::Cluster,
        sharing_key: None,
        selector: Default::default(),
        advertisements: vec![],
    };
    ClaimSpec {
        address: "192.0.2.7".parse().expect("ip"),
        reserved: false,
        reserved_for: Vec::new(),
        pool: Some("home".into()),
        state: Some(ClaimState::Held),
        state_since: Some(Timestamp(1_767_225_600)),
        held_by: Some("default/web".to_owned()),
        last_holder: None,
        holders: vec![holder],
    }
}

fn mk_claim() -> Value {
    let mut claim = json!(claim::new_claim(&mk_spec()));
    claim["metadata"]["uid"] = "c-1".into();
    claim["metadata"]["resourceVersion"] = "7".into();
    claim
}

fn mk_patch() -> ServicePatch {
    ServicePatch {
        key: ServiceKey::new("default", "web"),
        uid: "s-1".into(),
        resource_version: "41".into(),
        ingress: Some(vec!["192.0.2.7".parse().expect("ip")]),
        condition: Some(Condition {
            status: true,
            reason: "Assigned".to_owned(),
            message: "192.0.2.7 from pool home".to_owned(),
            since: Timestamp(1_767_225_600),
        }),
        allocated_from: Some("home".into()),
        finalizer: FinalizerEdit::Add,
    }
}

fn mk_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": "web", "uid": "s-1", "resourceVersion": "42"},
        "spec": {"type": "LoadBalancer"},
    })
}

/// One page of Services, and the token of the next one.
fn mk_page(services: &[Value], next: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceList", "metadata": {"continue": next}, "items": services,
    })
}

/// Every call, with the request line that it must make and an answer that means success.
fn mk_calls() -> Vec<(Call, String, Value)> {
    let one_claim = format!("{CLAIMS}/192.0.2.7");
    let pool_patch = PoolPatch {
        name: "home".into(),
        uid: "p-1".into(),
        status: PoolStatus {
            v4: Capacity::default(),
            v6: Capacity::default(),
            ready: None,
            overlap: None,
        },
    };
    let pool = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "home", "uid": "p-1", "resourceVersion": "9"},
        "spec": {"addresses": ["192.0.2.0/24"]},
    });
    vec![
        (Call::CreateClaim(mk_spec()), format!("POST {CLAIMS}"), mk_claim()),
        (
            Call::UpdateClaim {
                resource_version: "6".into(),
                spec: mk_spec(),
            },
            format!("PATCH {one_claim}"),
            mk_claim(),
        ),
        (
            Call::DeleteClaim {
                address: mk_spec().address,
                uid: "c-1".into(),
                resource_version: "7".into(),
            },
            format!("DELETE {one_claim}"),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
        ),
        (
            Call::ReadClaim(mk_spec().address),
            format!("GET {one_claim}"),
            mk_claim(),
        ),
        (
            Call::PatchService(mk_patch()),
            "PATCH /api/v1/namespaces/default/services/web/status".to_owned(),
            mk_service(),
        ),
        (
            Call::ReadService(ServiceKey::new("default", "web")),
            "GET /api/v1/namespaces/default/services/web".to_owned(),
            mk_service(),
        ),
        (
            Call::PatchPool(pool_patch),
            "PATCH /apis/ferrolb.io/v1alpha1/addresspools/home/status".to_owned(),
            pool,
        ),
        (Call::FindLeftovers, format!("GET {SERVICES}"), mk_page(&[], None)),
    ]
}

async fn play(call: Call, line: &str, answer: Answer) -> (Outcome, Asked) {
    let script = Script::new().then(line, answer);
    let outcome = mk_executor(&script).call(call).await;
    let asked = script.played().await.expect("the script is followed");
    (outcome, asked.into_iter().next().expect("one request"))
}

async fn ask(index: usize) -> (Outcome, Asked) {
    let (call, line, answer) = mk_calls().swap_remove(index);
    play(call, &line, Answer::Object(answer)).await
}

#[tokio::test]
async fn every_call_is_one_request_and_its_success_is_told() {
    for index in 0..mk_calls().len() {
        let (outcome, asked) = ask(index).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{asked:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn writes_name_the_version_or_identity_that_they_are_based_on() {
    let (_, update) = ask(1).await;
    assert_eq!(update.content_type, "application/merge-patch+json");
    assert_eq!(update.body["metadata"]["resourceVersion"], "6");
    let (_, delete) = ask(2).await;
    let expected = json!({"uid": "c-1", "resourceVersion": "7"});
    assert_eq!(delete.body["preconditions"], expected);
    let (_, status) = ask(4).await;
    assert_eq!(status.content_type, "application/strategic-merge-patch+json");
    assert_eq!(status.body["metadata"]["resourceVersion"], "41");
    let (_, pool) = ask(6).await;
    assert_eq!(pool.body["metadata"]["uid"], "p-1");
    for write in [update, status, pool] {
        assert!(
            write.query.contains("fieldManager=ferrolb-controller"),
            "{write:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_means_one_outcome_and_nothing_is_tried_twice() {
    let rejected = |message: &str| Outcome::Rejected(message.to_owned());
    let forbidden =
        "the script says Forbidden; grant it in a role of our ServiceAccount (the Helm chart does)";
    let table = [
        (Answer::Refusal(409, "Conflict"), Outcome::Conflict),
        (Answer::Refusal(404, "NotFound"), Outcome::NotFound),
        (Answer::Refusal(403, "Forbidden"), rejected(forbidden)),
        (
            Answer::Refusal(422, "Invalid"),
            rejected("the script says Invalid"),
        ),
        (Answer::Refusal(401, "Unauthorized"), Outcome::Unknown),
        (
            Answer::Throttled(7),
            Outcome::Throttled(Some(Duration::from_secs(7))),
        ),
        (
            Answer::Refusal(429, "TooManyRequests"),
            Outcome::Throttled(Some(Duration::from_secs(1))),
        ),
        (Answer::Trickle, Outcome::Unknown),
        (Answer::Garbage, Outcome::Unknown),
        (Answer::Refusal(500, "InternalError"), Outcome::Unknown),
        (Answer::Refusal(504, "Timeout"), Outcome::Unknown),
        (Answer::Object(json!("no object")), Outcome::Unknown),
        (Answer::Broken, Outcome::Unknown),
        (Answer::Silence, Outcome::Unknown),
    ];
    for (call, line, _) in mk_calls() {
        for (answer, expected) in table.clone() {
            let expected = match (&call, &expected) {
                (Call::CreateClaim(_), Outcome::Conflict) => Outcome::AlreadyExists,
                // To find nothing is what a read may come to.
                (Call::ReadClaim(_) | Call::ReadService(_), Outcome::NotFound) => {
                    Outcome::Done(Box::new(Stored::Nothing))
                }
                _ => expected,
            };
            let began = Instant::now();
            let (outcome, _) = play(call.clone(), &line, answer.clone()).await;
            assert_eq!(outcome, expected, "{line} answered by {answer:?}");
            // In the time of the test, which nothing but waiting lets pass.
            let took = began.elapsed();
            assert!(took <= LONGEST, "{line} answered by {answer:?} took {took:?}");
            let is_waited_for = matches!(answer, Answer::Silence | Answer::Trickle);
            assert_eq!(
                took > Duration::ZERO,
                is_waited_for,
                "{line} answered by {answer:?} took {took:?}"
            );
        }
    }
}

#[tokio::test]
async fn those_that_are_left_are_looked_for_page_by_page_and_known_by_our_marks() {
    let mk_left = |name: &str, annotation: &str| {
        let mut service = mk_service();
        service["metadata"]["name"] = name.into();
        service["metadata"]["annotations"] = json!({annotation: "home"});
        service["spec"]["type"] = "ClusterIP".into();
        service
    };
    let ours = |name| mk_left(name, "ferrolb.io/allocated-from-pool");
    let pages = [
        mk_page(&[mk_left("other", "example.com/pool"), ours("one")], Some("next")),
        mk_page(&[], Some("last")),
        mk_page(&[ours("two")], None),
    ];
    let line = format!("GET {SERVICES}");
    let script = Script::new();
    let script = pages
        .into_iter()
        .fold(script, |script, page| script.then(&line, Answer::Object(page)));
    let outcome = mk_executor(&script).call(Call::FindLeftovers).await;
    let found = ["one", "two"].map(|name| ServiceKey::new("default", name));
    assert_eq!(
        outcome,
        Outcome::Done(Box::new(Stored::Leftovers(found.to_vec())))
    );
    let asked = script.played().await.expect("the script is followed");
    let selector = "fieldSelector=spec.type%21%3DLoadBalancer";
    assert!(
        asked.iter().all(|asked| asked.query.contains(selector)),
        "{asked:?}"
    );
    let tokens = asked
        .iter()
        .map(|asked| asked.query.split_once("continue=").map(|(_, token)| token));
    assert_eq!(tokens.collect::<Vec<_>>(), [None, Some("next"), Some("last")]);
}

#[tokio::test]
async fn a_list_that_ends_before_its_last_page_is_of_no_use() {
    let line = format!("GET {SERVICES}");
    let script = Script::new()
        .then(&line, Answer::Object(mk_page(&[], Some("next"))))
        .then(&line, Answer::Refusal(410, "Expired"));
    let outcome = mk_executor(&script).call(Call::FindLeftovers).await;
    assert_eq!(outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_deletion_that_a_finalizer_holds_up_leaves_the_claim_there() {
    let mut claim = mk_claim();
    claim["metadata"]["finalizers"] = json!(["example.com/wait"]);
    claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let (call, line, _) = mk_calls().swap_remove(2);
    let (outcome, _) = play(call, &line, Answer::Object(claim)).await;
    let Outcome::Done(stored) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(*stored, Stored::Claim(_)), "{stored:?}");
}

#[tokio::test]
async fn a_claim_that_an_older_version_stored_is_understood_as_far_as_it_goes() {
    let mut claim = mk_claim();
    claim["spec"]["holders"][0]["ports"] = json!("80");
    claim["spec"]["state"] = "Lent".into();
    for index in [1, 3] {
        let (call, line, _) = mk_calls().swap_remove(index);
        let (outcome, _) = play(call, &line, Answer::Object(claim.clone())).await;
        let Outcome::Done(stored) = outcome else {
            panic!("{outcome:?}");
        };
        let Stored::Claim(read) = *stored else {
            panic!("{stored:?}");
        };
        let holder = &read.spec.holders[0];
        assert_eq!(holder.service, ServiceKey::new("default", "web"));
        assert_eq!((read.spec.state, holder.ports.len()), (None, 0));
    }
}

#[tokio::test]
async fn the_status_of_a_pool_that_nobody_understands_is_written_like_any_other() {
    let (call, line, mut pool) = mk_calls().swap_remove(6);
    pool["spec"]["addresses"] = 7.into();
    let (outcome, _) = play(call, &line, Answer::Object(pool)).await;
    let Outcome::Done(stored) = outcome else {
        panic!("{outcome:?}");
    };
    let Stored::Pool(read) = *stored else {
        panic!("{stored:?}");
    };
    let problem = read.unreadable.expect("why");
    assert!(problem.contains("invalid type: integer `7`"), "{problem}");
    assert!(!read.spec.auto_assign && read.spec.addresses.is_empty());
}
