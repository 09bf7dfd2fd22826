//! The kubelet's part on a process node: the node is Ready while its agent runs, and so are the pods
//! that the lab has put there.
//!
//! It is a process in the node's namespace rather than a task of the lab, and the control plane keeps
//! its node-lifecycle controller, so that a node that is powered off or cut from the API becomes
//! NotReady and its endpoints go, exactly as in a real cluster.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};

/// How often the lease is renewed and everything looked at: the control plane waits for 8 s.
const PERIOD: Duration = Duration::from_secs(1);

/// How long one request may take; the next round tries again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The annotation with which the lab tells the addresses of a pod, separated by commas.
pub(crate) const POD_ADDRESSES: &str = "ferrolb.test/addresses";

/// How the agent is called: `ferrolb-lab agent ...`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The node's name.
    #[arg(long)]
    pub node: String,
    /// The kubeconfig of the node's user.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// The node's addresses on the LAN.
    #[arg(long = "address")]
    pub addresses: Vec<IpAddr>,
}

/// One node's agent.
struct Agent {
    args: Args,
    client: Client,
}

/// Is the agent, until it is killed.
pub async fn main(args: Args) -> Result<()> {
    let client = client(&args.kubeconfig).await?;
    let agent = Agent { args, client };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let round = tokio::time::timeout(PATIENCE, agent.round()).await;
        let error = match round {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
        };
        #[allow(clippy::print_stderr, reason = "its error output is its log")]
        {
            eprintln!("{}: {error}", Timestamp::now());
        }
    }
}

// === impl Agent ===

impl Agent {
    async fn round(&self) -> Result<()> {
        self.renew_lease().await.context("cannot renew the lease")?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get(&self.args.node).await?;
        let status = node.status.unwrap_or_default();
        if !is_ready(status.conditions.iter().flatten().map(|c| (&c.type_, &c.status))) {
            self.report_ready(&nodes)
                .await
                .context("cannot update the node")?;
        }
        self.ready_pods().await.context("cannot update the pods")
    }

    async fn report_ready(&self, nodes: &Api<Node>) -> Result<()> {
        let (name, params) = (&self.args.node, PatchParams::default());
        // A strategic patch would merge addresses by type, of which there are two alike.
        let addresses = json!({ "status": { "addresses": self.addresses() } });
        nodes
            .patch_status(name, &params, &Patch::Merge(addresses))
            .await?;
        // And conditions are to be merged: others may have set some.
        let pressures = ["MemoryPressure", "DiskPressure", "PIDPressure"];
        let mut conditions: Vec<_> = pressures.map(|kind| condition(kind, "False")).into();
        conditions.push(condition("Ready", "True"));
        let conditions = json!({ "status": { "conditions": conditions } });
        nodes
            .patch_status(name, &params, &Patch::Strategic(conditions))
            .await?;
        Ok(())
    }

    async fn renew_lease(&self) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.args.node },
            "spec": {
                "holderIdentity": self.args.node,
                "leaseDurationSeconds": 4,
                "renewTime": format!("{:.6}", Timestamp::now()),
            },
        });
        let params = PatchParams::apply("lab-agent").force();
        leases
            .patch(&self.args.node, &params, &Patch::Apply(lease))
            .await?;
        Ok(())
    }

    /// Says of the lab's pods on this node that they run; the control plane takes that back whenever
    /// it has missed the node.
    async fn ready_pods(&self) -> Result<()> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let ours = ListParams::default().fields(&format!("spec.nodeName={}", self.args.node));
        for pod in pods.list(&ours).await? {
            let conditions = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            if !is_ready(conditions.map(|c| (&c.type_, &c.status))) {
                report_running(&self.client, &pod, &self.args.addresses).await?;
            }
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<Value> {
        let internal = |address| json!({ "type": "InternalIP", "address": address });
        let mut all: Vec<Value> = self.args.addresses.iter().map(internal).collect();
        all.push(json!({ "type": "Hostname", "address": self.args.node }));
        all
    }
}

/// Says of a pod of the lab, at the addresses in its annotation, that it runs and is ready.
pub(crate) async fn report_running(client: &Client, pod: &Pod, node: &[IpAddr]) -> Result<()> {
    let annotations = pod.metadata.annotations.as_ref();
    let Some(addresses) = annotations.and_then(|all| all.get(POD_ADDRESSES)) else {
        return Ok(());
    };
    let addresses: Vec<&str> = addresses.split(',').collect();
    let name = pod.metadata.name.as_deref().context("a pod without a name")?;
    let namespace = pod
        .metadata
        .namespace
        .as_deref()
        .context("a pod without a namespace")?;
    let patch = json!({ "status": {
        "phase": "Running",
        "podIP": addresses.first(),
        "podIPs": addresses.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
        "hostIP": node.first(),
        "hostIPs": node.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
        "conditions": [condition("Ready", "True"), condition("ContainersReady", "True")],
    }});
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    Ok(())
}

fn is_ready<'a>(mut conditions: impl Iterator<Item = (&'a String, &'a String)>) -> bool {
    conditions.any(|(kind, status)| kind == "Ready" && status == "True")
}

fn condition(kind: &str, status: &str) -> Value {
    let now = format!("{:.0}", Timestamp::now());
    json!({ "type": kind, "status": status, "reason": "LabAgent", "lastHeartbeatTime": now,
            "lastTransitionTime": now })
}

async fn client(path: &Path) -> Result<Client> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
