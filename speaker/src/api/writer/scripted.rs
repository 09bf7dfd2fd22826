//! The status writer against a scripted API server.

use ferrolb_core::reason::MoveReason;
use ferrolb_runtime::scripted::{Answer, Asked, Script};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::api::status::{LastMove, Owner};

const PATCH: &str = "PATCH /apis/ferrolb.io/v1alpha1/addressclaims/192.0.2.7/status";
const READ: &str = "GET /apis/ferrolb.io/v1alpha1/addressclaims/192.0.2.7";

fn vip() -> IpAddr {
    "192.0.2.7".parse().expect("ip")
}

/// The claim, in a version, as owned by a node.
fn mk_claim(version: &str, epoch: u64, node: &str) -> Value {
    json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": {"name": "192.0.2.7", "resourceVersion": version},
        "spec": {"address": "192.0.2.7"},
        "status": {"epoch": epoch, "owner": {"node": node, "interfaces": ["eth0"]}},
    })
}

fn mk_observed(version: &str, epoch: u64, node: &str) -> Observed {
    Observed::of(&serde_json::from_value(mk_claim(version, epoch, node)).expect("a claim"))
}

fn mk_desired(epoch: u64) -> Desired {
    Desired {
        epoch,
        owner: Some(Owner {
            node: "n1".into(),
            interfaces: vec!["eth0".to_owned()],
            mac: None,
            subnet: None,
        }),
        since: Timestamp::UNIX_EPOCH,
        last_move: Some(LastMove {
            from: Some("n2".into()),
            reason: MoveReason::NodeDown,
        }),
    }
}

/// Has a writer say that this node owns the claim, by the epochs given one after the other.
async fn say(script: &Script, epochs: &[u64]) -> Vec<Asked> {
    let mut writer = Writer::new(script.client(), WriteMetrics::default());
    writer.observe(vec![(vip(), Some(mk_observed("10", 4, "n2")))]);
    for epoch in epochs {
        writer.report(Reports::from([(vip(), Some(mk_desired(*epoch)))]));
    }
    loop {
        writer.start_patches();
        if writer.is_idle() {
            break;
        }
        writer.advance().await;
    }
    script.played().await.expect("the script is followed")
}

#[tokio::test(start_paused = true)]
async fn many_reports_of_one_claim_are_one_patch_of_the_last() {
    let script = Script::new().then(PATCH, Answer::Object(mk_claim("11", 7, "n1")));
    let asked = say(&script, &[5, 6, 7]).await;
    assert_eq!(asked[0].content_type, "application/merge-patch+json");
    assert_eq!(asked[0].body["metadata"]["resourceVersion"], "10");
    assert_eq!(asked[0].body["status"]["epoch"], 7);
    assert_eq!(asked[0].body["status"]["owner"]["node"], "n1");
    assert_eq!(asked[0].body["status"]["lastMove"]["reason"], "NodeDown");
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_not_written() {
    let script = Script::new();
    let mut writer = Writer::new(script.client(), WriteMetrics::default());
    writer.observe(vec![(vip(), Some(mk_observed("10", 5, "n1")))]);
    writer.report(Reports::from([(vip(), Some(mk_desired(5)))]));
    writer.start_patches();
    assert!(writer.is_idle());
    assert_eq!(script.played().await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn another_version_is_read_and_compared_again() {
    for refusal in [Answer::Refusal(409, "Conflict"), Answer::Refusal(422, "Invalid")] {
        let script = Script::new()
            .then(PATCH, refusal.clone())
            .then(READ, Answer::Object(mk_claim("12", 4, "n2")))
            .then(PATCH, Answer::Object(mk_claim("13", 5, "n1")));
        let asked = say(&script, &[5]).await;
        assert_eq!(asked[2].body["metadata"]["resourceVersion"], "12");
        // Somebody who knows more is left alone.
        let script = Script::new()
            .then(PATCH, refusal)
            .then(READ, Answer::Object(mk_claim("12", 6, "n3")));
        say(&script, &[5]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_asked_again_until_it_is_back() {
    let script = Script::new()
        .then(PATCH, Answer::Broken)
        .then(PATCH, Answer::Refusal(503, "ServiceUnavailable"))
        .then(PATCH, Answer::Refusal(429, "TooManyRequests"))
        .then(PATCH, Answer::Refusal(403, "Forbidden"))
        .then(PATCH, Answer::Object(mk_claim("11", 5, "n1")));
    let began = Instant::now();
    say(&script, &[5]).await;
    assert!(began.elapsed() > std::time::Duration::ZERO, "there are pauses");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_gone_is_forgotten() {
    let script = Script::new().then(PATCH, Answer::Refusal(404, "NotFound"));
    say(&script, &[5]).await;
}
