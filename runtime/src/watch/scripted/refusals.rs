//! The watch when the API server is busy, slow, broken or of another opinion: what is known stands,
//! nothing is asked more often than it should be, and all is well again by itself.
//!
//! Time is virtual, so that what is waited for can be measured.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// A list of one Node, and a watch that stays open: what every one of these ends with.
fn and_then_all_is_well(script: Script) -> Script {
    script
        .then(NODES, mk_list("7", "", &[mk_node("n1", "3", "red")]))
        .then(NODES, Answer::OpenEvents(vec![]))
}

/// A list, then a watch from it that comes to this end, then a watch that stays open; how long it
/// took, and what was asked.
async fn watch_that_meets(answers: Vec<Answer>) -> (Duration, Vec<Asked>) {
    let mut script = Script::new().then(NODES, mk_list("7", "", &[]));
    for answer in answers {
        script = script.then(NODES, answer);
    }
    let began = Instant::now();
    let stage = Stage::new(script.then(NODES, Answer::OpenEvents(vec![])));
    let asked = stage.end().await;
    (began.elapsed(), asked)
}

fn is_watch(asked: &Asked) -> bool {
    asked.query.contains("watch=true")
}

#[tokio::test(start_paused = true)]
async fn a_list_waits_as_long_as_it_is_asked_to() {
    let script = Script::new()
        .then(NODES, Answer::Throttled(7))
        .then(NODES, mk_list("", "page-2", &[]))
        .then(NODES, Answer::Throttled(3));
    let mut stage = Stage::new(and_then_all_is_well(script));
    let began = Instant::now();
    assert_eq!(stage.next().await, mk_reset(&[("n1", "red")], &[]));
    let waited = began.elapsed();
    let asked_for = Duration::from_secs(7 + 3);
    assert!(
        waited >= asked_for && waited < asked_for + Duration::from_secs(1),
        "{waited:?}"
    );
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_waits_as_long_as_it_is_asked_to_and_goes_on_where_it_was() {
    let mut in_the_middle = error_event(429, "TooManyRequests");
    in_the_middle["object"]["details"] = json!({"retryAfterSeconds": 4});
    let answers = vec![Answer::Throttled(5), Answer::Events(vec![in_the_middle])];
    let (took, asked) = watch_that_meets(answers).await;
    assert!(
        took >= Duration::from_secs(9) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(asked[1..].iter().all(is_watch), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_is_not_waited() {
    let (took, _) = watch_that_meets(vec![Answer::Throttled(3600)]).await;
    assert!(took < Duration::from_secs(11), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_comes_to_an_end_is_given_up() {
    for stuck in [Answer::Silence, Answer::Trickle] {
        let first = Script::new().then(NODES, stuck.clone());
        let second = Script::new()
            .then(NODES, mk_list("", "page-2", &[mk_node("n9", "1", "red")]))
            .then(NODES, stuck);
        for script in [first, second] {
            let mut stage = Stage::new(and_then_all_is_well(script));
            let began = Instant::now();
            assert_eq!(stage.next().await, mk_reset(&[("n1", "red")], &[]));
            assert!(began.elapsed() < Duration::from_secs(35), "{:?}", began.elapsed());
            let asked = stage.end().await;
            let last_list = asked.iter().rfind(|asked| !is_watch(asked)).expect("a list");
            assert!(!last_list.query.contains("continue"), "it begins anew: {asked:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_ends_in_the_middle_tells_nothing_and_begins_anew() {
    let ends = [
        Answer::Broken,
        Answer::Garbage,
        Answer::Object(json!({"kind": "NodeList", "items": 7})),
        Answer::Refusal(500, "InternalError"),
        Answer::Refusal(410, "Expired"),
    ];
    for end in ends {
        let script = Script::new()
            .then(NODES, mk_list("", "page-2", &[mk_node("n9", "1", "red")]))
            .then(NODES, end);
        let mut stage = Stage::new(and_then_all_is_well(script));
        assert_eq!(stage.next().await, mk_reset(&[("n1", "red")], &[]));
        let asked = stage.end().await;
        assert!(!asked[2].query.contains("continue"), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_list_is_waited_for() {
    let slow = |version, next, node| {
        let Answer::Object(list) = mk_list(version, next, &[node]) else {
            panic!("a list is an object");
        };
        Answer::Late(Duration::from_secs(12), list)
    };
    let script = Script::new()
        .then(NODES, slow("", "page-2", mk_node("n1", "3", "red")))
        .then(NODES, slow("7", "", mk_node("n2", "5", "blue")))
        .then(NODES, Answer::OpenEvents(vec![]));
    let mut stage = Stage::new(script);
    assert_eq!(
        stage.next().await,
        mk_reset(&[("n1", "red"), ("n2", "blue")], &[])
    );
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_for_a_while_goes_on_where_it_was() {
    let refusals = [
        Answer::Refusal(401, "Unauthorized"),
        Answer::Refusal(403, "Forbidden"),
        Answer::Refusal(500, "InternalError"),
        Answer::Refusal(503, "ServiceUnavailable"),
        Answer::Broken,
        Answer::Silence,
        Answer::TornEvents(vec![]),
        Answer::Events(vec![]),
    ];
    for refusal in refusals {
        let (took, asked) = watch_that_meets(vec![refusal.clone(), refusal.clone()]).await;
        assert!(asked[1..].iter().all(is_watch), "{refusal:?}: {asked:?}");
        for watch in &asked[1..] {
            assert!(
                watch.query.contains("resourceVersion=7"),
                "{refusal:?}: {asked:?}"
            );
        }
        assert!(
            took > Duration::from_millis(200),
            "{refusal:?} is asked for at once: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_a_line_was_torn_counts() {
    let event = event("ADDED", &mk_node("n1", "8", "red"));
    let (_, asked) = watch_that_meets(vec![Answer::TornEvents(vec![event])]).await;
    assert!(asked[2].query.contains("resourceVersion=8"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_only_says_nonsense_is_answered_by_a_new_list() {
    let script = Script::new()
        .then(NODES, mk_list("7", "", &[]))
        .then(NODES, Answer::Garbage)
        .then(NODES, Answer::Garbage);
    let mut stage = Stage::new(and_then_all_is_well(script));
    assert_eq!(stage.next().await, mk_reset(&[], &[]));
    assert_eq!(stage.next().await, mk_reset(&[("n1", "red")], &[]));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_ready_says_why() {
    for (answer, word) in [
        (Answer::Refusal(403, "Forbidden"), "grant it in a role"),
        (Answer::Refusal(401, "Unauthorized"), "credentials"),
        (Answer::Throttled(1), "too much to do"),
    ] {
        let script = Script::new().then(NODES, answer).then(NODES, Answer::Silence);
        let stage = Stage::new(script);
        let readiness = stage.readiness.clone();
        stage.end().await;
        let said = readiness.report();
        assert!(said.contains(word), "{said}");
    }
}
