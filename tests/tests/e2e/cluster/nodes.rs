//! Nodes with a kubelet come up, run pods and carry traffic to them.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::{Lab, clock, eventually};
use serde_json::json;

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: testapp
        image: ferrolb.test/testapp:1
        args: [serve]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule,
         labelSelector: {matchLabels: {app: web}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_run_pods_that_a_client_reaches() -> Result<()> {
    let started = clock::now();
    let lab = Lab::builder().pod_nodes(3).start().await?;
    println!(
        "three nodes are Ready after {:.1} s",
        started.elapsed().as_secs_f64()
    );

    lab.apply(WEB)?;
    lab.create_load_balancer("web", json!({ "allocateLoadBalancerNodePorts": false }))
        .await?;
    lab.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])?;
    println!("pods are Ready after {:.1} s", started.elapsed().as_secs_f64());

    let addresses = ["192.0.2.200", "2001:db8::200"];
    let ingress: Vec<_> = addresses
        .iter()
        .map(|ip| json!({ "ip": ip, "ipMode": "VIP" }))
        .collect();
    let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } }).to_string();
    lab.kubectl([
        "patch",
        "service",
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ])?;
    let client = lab.client_host()?;
    for address in addresses {
        let address: IpAddr = address.parse()?;
        client.set_neighbor(address, &lab.node("n2")?.lan().mac())?;
        let mut nodes = Vec::new();
        eventually(
            Duration::from_secs(30),
            "pods of all nodes have served a page",
            async || {
                nodes.push(client.http_get(address, 80).await?.node);
                for node in ["n1", "n2", "n3"] {
                    ensure!(nodes.iter().any(|served| served == node), "{node} has not");
                }
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_power_boots_again() -> Result<()> {
    let lab = Lab::builder().pod_nodes(2).start().await?;
    let names = ["n2".to_owned()];
    lab.node("n2")?.power_off().await?;
    lab.wait_nodes_ready(&names, false).await?;
    lab.node("n2")?.boot()?;
    lab.wait_nodes_ready(&names, true).await?;
    lab.apply(WEB)?;
    lab.kubectl(["scale", "deployment/web", "--replicas=2"])?;
    lab.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])?;
    Ok(())
}
