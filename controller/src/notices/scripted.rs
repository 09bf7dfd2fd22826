//! Events against a scripted API server: one at a time, and none holds up the others for long.

use ferrolb_runtime::scripted::{Answer, Script};
use serde_json::json;
use tokio::time::Instant;

use super::*;

const EVENTS: &str = "POST /apis/events.k8s.io/v1/namespaces/default/events";

fn mk_report(name: &str) -> Report {
    Report {
        regarding: ObjectReference {
            kind: Some("Service".to_owned()),
            namespace: Some("default".to_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        },
        is_warning: false,
        reason: "Assigned".to_owned(),
        message: format!("{name} has an address"),
    }
}

fn mk_written() -> Answer {
    Answer::Object(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"}, "eventTime": null,
    }))
}

/// Reports about two Services, of which the first meets these answers; which Services the requests
/// were about, how long it took, and how many Events are given up.
async fn publish(answers: Vec<Answer>) -> (Vec<String>, Duration, u64) {
    let mut script = Script::new();
    for answer in answers {
        script = script.then(EVENTS, answer);
    }
    let script = script.then(EVENTS, mk_written());
    let (notices, publisher) = channel("us".to_owned(), &mut Registry::default());
    let failed = publisher.failed.clone();
    notices.report(mk_report("first"));
    notices.report(mk_report("second"));
    drop(notices);
    let began = Instant::now();
    publisher.run(script.client()).await;
    let asked = script.played().await.expect("the script is followed");
    let about = asked.iter().map(|asked| {
        asked.body["regarding"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    (about.collect(), began.elapsed(), failed.get())
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_written_is_counted_and_not_tried_again() {
    let failures = [
        Answer::Refusal(403, "Forbidden"),
        Answer::Refusal(409, "AlreadyExists"),
        Answer::Refusal(500, "InternalError"),
        Answer::Broken,
        Answer::Silence,
        Answer::Trickle,
    ];
    for failure in failures {
        let (about, took, failed) = publish(vec![failure.clone()]).await;
        assert_eq!(about, ["first", "second"], "{failure:?}");
        assert!(took <= PATIENCE, "{failure:?} holds up the others for {took:?}");
        assert_eq!(failed, 1, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_came_too_often_is_written_when_it_may_be() {
    let (about, took, failed) = publish(vec![Answer::Throttled(4), mk_written()]).await;
    assert_eq!(about, ["first", "first", "second"]);
    assert!(took >= Duration::from_secs(4), "{took:?}");
    assert_eq!(failed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_never_has_time_costs_events_and_nothing_else() {
    let (about, took, failed) = publish(vec![Answer::Throttled(3600); ATTEMPTS]).await;
    assert_eq!(about, ["first", "first", "first", "second"]);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(failed, 1);
}
