//! What a Service of type LoadBalancer gets on real nodes, and what is left of it when it goes.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::objects::ingress;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use serde_json::json;

use self::moves::Moves;
use super::stage::{self, PATIENCE};

mod moves;
mod shown;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_served_until_it_changes_its_type_or_is_deleted() -> Result<()> {
    let lab = stage::installed().await?;
    stage::run_web(&lab, &["n1", "n2", "n3"])?;
    lab.create_load_balancer("web", json!({})).await?;
    let addresses = lab.wait_addresses("web", 2).await?;
    ensure!(
        addresses[0].is_ipv4() && addresses[1].is_ipv6(),
        "IPv4 comes first: {addresses:?}"
    );
    stage::wait_served(&lab, &addresses).await?;
    let behind_the_router = lab.remote_host()?;
    for address in &addresses {
        behind_the_router
            .http_get(*address, 80)
            .await
            .context("from behind the router")?;
    }

    stage::patch_service(&lab, "web", &json!({ "type": "ClusterIP" }))?;
    nothing_is_left(&lab, &addresses).await?;
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let service = services.get("web").await?;
    ensure!(ingress(&service)?.is_empty(), "{:?}", service.status);
    let ours = service.annotations().keys().find(|key| key.contains("ferrolb"));
    ensure!(ours.is_none(), "the annotation {ours:?} has stayed");

    stage::patch_service(&lab, "web", &json!({ "type": "LoadBalancer" }))?;
    let addresses = lab.wait_addresses("web", 2).await?;
    stage::wait_served(&lab, &addresses).await?;
    lab.kubectl(["delete", "service", "web", "--timeout=10s"])?;
    nothing_is_left(&lab, &addresses).await
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_local_keeps_the_clients_address_and_follows_the_endpoints() -> Result<()> {
    let lab = stage::installed().await?;
    stage::run_web(&lab, &["n3"])?;
    // Who owns a VIP is decided in milliseconds, and Kubernetes lists the endpoints a little later: so
    // that they decide from the first moment, they are there before.
    lab.create_load_balancer("web", json!({ "type": "ClusterIP" }))
        .await?;
    stage::wait_endpoints(&lab, "web", "n3").await?;
    let local = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": false,
    });
    stage::patch_service(&lab, "web", &local)?;
    let service = Api::<Service>::default_namespaced(lab.client())
        .get("web")
        .await?;
    let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
    ensure!(
        ports.len() == 2 && ports.iter().all(|port| port.node_port.is_none()),
        "the Service has node ports: {ports:?}"
    );
    let addresses = lab.wait_addresses("web", 2).await?;
    let mut moves = Moves::from(&addresses);
    for (node, from, reason) in [("n3", None, "Unowned"), ("n1", Some("n3"), "Ineligible")] {
        stage::run_web(&lab, &[node])?;
        stage::wait_owned_by(&lab, &addresses, node).await?;
        stage::wait_served(&lab, &addresses).await?;
        for address in &addresses {
            client_is_seen(&lab, *address, node).await?;
        }
        moves.check_next(&lab, node, from, reason).await?;
        shown::check(&lab, node)?;
    }
    Ok(())
}

/// The endpoint on the owner's node answers, and sees the client's own address.
async fn client_is_seen(lab: &Lab, address: IpAddr, node: &str) -> Result<()> {
    let own: IpAddr = match address {
        IpAddr::V4(_) => "192.0.2.100".parse()?,
        IpAddr::V6(_) => "2001:db8::100".parse()?,
    };
    for _ in 0..10 {
        let served = lab.client_host()?.http_get(address, 80).await?;
        ensure!(
            served.node == node && served.client.ip() == own,
            "{address} is owned by {node} and asked by {own}, but this answers: {served:?}"
        );
    }
    Ok(())
}

/// The claims go, and whoever asks the network for the addresses gets no answer.
async fn nothing_is_left(lab: &Lab, addresses: &[IpAddr]) -> Result<()> {
    eventually(PATIENCE, "no claim is left", async || {
        let left: Vec<_> = stage::claims(lab)
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        ensure!(left.is_empty(), "there are {left:?}");
        Ok(())
    })
    .await?;
    let client = lab.client_host()?;
    for address in addresses {
        client.forget_neighbor(*address)?;
        let page = client.http_get(*address, 80).await;
        ensure!(page.is_err(), "{address} serves {page:?}");
        let neighbor = client.neighbor(*address)?;
        ensure!(neighbor.is_none(), "{neighbor:?} answers for {address}");
    }
    Ok(())
}
