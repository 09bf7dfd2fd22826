//! What the tests on real nodes begin with: the README's installation, and an application.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_crds::AddressClaim;
use ferrolb_tests::chart;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::shell;

/// What pods, images and probes of a kubelet may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A pool that is created with the release. A freed address rests for a second, so that a test sees the
/// end of a claim.
const POOL: &str = r#"addressPools=[{"name": "home", "quarantine": "1s",
    "addresses": ["192.0.2.200-192.0.2.240", "2001:db8::200-2001:db8::2ff"]}]"#;

/// Runs the README's `helm install` with further flags, and waits until every pod is Ready; returns
/// what helm prints.
pub(super) fn install(lab: &Lab, flags: &[&str]) -> Result<String> {
    let command = chart::readme_install()?;
    let waiting = ["--wait", "--timeout=2m"].iter().chain(flags);
    lab.helm(command.into_iter().chain(waiting.map(|flag| (*flag).to_owned())))
}

/// Types the command of the chart's notes that contains this text, as its reader would.
pub(super) fn type_from_notes(lab: &Lab, printed: &str, text: &str) -> Result<String> {
    let commands = chart::notes_commands(printed)?;
    let command = commands.iter().find(|command| command.contains(text));
    let command = command.with_context(|| format!("the notes have no {text}: {printed}"))?;
    let kc = lab.artifacts().kc().display().to_string();
    let kubeconfig = format!("export KUBECONFIG={}", lab.kubeconfig().display());
    let aliases = format!("alias kubectl='{kc} kubectl' helm='{kc} helm'");
    // The only word that the reader has to know.
    let command = command.replace("CHART", &chart::directory().display().to_string());
    shell::run(&[&kubeconfig, &aliases, &command], "")
}

/// Three real nodes with the README's installation and a pool from the chart's values.
pub(super) async fn installed() -> Result<Lab> {
    let lab = Lab::builder().pod_nodes(3).start().await?;
    install(&lab, &["--set-json", POOL])?;
    Ok(lab)
}

/// Has two pods serve the application `web`, on the named nodes, and waits until they do.
pub(super) fn run_web(lab: &Lab, nodes: &[&str]) -> Result<()> {
    let place = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": nodes },
        ]}],
    }}});
    let from_field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let web = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "affinity": place,
                    "containers": [{
                        "name": "web",
                        "image": "ferrolb.test/testapp:1",
                        "args": ["serve"],
                        "env": [
                            from_field("POD_NAME", "metadata.name"),
                            from_field("NODE_NAME", "spec.nodeName"),
                        ],
                        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    });
    lab.apply(&web.to_string())?;
    lab.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])?;
    Ok(())
}

/// Waits until a page comes from each address.
pub(super) async fn wait_served(lab: &Lab, addresses: &[IpAddr]) -> Result<()> {
    let client = lab.client_host()?;
    for address in addresses {
        let what = format!("a page from {address}");
        eventually(PATIENCE, &what, || client.http_get(*address, 80)).await?;
        lab.oracle()?.expect(*address);
    }
    Ok(())
}

/// Waits until the claim of every address names this owner.
pub(super) async fn wait_owned_by(lab: &Lab, addresses: &[IpAddr], node: &str) -> Result<()> {
    for address in addresses {
        let what = format!("{node} owns {address}");
        eventually(PATIENCE, &what, async || {
            let owner = lab.owner(*address).await?;
            ensure!(owner.as_deref() == Some(node), "the owner is {owner:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Every claim there is.
pub(super) async fn claims(lab: &Lab) -> Result<Vec<AddressClaim>> {
    let claims: Api<AddressClaim> = Api::all(lab.client());
    Ok(claims.list(&ListParams::default()).await?.items)
}

/// Our pods of one component, `controller` or `speaker`.
pub(super) async fn pods(lab: &Lab, component: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), chart::NAMESPACE);
    let labels = format!("app.kubernetes.io/component={component}");
    Ok(pods.list(&ListParams::default().labels(&labels)).await?.items)
}

/// The name of the speaker's pod on a node.
pub(super) async fn speaker_pod(lab: &Lab, node: &str) -> Result<String> {
    let pods = pods(lab, "speaker").await?;
    let on_node = |pod: &&Pod| {
        let spec = pod.spec.as_ref();
        let here = spec.and_then(|spec| spec.node_name.as_deref()) == Some(node);
        here && pod.metadata.deletion_timestamp.is_none()
    };
    let pod = pods.iter().find(on_node);
    Ok(pod.with_context(|| format!("{node} has no speaker"))?.name_any())
}

/// Waits until a Service has an endpoint on this node in both families.
pub(super) async fn wait_endpoints(lab: &Lab, service: &str, node: &str) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(lab.client());
    let labels = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    eventually(
        PATIENCE,
        &format!("{service} has endpoints on {node}"),
        async || {
            let slices = slices.list(&labels).await?.items;
            let is_there = |slice: &&EndpointSlice| {
                let mut nodes = slice
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.node_name.as_deref());
                nodes.any(|name| name == Some(node))
            };
            let families = slices.iter().filter(is_there).count();
            ensure!(families == 2, "in {families} families");
            Ok(())
        },
    )
    .await
}

/// Whether the kubelet says that a pod is Ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits for a rollout of ours.
pub(super) fn wait_rolled_out(lab: &Lab, what: &str) -> Result<()> {
    let status = ["rollout", "status", what, "--timeout=120s"];
    lab.kubectl(["-n", chart::NAMESPACE].iter().chain(&status))?;
    Ok(())
}

/// Asks the admin page of one controller's pod, through the API server.
pub(super) fn controller_page(lab: &Lab, pod: &str, page: &str) -> Result<String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:7980/proxy{page}",
        chart::NAMESPACE
    );
    lab.kubectl(["get", "--raw", &path])
}

/// Merges fields into a Service's spec.
pub(super) fn patch_service(lab: &Lab, name: &str, spec: &Value) -> Result<()> {
    let patch = json!({ "spec": spec }).to_string();
    lab.kubectl(["patch", "service", name, "--type=merge", "-p", &patch])?;
    Ok(())
}
