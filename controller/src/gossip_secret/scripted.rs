//! The gossip secret against a scripted API server: it is made in the end, whatever comes before.

use ferrolb_runtime::scripted::{Answer, Script};
use serde_json::json;

use super::*;

const SECRETS: &str = "POST /api/v1/namespaces/ferrolb-system/secrets";

async fn ensure_against(answers: Vec<Answer>) -> usize {
    let mut script = Script::new();
    for answer in answers {
        script = script.then(SECRETS, answer);
    }
    let ensured = ensure(script.client(), "ferrolb-system", "ferrolb-gossip").await;
    ensured.expect("there are random numbers");
    script.played().await.expect("the script is followed").len()
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_until_it_is_there() {
    let made = Answer::Object(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ferrolb-gossip"},
    }));
    let answers = vec![
        Answer::Broken,
        Answer::Silence,
        Answer::Trickle,
        Answer::Throttled(2),
        Answer::Refusal(401, "Unauthorized"),
        Answer::Refusal(403, "Forbidden"),
        Answer::Refusal(503, "ServiceUnavailable"),
        made,
    ];
    assert_eq!(ensure_against(answers).await, 8);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_there_stays() {
    assert_eq!(
        ensure_against(vec![Answer::Refusal(409, "AlreadyExists")]).await,
        1
    );
}
