//! Two Services that share an address, as a client on the LAN sees them.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::prober::ProberOptions;
use ferrolb_tests::lab::{Lab, eventually};
use serde_json::{Value, json};

use crate::tenant::{PATIENCE, Tenant};

/// The only address of each family that there is.
const ADDRESSES: [&str; 2] = ["192.0.2.200", "2001:db8::200"];

/// Two applications, and the port of each.
const WEB: (&str, u16) = ("web", 80);
const MAIL: (&str, u16) = ("mail", 25);

/// How many datagrams are answered after the other Service is gone.
const AFTERWARDS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn services_that_share_an_address_are_reached_each_at_its_port_and_one_outlives_the_other() -> Result<()>
{
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.install_crds().await?;
    lab.create_pool("lan", &ADDRESSES).await?;
    let _controllers = lab.start_controller(1, &[]).await?;
    lab.start_speakers(&[]).await?;
    let tenant = Tenant::new(&lab, "default").await?;
    for (name, port) in [WEB, MAIL] {
        lab.run_app(name, &["n1", "n2"]).await?;
        tenant.service(name, sharing(name, port)).await?;
        tenant.shows(name, &ADDRESSES).await?;
    }
    for address in ADDRESSES {
        for one in [WEB, MAIL] {
            is_reached(&lab, address.parse()?, one).await?;
        }
        lab.oracle()?.expect(address.parse()?);
    }

    // A client of the one that stays notices nothing.
    let mut probers = Vec::new();
    for address in ADDRESSES {
        let prober = lab
            .client_host()?
            .probe(address.parse()?, MAIL.1, ProberOptions::default())?;
        prober.wait_for_answers(100, PATIENCE).await?;
        probers.push(prober);
    }
    tenant.delete(WEB.0).await?;
    for address in ADDRESSES {
        eventually(PATIENCE, "only one holds the address", async || {
            let claim = tenant.claim(address).await?;
            let holders = claim.map(|claim| claim.spec.holders).unwrap_or_default();
            let names: Vec<&str> = holders.iter().map(|holder| &*holder.name).collect();
            ensure!(names == [MAIL.0], "{address} is held by {names:?}");
            Ok(())
        })
        .await?;
    }
    for prober in probers {
        let after = prober.answered() + AFTERWARDS;
        prober.wait_for_answers(after, Duration::from_secs(20)).await?;
        let report = prober.stop()?;
        ensure!(
            report.lost() == 0,
            "{} were lost: {:?}",
            report.lost(),
            report.outages()
        );
    }
    for address in ADDRESSES {
        is_reached(&lab, address.parse()?, MAIL).await?;
        let client = lab.client_host()?;
        eventually(PATIENCE, "who is gone is reached no more", async || {
            let served = client.http_get(address.parse()?, WEB.1).await;
            ensure!(served.is_err(), "{served:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A Service for the application of the same name that shares its addresses.
fn sharing(name: &str, port: u16) -> Value {
    let port = |protocol: &str| json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": port, "targetPort": 8080 });
    json!({
        "metadata": { "annotations": { "ferrolb.io/sharing-key": "front" } },
        "spec": {
            "ipFamilyPolicy": "RequireDualStack",
            "selector": { "app": name },
            "ports": [port("TCP"), port("UDP")],
        },
    })
}

/// Waits until the client gets a page of this application, on connections of their own.
async fn is_reached(lab: &Lab, address: IpAddr, (name, port): (&str, u16)) -> Result<()> {
    let client = lab.client_host()?;
    eventually(PATIENCE, &format!("{name} is reached at {address}"), async || {
        let served = client.http_get(address, port).await?;
        ensure!(served.pod.starts_with(name), "{served:?} answers for {name}");
        Ok(())
    })
    .await
}
