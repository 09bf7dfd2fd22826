#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use ferrolb_core::address::Family;
use serde_json::json;

use super::super::endpoints::slice_facts;
use super::*;

const WEB: &str = "192.0.2.200";
const API: &str = "192.0.2.201";

fn mk_claim(address: &str, policy: &str, state: &str) -> ClaimView {
    let claim = json!({
        "metadata": {"name": address, "resourceVersion": "5"},
        "spec": {
            "address": address, "pool": "home", "state": state,
            "holders": [{"namespace": "default", "name": format!("svc-{address}"), "uid": "u",
                         "externalTrafficPolicy": policy}],
        },
        "status": {"epoch": 3, "owner": {"node": "n2"}},
    });
    claim_view(&serde_json::from_value(claim).expect("a claim"))
}

fn apply_claim(index: &mut ApiIndex, address: &str, policy: &str, state: &str) -> Absorbed {
    let view = mk_claim(address, policy, state);
    index.absorb(ApiEvent::Claims(Change::Apply(ObjectKey::cluster(address), view)))
}

fn reset<V>() -> Change<V> {
    Change::Reset {
        objects: BTreeMap::new(),
        unreadable: BTreeSet::new(),
    }
}

fn mk_listed() -> ApiIndex {
    let mut index = ApiIndex::default();
    index.absorb(ApiEvent::Claims(reset()));
    index.absorb(ApiEvent::Pools(reset()));
    index.absorb(ApiEvent::Nodes(reset()));
    index
}

fn vips(facts: &Facts) -> Vec<String> {
    facts.claims.keys().map(ToString::to_string).collect()
}

fn mk_slice(address: &str, node: &str) -> ApiEvent {
    let slice = json!({
        "metadata": {"name": "s", "namespace": "default",
                     "labels": {"kubernetes.io/service-name": format!("svc-{address}")}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": node}],
    });
    let slice = slice_facts(serde_json::from_value(slice).expect("a slice"));
    ApiEvent::Slices(Change::Reset {
        objects: BTreeMap::from([(ObjectKey::namespaced("default", "s"), slice)]),
        unreadable: BTreeSet::new(),
    })
}

#[test]
fn facts_are_complete_once_claims_pools_and_nodes_are_listed() {
    let mut index = ApiIndex::default();
    index.absorb(ApiEvent::Claims(reset()));
    index.absorb(ApiEvent::Pools(reset()));
    assert!(!index.facts().complete);
    let absorbed = index.absorb(ApiEvent::Nodes(reset()));
    assert!(absorbed.has_changed, "an empty list completes the facts");
    assert!(index.facts().complete);
    assert!(
        !index.absorb(ApiEvent::Nodes(reset())).has_changed,
        "the same list again is silence"
    );
}

#[test]
fn a_claim_that_does_not_change_wakes_nobody() {
    let mut index = mk_listed();
    let absorbed = apply_claim(&mut index, WEB, "Cluster", "Held");
    assert_eq!(absorbed.claims.len(), 1);
    assert_eq!(
        apply_claim(&mut index, WEB, "Cluster", "Held"),
        Absorbed::default()
    );
    assert_eq!(vips(&index.facts()), [WEB]);
    assert!(!index.needs_slices());
}

#[test]
fn a_released_claim_is_no_fact_but_its_named_owner_is_known() {
    let mut index = mk_listed();
    apply_claim(&mut index, WEB, "Cluster", "Releasing");
    assert_eq!(vips(&index.facts()), [""; 0]);
    let expected = BTreeMap::from([(WEB.parse().unwrap(), NodeName::from("n2"))]);
    assert_eq!(index.named_owners(), expected);
}

#[test]
fn a_deleted_claim_is_named_as_gone() {
    let mut index = mk_listed();
    apply_claim(&mut index, WEB, "Cluster", "Held");
    let absorbed = index.absorb(ApiEvent::Claims(Change::Delete(ObjectKey::cluster(WEB))));
    assert_eq!(absorbed.claims, [(WEB.parse().unwrap(), None)]);
}

#[test]
fn local_claims_wait_for_the_endpoints_and_hold_nothing_else_up() {
    let mut index = mk_listed();
    apply_claim(&mut index, WEB, "Cluster", "Held");
    apply_claim(&mut index, API, "Local", "Held");
    assert!(index.needs_slices());
    let facts = index.facts();
    assert!(facts.complete);
    assert_eq!(vips(&facts), [WEB]);

    assert!(index.absorb(mk_slice(API, "n3")).has_changed);
    let facts = index.facts();
    assert_eq!(vips(&facts), [WEB, API]);
    let expected = BTreeMap::from([(
        ServiceKey::new("default", format!("svc-{API}")),
        BTreeSet::from([NodeName::from("n3")]),
    )]);
    assert_eq!(facts.local_endpoints, BTreeMap::from([(Family::V4, expected)]));
}

#[test]
fn a_claim_that_is_there_stays_when_it_turns_local_or_endpoints_become_unknown() {
    let mut index = mk_listed();
    apply_claim(&mut index, API, "Cluster", "Held");
    assert_eq!(vips(&index.facts()), [API]);
    apply_claim(&mut index, API, "Local", "Held");
    assert_eq!(vips(&index.facts()), [API], "it must not look as if it were gone");
    index.absorb(mk_slice(API, "n3"));
    index.forget_slices();
    let facts = index.facts();
    assert_eq!(vips(&facts), [API]);
    assert_eq!(facts.local_endpoints, BTreeMap::new());
    index.absorb(ApiEvent::Claims(Change::Delete(ObjectKey::cluster(API))));
    assert_eq!(vips(&index.facts()), [""; 0]);
}
