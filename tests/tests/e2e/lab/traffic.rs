//! The lab carries traffic: a client reaches endpoints through kube-proxy of a node, once something
//! tells it which node to ask. Here that is a static neighbor entry, so that what fails is the lab.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::kube_proxy::ProxyMode;
use ferrolb_tests::lab::prober::ProberOptions;
use ferrolb_tests::lab::{Lab, eventually, throughout};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const ADDRESSES: [&str; 2] = ["192.0.2.200", "2001:db8::200"];

/// How long nothing is answered: the client's kernel keeps some two hundred datagrams until the cable is mended.
const SILENT: Duration = Duration::from_secs(1);

/// Gives the Service its addresses, in place of a controller, and has the client take `node` for
/// their owner.
async fn assign(lab: &Lab, service: &str, node: &str) -> Result<[IpAddr; 2]> {
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let ingress: Vec<_> = ADDRESSES
        .iter()
        .map(|ip| json!({ "ip": ip, "ipMode": "VIP" }))
        .collect();
    let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
    services
        .patch_status(service, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let addresses = ADDRESSES.map(|text| text.parse().unwrap());
    for address in addresses {
        lab.client_host()?
            .set_neighbor(address, &lab.node(node)?.lan().mac())?;
    }
    Ok(addresses)
}

async fn carries_both_families(mode: ProxyMode) -> Result<()> {
    let lab = Lab::builder().process_nodes(3).proxy(mode).start().await?;
    lab.run_app("web", &["n2", "n3"]).await?;
    lab.create_load_balancer("web", json!({ "externalTrafficPolicy": "Local" }))
        .await?;
    let client = lab.client_host()?;
    for address in assign(&lab, "web", "n2").await? {
        let served = eventually(Duration::from_secs(20), "the page is served", async || {
            client.http_get(address, 80).await
        })
        .await?;
        assert_eq!(
            served.node, "n2",
            "policy Local keeps traffic on the node it reached"
        );
        let own: IpAddr = match address {
            IpAddr::V4(_) => "192.0.2.100".parse()?,
            IpAddr::V6(_) => "2001:db8::100".parse()?,
        };
        assert_eq!(served.client.ip(), own, "policy Local keeps the client's address");

        let prober = client.probe(address, 80, ProberOptions::default())?;
        prober.wait_for_answers(300, Duration::from_secs(10)).await?;
        let report = prober.stop()?;
        assert_eq!(
            report.lost(),
            0,
            "no datagram to {address} is lost: {:?}",
            report.outages()
        );
        assert!(
            report.servers.keys().all(|server| server.ends_with(" n2")),
            "{:?}",
            report.servers
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nftables_carries_both_families() -> Result<()> {
    carries_both_families(ProxyMode::Nftables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn iptables_carries_both_families() -> Result<()> {
    carries_both_families(ProxyMode::Iptables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_cable_is_an_outage_until_it_is_mended() -> Result<()> {
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.run_app("web", &["n1"]).await?;
    lab.create_load_balancer("web", json!({ "externalTrafficPolicy": "Local" }))
        .await?;
    let client = lab.client_host()?;
    for address in assign(&lab, "web", "n1").await? {
        eventually(Duration::from_secs(20), "the page is served", async || {
            client.http_get(address, 80).await
        })
        .await?;
        let prober = client.probe(address, 80, ProberOptions::default())?;
        prober.wait_for_answers(50, Duration::from_secs(5)).await?;
        lab.node("n1")?.cut_link()?;
        eventually(Duration::from_secs(5), "nothing is answered", async || {
            let before = prober.answered();
            throughout(SILENT, "no answer comes", async || {
                ensure!(prober.answered() == before, "answers still come");
                Ok(())
            })
            .await
        })
        .await?;
        lab.node("n1")?.restore_link()?;
        prober.wait_for_answers(50, Duration::from_secs(10)).await?;
        let report = prober.stop()?;
        assert!(report.longest_outage() >= SILENT, "{:?}", report.outages());
        assert!(report.lost() >= 200, "only {} were lost", report.lost());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_power_is_not_ready_and_comes_back() -> Result<()> {
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.run_app("web", &["n1", "n2"]).await?;
    lab.create_load_balancer("web", json!({})).await?;
    let names = ["n1".to_owned()];
    lab.node("n1")?.power_off().await?;
    lab.wait_nodes_ready(&names, false).await?;
    let ready = || {
        let slices = lab.kubectl([
            "get",
            "endpointslices",
            "-lkubernetes.io/service-name=web",
            "-o",
            "jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.nodeName} {end}",
        ])?;
        let mut nodes: Vec<_> = slices.split_whitespace().map(str::to_owned).collect();
        nodes.sort();
        nodes.dedup();
        anyhow::Ok(nodes)
    };
    eventually(
        Duration::from_secs(20),
        "only n2 has a ready endpoint",
        async || {
            ensure!(ready()? == ["n2"], "{:?}", ready()?);
            Ok(())
        },
    )
    .await?;
    lab.node("n1")?.boot()?;
    lab.wait_nodes_ready(&names, true).await?;
    eventually(
        Duration::from_secs(20),
        "both have a ready endpoint",
        async || {
            ensure!(ready()? == ["n1", "n2"], "{:?}", ready()?);
            Ok(())
        },
    )
    .await?;
    Ok(())
}
