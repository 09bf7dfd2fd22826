//! The objects that are written: Services that want an address, and claims like the controller's.

use std::net::IpAddr;

use anyhow::Result;
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::lab::Lab;

pub(super) async fn namespace(lab: &Lab, name: &str) -> Result<String> {
    let object: Namespace = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
    }))?;
    Api::all(lab.client())
        .create(&PostParams::default(), &object)
        .await?;
    Ok(name.to_owned())
}

/// A Service without node ports, of which a cluster has fewer than this benchmark may want.
pub(super) fn service(name: &str) -> Result<Service> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": false,
            "ports": [{ "port": 80 }],
        },
    });
    Ok(serde_json::from_value(service)?)
}

pub(super) fn claim(namespace: &str, service: &str, address: IpAddr) -> Result<AddressClaim> {
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressClaim",
        "metadata": { "name": claim_name(address), "labels": { "ferrolb.io/pool": "yardstick" } },
        "spec": {
            "address": address,
            "pool": "yardstick",
            "heldBy": format!("{namespace}/{service}"),
            "holders": [{
                "namespace": namespace,
                "name": service,
                "uid": "00000000-0000-0000-0000-000000000000",
                "ports": [{ "protocol": "TCP", "port": 80 }],
                "externalTrafficPolicy": "Cluster",
                "advertisements": ["default"],
            }],
        },
    });
    Ok(serde_json::from_value(claim)?)
}
