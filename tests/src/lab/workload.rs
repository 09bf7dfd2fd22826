//! What tests put into the cluster: applications, Services, manifests.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::app::APP_PORT;
use super::eventually::eventually;
use super::network::NodeAddresses;
use super::{Lab, agent};

/// How long the control plane may take to react.
const REACTION: Duration = Duration::from_secs(30);

// === impl Lab ===

impl Lab {
    /// Starts one server of an application on each of the named process nodes, with a Pod labelled
    /// `app: NAME` that stands for it.
    pub async fn run_app(&self, app: &str, nodes: &[&str]) -> Result<()> {
        let pods: Api<Pod> = Api::default_namespaced(self.client());
        for name in nodes {
            let node = self.node(name)?;
            let pod: Pod = serde_json::from_value(node.start_app(app)?)?;
            // A pod needs the namespace's ServiceAccount, which the controller manager makes.
            let created = eventually(REACTION, "the API server takes a pod", async || {
                Ok(pods.create(&PostParams::default(), &pod).await?)
            })
            .await?;
            let lan = node.lan();
            agent::report_running(&self.client(), &created, &[lan.ipv4().into(), lan.ipv6().into()]).await?;
        }
        Ok(())
    }

    /// Kills the servers of an application on one node and removes their Pods.
    pub async fn stop_app(&self, app: &str, node: &str) -> Result<()> {
        let pods: Api<Pod> = Api::default_namespaced(self.client());
        for name in self.node(node)?.stop_app(app)? {
            pods.delete(&name, &DeleteParams::default().grace_period(0))
                .await?;
        }
        Ok(())
    }

    /// Creates a Service of type LoadBalancer for the application of the same name, with port 80 over
    /// TCP and UDP, for both families. `spec` adds fields or replaces them.
    pub async fn create_load_balancer(&self, name: &str, spec: Value) -> Result<Service> {
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name },
            "spec": {
                "type": "LoadBalancer",
                "ipFamilyPolicy": "PreferDualStack",
                "selector": { "app": name },
                "ports": [
                    { "name": "tcp", "protocol": "TCP", "port": 80, "targetPort": APP_PORT },
                    { "name": "udp", "protocol": "UDP", "port": 80, "targetPort": APP_PORT },
                ],
            },
        });
        merge(&mut service, json!({ "spec": spec }));
        let services: Api<Service> = Api::default_namespaced(self.client());
        let service: Service = serde_json::from_value(service)?;
        Ok(services.create(&PostParams::default(), &service).await?)
    }

    /// Applies manifests with kubectl.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        let mut child = Command::new(self.artifacts().kc())
            .args(["kubectl", "apply", "-f", "-"])
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(manifests.as_bytes())?;
        }
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Creates the objects of all nodes, with the pod networks that the lab has routes for.
    pub(crate) async fn create_node_objects(client: &kube::Client, nodes: &[NodeAddresses]) -> Result<()> {
        let api: Api<NodeObject> = Api::all(client.clone());
        for node in nodes {
            let object = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node.name(),
                    "labels": {
                        "kubernetes.io/hostname": node.name(),
                        "kubernetes.io/os": "linux",
                    },
                },
                "spec": {
                    "podCIDR": node.pod_network_v4(),
                    "podCIDRs": [node.pod_network_v4(), node.pod_network_v6()],
                },
            });
            let object: NodeObject = serde_json::from_value(object)?;
            api.create(&PostParams::default(), &object).await?;
        }
        Ok(())
    }

    /// Sets or removes a label of a node.
    pub async fn label_node(&self, node: &str, label: &str, value: Option<&str>) -> Result<()> {
        let api: Api<NodeObject> = Api::all(self.client());
        let patch = json!({ "metadata": { "labels": { label: value } } });
        api.patch(node, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Waits until the named nodes are Ready, or are not.
    pub async fn wait_nodes_ready(&self, names: &[String], want: bool) -> Result<()> {
        let api: Api<NodeObject> = Api::all(self.client());
        let what = format!(
            "{} {} Ready",
            names.join(", "),
            if want { "is" } else { "is not" }
        );
        eventually(Duration::from_secs(60), &what, async || {
            for name in names {
                let node = api.get(name).await?;
                let conditions = node
                    .status
                    .and_then(|status| status.conditions)
                    .unwrap_or_default();
                let is_ready = conditions
                    .iter()
                    .any(|c| c.type_ == "Ready" && c.status == "True");
                if is_ready != want {
                    bail!("{name} has the conditions {conditions:?}");
                }
            }
            Ok(())
        })
        .await
    }
}

/// Puts the fields of `from` over those of `into`, objects member by member.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
