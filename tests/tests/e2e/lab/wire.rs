//! What a speaker does on the wire, seen by a client that looks at every frame and by the client's
//! kernel. The packet oracle judges the same frames beside it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::{Lab, eventually};
use kube::CustomResourceExt;
use kube::api::{Api, PostParams};
use serde_json::json;

mod answers;
mod bursts;
mod kernel;
mod links;

const VIP4: &str = "192.0.2.200";
const VIP6: &str = "2001:db8::200";

/// How long anything may take before a test gives up and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A lab with our objects' definitions, one pool for its LAN, and speakers.
async fn start(nodes: u8) -> Result<Lab> {
    start_with(nodes, &[]).await
}

async fn start_with(nodes: u8, flags: &[&str]) -> Result<Lab> {
    let lab = Lab::builder().process_nodes(nodes).start().await?;
    lab.apply(&serde_json::to_string(&AddressPool::crd())?)?;
    lab.apply(&serde_json::to_string(&AddressClaim::crd())?)?;
    lab.kubectl([
        "wait",
        "--for=condition=Established",
        "--timeout=20s",
        "crd/addresspools.ferrolb.io",
        "crd/addressclaims.ferrolb.io",
    ])?;
    add_pool(&lab, "lan", &["192.0.2.0/24", "2001:db8::/64"]).await?;
    lab.start_speakers(flags).await?;
    Ok(lab)
}

async fn add_pool(lab: &Lab, name: &str, addresses: &[&str]) -> Result<()> {
    let pool = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressPool",
        "metadata": { "name": name }, "spec": { "addresses": addresses },
    });
    let pools: Api<AddressPool> = Api::all(lab.client());
    pools
        .create(&PostParams::default(), &serde_json::from_value(pool)?)
        .await?;
    Ok(())
}

/// Lends an address to a Service, as the controller would.
async fn lend(lab: &Lab, pool: &str, address: &str) -> Result<()> {
    let name = claim_name(address.parse()?);
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": { "name": name },
        "spec": {
            "address": address, "pool": pool, "state": "Held", "heldBy": "default/web",
            "holders": [{
                "namespace": "default", "name": "web", "uid": "u1",
                "ports": [{ "protocol": "TCP", "port": 80 }],
                "externalTrafficPolicy": "Cluster",
                "advertisements": ["default"],
            }],
        },
    });
    let claims: Api<AddressClaim> = Api::all(lab.client());
    claims
        .create(&PostParams::default(), &serde_json::from_value(claim)?)
        .await?;
    Ok(())
}

/// Waits until the client's kernel resolves an address, from nothing, to this MAC.
async fn resolves_to(lab: &Lab, address: &str, mac: &str) -> Result<()> {
    let client = lab.client_host()?;
    let address: IpAddr = address.parse()?;
    eventually(PATIENCE, &format!("{address} resolves to {mac}"), async || {
        client.forget_neighbor(address)?;
        client.ask_for(address)?;
        eventually(Duration::from_secs(2), "the neighbor answers", async || {
            let found = client.neighbor(address)?.context("no answer yet")?;
            ensure!(found == mac, "it resolves to {found}");
            Ok(())
        })
        .await
    })
    .await?;
    lab.oracle()?.expect(address);
    Ok(())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16)?.try_into().ok())
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
