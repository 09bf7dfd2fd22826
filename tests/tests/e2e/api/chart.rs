//! What the chart renders, and what the real API server makes of its roles, its policy and its pods.

use std::collections::BTreeSet;
use std::time::Duration;

use ferrolb_crds::{AddressClaim, AddressClaimSpec, AddressPool};
use ferrolb_tests::chart;
use ferrolb_tests::lab::artifacts::Artifacts;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, PodSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, CustomResourceExt};
use serde_json::{Value, json};

mod notes;
mod roles;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn helm_finds_nothing_wrong_with_the_chart() {
    let chart = chart::directory().display().to_string();
    helm(&["lint", "--strict", &chart]).unwrap();
}

#[test]
fn a_value_that_the_chart_does_not_have_is_refused() {
    let cases = [
        (
            r#"gossip={"secret": "x"}"#,
            "at '/gossip': additional properties 'secret' not allowed",
        ),
        (
            "controller.replicas=0",
            "at '/controller/replicas': minimum: got 0, want 1",
        ),
        (
            r#"serviceFinalizer="yes""#,
            "at '/serviceFinalizer': got string, want boolean",
        ),
        (
            r#"logFormat="xml""#,
            "at '/logFormat': value must be one of 'text', 'json'",
        ),
        (
            r#"addressPools=[{"name": "home"}]"#,
            "at '/addressPools/0': missing property 'addresses'",
        ),
        (
            r#"addressPools=[{"name": "Home", "addresses": ["192.0.2.0/24"]}]"#,
            "at '/addressPools/0/name': 'Home' does not match pattern",
        ),
        (
            r#"speaker.metricsBind="7982""#,
            "at '/speaker/metricsBind': '7982' does not match pattern",
        ),
        // Without one, the controller would fall back to its default.
        (
            "loadBalancerClasses=[]",
            "at '/loadBalancerClasses': minItems: got 0, want 1",
        ),
        // No Service can have this one.
        (
            r#"loadBalancerClasses=["Example.com/layer2"]"#,
            "at '/loadBalancerClasses/0': 'Example.com/layer2' does not match pattern",
        ),
        (
            r#"loadBalancerClasses=["a/b", "c/d", "a/b"]"#,
            "at '/loadBalancerClasses': items at 0 and 2 are equal",
        ),
    ];
    for (value, words) in cases {
        let error = render(&["--set-json", value]).expect_err(value).to_string();
        assert!(
            error.contains(words),
            "the refusal of {value} says {words}: {error}"
        );
    }
}

#[test]
fn metrics_are_on_the_network_only_when_a_value_says_where() {
    assert!(!render(&[]).unwrap().contains("--metrics-bind"));
    let scraped = render(&["--set-string", "speaker.metricsBind=[::]:7982"]).unwrap();
    assert!(scraped.contains("- --metrics-bind=[::]:7982\n"), "{scraped}");
}

#[test]
fn the_finalizer_of_services_is_off_unless_a_value_turns_it_on() {
    for (arguments, argument) in [
        (&[][..], "- --service-finalizer=false\n"),
        (
            &["--set", "serviceFinalizer=true"],
            "- --service-finalizer=true\n",
        ),
    ] {
        let rendered = render(arguments).unwrap();
        assert!(rendered.contains(argument), "{argument} is not in {rendered}");
        assert_eq!(rendered.matches("--service-finalizer").count(), 1, "{rendered}");
    }
}

#[test]
fn a_pool_in_the_values_is_rendered_as_it_stands() {
    let pool = r#"addressPools=[{"name": "home", "addresses": ["192.0.2.0/24"], "autoAssign": false,
        "layer2": [{"name": "lan", "interfaces": ["eth0", "!eth9"]}]}]"#;
    let rendered = render(&["--set-json", pool]).unwrap();
    let documents = rendered.split("\n---\n");
    let pool = documents
        .into_iter()
        .find(|document| document.contains("kind: AddressPool"));
    let pool: Value = serde_saphyr::from_str(pool.expect("a pool is rendered")).unwrap();
    assert_eq!(pool["metadata"]["name"], "home");
    assert_eq!(
        pool["spec"],
        json!({
            "addresses": ["192.0.2.0/24"],
            "autoAssign": false,
            "layer2": [{ "name": "lan", "interfaces": ["eth0", "!eth9"] }],
        })
    );
}

