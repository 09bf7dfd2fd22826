//! What the two programs may do at the API server: what they do, and nothing beside.
//!
//! The lists are of what the programs call. Who makes them call more has to add it here too, and who
//! makes them call less takes it away.

use std::collections::BTreeSet;

use ferrolb_tests::chart;
use ferrolb_tests::lab::Lab;
use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use super::{client_with, install, render};

/// In every namespace.
const CONTROLLER: [&str; 18] = [
    // Followed, and read live before what somebody may have changed is decided.
    "get services",
    "list services",
    "watch services",
    "patch services/status",
    "list namespaces",
    "watch namespaces",
    "list nodes",
    "watch nodes",
    "get addressclaims.ferrolb.io",
    "list addressclaims.ferrolb.io",
    "watch addressclaims.ferrolb.io",
    "create addressclaims.ferrolb.io",
    "patch addressclaims.ferrolb.io",
    "delete addressclaims.ferrolb.io",
    "list addresspools.ferrolb.io",
    "watch addresspools.ferrolb.io",
    "patch addresspools/status.ferrolb.io",
    "create events.events.k8s.io",
];

/// In its own namespace.
const CONTROLLER_AT_HOME: [&str; 6] = [
    "create leases.coordination.k8s.io",
    "get leases.coordination.k8s.io called ferrolb-controller",
    "update leases.coordination.k8s.io called ferrolb-controller",
    "create secrets",
    "list daemonsets.apps",
    "watch daemonsets.apps",
];

/// In every namespace; at home it may do no more.
const SPEAKER: [&str; 10] = [
    // Read live after a conflict.
    "get addressclaims.ferrolb.io",
    "list addressclaims.ferrolb.io",
    "watch addressclaims.ferrolb.io",
    "patch addressclaims/status.ferrolb.io",
    "list addresspools.ferrolb.io",
    "watch addresspools.ferrolb.io",
    "list nodes",
    "watch nodes",
    "list endpointslices.discovery.k8s.io",
    "watch endpointslices.discovery.k8s.io",
];

#[test]
fn the_chart_grants_what_the_programs_do_and_nothing_else() {
    let rendered = render(&[]).unwrap();
    let roles = [
        ("ClusterRole", "ferrolb-controller", words(&CONTROLLER)),
        ("Role", "ferrolb-controller", words(&CONTROLLER_AT_HOME)),
        ("ClusterRole", "ferrolb-speaker", words(&SPEAKER)),
    ];
    for (kind, name, expected) in &roles {
        assert_eq!(granted(&rendered, kind, name), *expected, "{kind} {name}");
    }
    let count =
        rendered.matches("\nkind: ClusterRole\n").count() + rendered.matches("\nkind: Role\n").count();
    assert_eq!(count, roles.len(), "and there is no other role");

    let own_secret = render(&["--set", "gossip.existingSecret=mine"]).unwrap();
    let mut without = words(&CONTROLLER_AT_HOME);
    without.remove("create secrets");
    assert_eq!(granted(&own_secret, "Role", "ferrolb-controller"), without);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_allows_the_programs_that_and_nothing_else() {
    let lab = install().await;
    let controller_at_home = [&CONTROLLER[..], &CONTROLLER_AT_HOME].concat();
    for (account, namespace, expected) in [
        ("ferrolb-controller", chart::NAMESPACE, words(&controller_at_home)),
        ("ferrolb-controller", "kube-system", words(&CONTROLLER)),
        ("ferrolb-speaker", chart::NAMESPACE, words(&SPEAKER)),
        ("ferrolb-speaker", "kube-system", words(&SPEAKER)),
    ] {
        let everybody = allowed(&lab, "default", namespace).await;
        assert!(
            everybody.iter().all(|rule| rule.contains("selfsubject")),
            "a pod without rights may ask who it is: {everybody:?}"
        );
        let ours = allowed(&lab, account, namespace).await;
        let beside: BTreeSet<_> = ours.difference(&everybody).cloned().collect();
        assert_eq!(beside, expected, "{account} in {namespace}");
    }
}

/// What the API server itself says that an account of our namespace may do in a namespace.
async fn allowed(lab: &Lab, account: &str, namespace: &str) -> BTreeSet<String> {
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client_with(lab, account, &[]).await);
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let review = reviews.create(&PostParams::default(), &review).await.unwrap();
    let rules = review.status.expect("an answer").resource_rules;
    let rules = rules.into_iter().map(|rule| {
        let ResourceRule {
            api_groups,
            resource_names,
            resources,
            verbs,
        } = rule;
        PolicyRule {
            api_groups,
            resource_names,
            resources,
            verbs,
            non_resource_urls: None,
        }
    });
    rules.flat_map(permissions).collect()
}

/// What a role of the rendered chart grants.
fn granted(rendered: &str, kind: &str, name: &str) -> BTreeSet<String> {
    let mut documents = rendered
        .split("\n---\n")
        .filter_map(|document| serde_saphyr::from_str::<Value>(document).ok());
    let role = documents.find(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    let rules = role.expect("the role is rendered")["rules"].take();
    let rules: Vec<PolicyRule> = serde_json::from_value(rules).unwrap();
    rules.into_iter().flat_map(permissions).collect()
}

/// A rule, taken apart: `verb resource.group`, and `called` with a name if it is about one object.
fn permissions(rule: PolicyRule) -> Vec<String> {
    let mut permissions = Vec::new();
    for group in rule.api_groups.unwrap_or_default() {
        let dotted = if group.is_empty() {
            group
        } else {
            format!(".{group}")
        };
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                let permission = format!("{verb} {resource}{dotted}");
                let names = rule.resource_names.clone().unwrap_or_default();
                let named = names.iter().map(|name| format!("{permission} called {name}"));
                permissions.extend(named);
                if names.is_empty() {
                    permissions.push(permission);
                }
            }
        }
    }
    permissions
}

fn words(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}
