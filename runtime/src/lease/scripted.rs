//! The Lease against a scripted API server. Time is real here: a Lease is about the clock.

use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::scripted::{Answer, Script};
use crate::shutdown::{self, ShutdownTrigger};

const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases";
const LOOK: &str = "GET /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases/ferrolb-controller";
const RENEW: &str = "PUT /apis/coordination.k8s.io/v1/namespaces/ferrolb-system/leases/ferrolb-controller";

/// A replica called `us`.
struct Stage {
    script: Script,
    leadership: Leadership,
    end: ShutdownTrigger,
    elector: JoinHandle<()>,
}

impl Stage {
    fn new(script: Script) -> Self {
        let (elector, leadership) = Elector::new(
            script.client(),
            "ferrolb-system",
            "ferrolb-controller",
            "us".to_owned(),
        );
        let (end, stop) = shutdown::channel();
        Self {
            script,
            leadership,
            end,
            elector: tokio::spawn(elector.run(stop)),
        }
    }

    async fn wait(&mut self, is_leading: bool) -> Option<Term> {
        let leadership = self.leadership.wait_for(|term| term.is_some() == is_leading);
        let term = timeout(Duration::from_secs(20), leadership).await;
        term.expect("in time").expect("the elector goes on").clone()
    }
}

fn mk_lease(version: &str, holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "ferrolb-controller", "namespace": "ferrolb-system", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 4, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": renewed,
        },
    })
}

const AT_FIRST: &str = "2026-01-01T00:00:00.000000Z";
const LATER: &str = "2026-01-01T00:00:01.000000Z";

#[tokio::test]
async fn a_lease_that_is_not_there_is_created_renewed_and_given_back() {
    let script = Script::new()
        .then(LOOK, Answer::Refusal(404, "NotFound"))
        .then(LEASES, Answer::Object(mk_lease("1", "us", AT_FIRST)))
        .then(RENEW, Answer::Object(mk_lease("2", "us", LATER)));
    let mut stage = Stage::new(script);
    let term = stage.wait(true).await.expect("a term");
    assert!(term.is_certain());
    stage.script.played().await.expect("the script is followed");
    let script = std::mem::take(&mut stage.script).then(RENEW, Answer::Object(mk_lease("3", "", LATER)));
    stage.end.request();
    stage.elector.await.expect("it ends");
    let asked = script.played().await.expect("the script is followed");
    let lease: Lease = serde_json::from_value(asked[1].body.clone()).expect("a Lease");
    assert_eq!(lease.name_any(), "ferrolb-controller");
    let spec = |index: usize| asked[index].body["spec"].clone();
    assert_eq!(spec(1)["holderIdentity"], "us");
    assert_eq!(spec(1)["leaseDurationSeconds"], 4);
    assert_eq!(asked[2].body["metadata"]["resourceVersion"], "1");
    assert!(
        spec(3)["holderIdentity"].as_str().is_none_or(str::is_empty),
        "{asked:?}"
    );
    assert!(stage.leadership.borrow().is_none());
}

#[tokio::test]
async fn who_comes_second_stands_by() {
    let script = Script::new()
        .then(LOOK, Answer::Refusal(404, "NotFound"))
        .then(LEASES, Answer::Refusal(409, "AlreadyExists"))
        .then(LOOK, Answer::Object(mk_lease("1", "others", AT_FIRST)))
        .then(LOOK, Answer::Object(mk_lease("2", "others", LATER)));
    let stage = Stage::new(script);
    stage.script.played().await.expect("the script is followed");
    assert!(stage.leadership.borrow().is_none());
    stage.elector.abort();
}

#[tokio::test]
async fn a_leader_whose_renewals_get_no_answer_stands_by_before_the_lease_runs_out() {
    let script = Script::new()
        .then(LOOK, Answer::Refusal(404, "NotFound"))
        .then(LEASES, Answer::Object(mk_lease("1", "us", AT_FIRST)))
        .then(RENEW, Answer::Silence);
    let mut stage = Stage::new(script);
    let began = clock::boottime();
    let term = stage.wait(true).await.expect("a term");
    stage.wait(false).await;
    assert!(!term.is_certain());
    assert!(
        clock::boottime() - began < DURATION,
        "the Lease could have been taken"
    );
    stage.elector.abort();
}

#[tokio::test]
async fn a_leader_whose_lease_was_taken_stands_by_and_leads_again_when_it_runs_out() {
    let script = Script::new()
        .then(LOOK, Answer::Refusal(404, "NotFound"))
        .then(LEASES, Answer::Object(mk_lease("1", "us", AT_FIRST)))
        .then(RENEW, Answer::Refusal(409, "Conflict"))
        // The other one never renews.
        .whenever(LOOK, Answer::Object(mk_lease("5", "others", LATER)))
        .then(RENEW, Answer::Object(mk_lease("6", "us", LATER)));
    let mut stage = Stage::new(script);
    stage.wait(true).await;
    stage.wait(false).await;
    stage.wait(true).await;
    let asked = stage.script.played().await.expect("the script is followed");
    let taken = &asked.last().expect("the last").body;
    assert_eq!(taken["metadata"]["resourceVersion"], "5");
    assert_eq!(taken["spec"]["holderIdentity"], "us");
    assert_eq!(taken["spec"]["leaseTransitions"], 1);
    stage.elector.abort();
}

#[tokio::test]
async fn an_answer_that_comes_late_does_not_make_the_lease_run_out_sooner() {
    let late = Duration::from_secs(2);
    let script = Script::new()
        // Renewed a moment before the answer left, as far as anybody here can know.
        .then(LOOK, Answer::Late(late, mk_lease("1", "others", AT_FIRST)))
        .whenever(LOOK, Answer::Object(mk_lease("1", "others", AT_FIRST)))
        .then(RENEW, Answer::Object(mk_lease("2", "us", LATER)));
    let mut stage = Stage::new(script);
    let began = clock::boottime();
    stage.wait(true).await;
    assert!(
        clock::boottime() - began >= late + DURATION,
        "its holder may still be certain"
    );
    stage.elector.abort();
}

#[tokio::test]
async fn a_leader_whose_renewal_is_refused_for_a_moment_goes_on_leading() {
    let refusals = [
        Answer::Throttled(30),
        Answer::Refusal(401, "Unauthorized"),
        Answer::Refusal(403, "Forbidden"),
        Answer::Refusal(500, "InternalError"),
        Answer::Broken,
        Answer::Garbage,
    ];
    let scenes = refusals.map(|refusal| async move {
        let script = Script::new()
            .then(LOOK, Answer::Refusal(404, "NotFound"))
            .then(LEASES, Answer::Object(mk_lease("1", "us", AT_FIRST)))
            .then(RENEW, refusal.clone())
            // It may have been written, so it is looked at before it is written again.
            .then(LOOK, Answer::Object(mk_lease("2", "us", LATER)))
            .then(RENEW, Answer::Object(mk_lease("3", "us", LATER)));
        let mut stage = Stage::new(script);
        let term = stage.wait(true).await.expect("a term");
        let asked = stage.script.played().await.expect("the script is followed");
        assert_eq!(asked[4].body["metadata"]["resourceVersion"], "2", "{refusal:?}");
        assert!(term.is_certain(), "{refusal:?}");
        assert!(stage.leadership.borrow().is_some(), "{refusal:?}");
        stage.elector.abort();
    });
    futures::future::join_all(scenes).await;
}