#[test]
fn an_older_kubernetes_is_refused() {
    let error = render(&["--kube-version", "1.32.9"]).expect_err("1.32 is too old");
    assert!(error.to_string().contains(">=1.33.0"), "{error}");
}

#[test]
fn a_secret_of_ones_own_is_mounted_and_none_may_be_made() {
    let own = render(&["--set", "gossip.existingSecret=mine"]).unwrap();
    assert!(own.contains("secretName: mine") && !own.contains("resources: [secrets]"));
    let made = render(&[]).unwrap();
    assert!(made.contains("secretName: ferrolb-gossip") && made.contains("resources: [secrets]"));
    assert!(
        !made.contains("kind: Secret\n"),
        "the chart never renders a Secret"
    );
}

#[test]
fn the_schema_of_a_pool_in_the_values_has_the_fields_of_the_object() {
    let text = std::fs::read_to_string(chart::directory().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let pool = &schema["properties"]["addressPools"]["items"]["properties"];
    let mut in_values = keys(pool);
    assert!(in_values.remove("name"), "a pool in the values has a name");

    let crd = serde_json::to_value(AddressPool::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert_eq!(in_values, keys(spec));
    assert_eq!(
        keys(&pool["layer2"]["items"]["properties"]),
        keys(&spec["layer2"]["items"]["properties"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_names_no_node_but_its_own() {
    let lab = install().await;
    let nodes: Api<Node> = Api::all(lab.client());
    for name in ["n1", "n2"] {
        let node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let claim = serde_json::from_value::<AddressClaimSpec>(json!({ "address": "192.0.2.200" })).unwrap();
    claims
        .create(&PostParams::default(), &AddressClaim::new("192.0.2.200", claim))
        .await
        .unwrap();

    let unbound = claims_with(&lab, &[]).await;
    let uid = nodes.get("n1").await.unwrap().metadata.uid.unwrap();
    let binding = [
        "--bound-object-kind=Node",
        "--bound-object-name=n1",
        &format!("--bound-object-uid={uid}"),
    ];
    let on_n1 = claims_with(&lab, &binding).await;

    // A policy is in force a moment after it was accepted: until then the first of these is allowed.
    let refused = eventually(PATIENCE, "the policy is in force", || async {
        match write(&unbound, json!({ "epoch": 1, "owner": { "node": "n1" } })).await {
            Err(error) => Ok(error.to_string()),
            Ok(()) => anyhow::bail!("a token that is bound to no node wrote a status"),
        }
    })
    .await
    .unwrap();
    assert!(refused.contains("bound to no node"), "{refused}");

    let refused = write(&on_n1, json!({ "epoch": 1, "owner": { "node": "n2" } })).await;
    let refused = refused.expect_err("n2 is not this speaker's node").to_string();
    assert!(
        refused.contains("the speaker on node n1 may not name n2"),
        "{refused}"
    );
    write(&on_n1, json!({ "epoch": 1, "owner": { "node": "n1" } }))
        .await
        .expect("its own node");
    write(&on_n1, json!({ "owner": null })).await.expect("withdrawal");

    write(&claims, json!({ "epoch": 2, "owner": { "node": "n2" } }))
        .await
        .expect("an administrator");
    write(&on_n1, json!({ "epoch": 3 }))
        .await
        .expect_err("a claim that stays another node's");
    write(&on_n1, json!({ "owner": null }))
        .await
        .expect("the owner is dead, and somebody has to clear it");
    write(&on_n1, json!({ "epoch": 3, "owner": { "node": "n1" } }))
        .await
        .expect("a takeover");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_fits_a_restricted_namespace_and_the_speaker_only_a_privileged_one() {
    let lab = install().await;
    let namespaces: Api<Namespace> = Api::all(lab.client());
    for level in ["restricted", "baseline", "privileged"] {
        let labels = json!({ "pod-security.kubernetes.io/enforce": level });
        let namespace = json!({ "metadata": { "name": level, "labels": labels } });
        let namespace = serde_json::from_value(namespace).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }
    let deployments: Api<Deployment> = Api::namespaced(lab.client(), chart::NAMESPACE);
    let controller = deployments.get("ferrolb-controller").await.unwrap();
    let controller = controller.spec.unwrap().template.spec.unwrap();
    admit(&lab, "restricted", controller).await.unwrap();

    let daemon_sets: Api<DaemonSet> = Api::namespaced(lab.client(), chart::NAMESPACE);
    let speaker = daemon_sets.get("ferrolb-speaker").await.unwrap();
    let speaker = speaker.spec.unwrap().template.spec.unwrap();
    let refused = admit(&lab, "baseline", speaker.clone()).await;
    let refused = refused
        .expect_err("the speaker is on the node's network")
        .to_string();
    assert!(
        refused.contains("host namespaces") && refused.contains("non-default capabilities"),
        "{refused}"
    );
    admit(&lab, "privileged", speaker).await.unwrap();
}

/// The chart in a cluster that has no nodes: all its objects, and no pods.
async fn install() -> Lab {
    let lab = Lab::builder().start().await.unwrap();
    let chart = chart::directory().display().to_string();
    let arguments = [
        "install",
        chart::RELEASE,
        &chart,
        "-n",
        chart::NAMESPACE,
        "--create-namespace",
    ];
    lab.helm(arguments).unwrap();
    lab
}

fn helm(arguments: &[&str]) -> anyhow::Result<String> {
    chart::helm(&Artifacts::from_env()?, arguments)
}

fn render(arguments: &[&str]) -> anyhow::Result<String> {
    let chart = chart::directory().display().to_string();
    let fixed = ["template", chart::RELEASE, &chart, "-n", chart::NAMESPACE];
    helm(&[&fixed, arguments].concat())
}

/// The claims, with a new token of the speakers' account.
async fn claims_with(lab: &Lab, binding: &[&str]) -> Api<AddressClaim> {
    Api::all(client_with(lab, "ferrolb-speaker", binding).await)
}

/// A client with a new token of an account in our namespace.
async fn client_with(lab: &Lab, account: &str, binding: &[&str]) -> Client {
    let fixed = ["create", "token", account, "-n", chart::NAMESPACE];
    // Kubernetes makes the account `default` of a new namespace a moment after it.
    let what = format!("{account} gets a token");
    let token = eventually(PATIENCE, &what, async || lab.kubectl(fixed.iter().chain(binding))).await;
    let token = token.unwrap();
    let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.auth_info = AuthInfo {
        token: Some(token.trim().to_owned().into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).unwrap()
}

async fn write(claims: &Api<AddressClaim>, status: Value) -> kube::Result<()> {
    let patch = Patch::Merge(json!({ "status": status }));
    claims
        .patch_status("192.0.2.200", &PatchParams::default(), &patch)
        .await
        .map(drop)
}

/// Asks the API server whether it would take a pod like this into a namespace.
async fn admit(lab: &Lab, namespace: &str, mut spec: PodSpec) -> kube::Result<()> {
    // There is no such account in this namespace, and it is not what the question is about.
    spec.service_account_name = None;
    spec.service_account = None;
    spec.automount_service_account_token = Some(false);
    let pod = Pod {
        spec: Some(spec),
        ..serde_json::from_value(json!({ "metadata": { "name": "sample" } })).unwrap()
    };
    let pods: Api<Pod> = Api::namespaced(lab.client(), namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    // The controller manager makes the account that every pod needs, a moment after the namespace.
    eventually(PATIENCE, "the namespace takes pods", || async {
        match pods.create(&dry_run, &pod).await {
            Err(kube::Error::Api(status)) if status.message.contains("error looking up service account") => {
                anyhow::bail!("{}", status.message)
            }
            other => Ok(other.map(drop)),
        }
    })
    .await
    .unwrap()
}
