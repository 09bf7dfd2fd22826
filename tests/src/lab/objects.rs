//! Our own objects in a lab: their kinds, pools, and which address a Service holds by which node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::{AddressClaim, AddressPool};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::Lab;
use super::eventually::eventually;
use crate::chart;

/// How long the API server may take to serve a new kind, and our programs to act.
const REACTION: Duration = Duration::from_secs(30);

// === impl Lab ===

impl Lab {
    /// Installs our kinds, from the chart, and waits until they are served.
    pub async fn install_crds(&self) -> Result<()> {
        let directory = chart::directory().join("crds");
        self.kubectl(["apply".as_ref(), "-f".as_ref(), directory.as_os_str()])?;
        eventually(REACTION, "our kinds are served", async || {
            Api::<AddressPool>::all(self.client())
                .list(&Default::default())
                .await?;
            Api::<AddressClaim>::all(self.client())
                .list(&Default::default())
                .await?;
            Ok(())
        })
        .await
    }

    /// Puts our kinds back as the chart has them.
    pub fn replace_crds(&self) -> Result<()> {
        let directory = chart::directory().join("crds");
        self.kubectl(["replace".as_ref(), "-f".as_ref(), directory.as_os_str()])?;
        Ok(())
    }

    /// Makes a namespace, unless it is there.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        let created = Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await;
        match created {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            created => Ok(created.map(|_| ())?),
        }
    }

    /// Creates a pool that lends these addresses, announced by every node.
    pub async fn create_pool(&self, name: &str, addresses: &[&str]) -> Result<()> {
        let pool: AddressPool = serde_json::from_value(json!({
            "apiVersion": "ferrolb.io/v1alpha1",
            "kind": "AddressPool",
            "metadata": { "name": name },
            "spec": { "addresses": addresses },
        }))?;
        Api::all(self.client())
            .create(&PostParams::default(), &pool)
            .await?;
        Ok(())
    }

    /// Waits until a Service in the namespace `default` shows this many addresses; IPv4 comes first.
    pub async fn wait_addresses(&self, service: &str, count: usize) -> Result<Vec<IpAddr>> {
        let services: Api<Service> = Api::default_namespaced(self.client());
        let what = format!("Service {service} has {count} addresses");
        eventually(REACTION, &what, async || {
            let addresses = ingress(&services.get(service).await?)?;
            ensure!(addresses.len() == count, "it has {addresses:?}");
            Ok(addresses)
        })
        .await
    }

    /// The node that owns an address, by its claim; `None` when no node says so.
    pub async fn owner(&self, vip: IpAddr) -> Result<Option<String>> {
        let claims: Api<AddressClaim> = Api::all(self.client());
        let claim = claims.get(&claim_name(vip)).await?;
        Ok(claim
            .status
            .and_then(|status| status.owner)
            .map(|owner| owner.node))
    }

    /// Waits until the claim of an address names an owner that is not `other_than`.
    pub async fn wait_owner(&self, vip: IpAddr, other_than: Option<&str>) -> Result<String> {
        let what = match other_than {
            Some(node) => format!("{vip} has an owner other than {node}"),
            None => format!("{vip} has an owner"),
        };
        eventually(REACTION, &what, async || {
            let owner = self.owner(vip).await?.context("it has none")?;
            ensure!(Some(owner.as_str()) != other_than, "it is {owner}");
            Ok(owner)
        })
        .await
    }
}

/// The addresses that a Service shows, in their order.
pub fn ingress(service: &Service) -> Result<Vec<IpAddr>> {
    let status = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let entries = status
        .and_then(|balancer| balancer.ingress.as_deref())
        .unwrap_or_default();
    let texts = entries.iter().filter_map(|entry| entry.ip.as_deref());
    texts
        .map(|text| text.parse().with_context(|| format!("{text} is no address")))
        .collect()
}

/// Every address that Services show, with who shows it.
pub fn holders(services: &[Service]) -> Result<BTreeMap<IpAddr, Vec<String>>> {
    let mut holders: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.clone().unwrap_or_default();
        for address in ingress(service)? {
            holders.entry(address).or_default().push(name.clone());
        }
    }
    Ok(holders)
}
