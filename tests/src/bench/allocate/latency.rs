//! One Service at a time: from its creation to its address, as a watcher sees it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::objects::{namespace, service};
use crate::lab::objects::ingress;
use crate::lab::{Lab, clock};

/// Percentiles of both: with us, and bare.
#[derive(Debug)]
pub(super) struct Latency {
    /// From the creation of a Service to the watch event that shows its address, sorted.
    pub(super) served: Vec<Duration>,
    /// A creation and a status patch, one after the other, sorted.
    pub(super) bare: Vec<Duration>,
}

/// Creates so many Services one after the other, each by turns with and without us.
pub(super) async fn measure(lab: &Lab, rounds: u32) -> Result<Latency> {
    let ours: Api<Service> = Api::namespaced(lab.client(), &namespace(lab, "latency").await?);
    let theirs: Api<Service> = Api::namespaced(lab.client(), &namespace(lab, "latency-bare").await?);
    let version = ours.list(&ListParams::default()).await?.metadata.resource_version;
    let version = version.context("a list has a version")?;
    let mut events = ours
        .watch(&WatchParams::default().timeout(290), &version)
        .await?
        .boxed();
    let mut latency = Latency {
        served: Vec::new(),
        bare: Vec::new(),
    };
    for round in 0..rounds {
        let name = format!("s{round}");
        let started = clock::now();
        ours.create(&PostParams::default(), &service(&name)?).await?;
        loop {
            match events.try_next().await?.context("the watch has ended")? {
                WatchEvent::Added(service) | WatchEvent::Modified(service) => {
                    if service.name_any() == name && !ingress(&service)?.is_empty() {
                        break;
                    }
                }
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => bail!("the watch ends: {}", status.message),
            }
        }
        latency.served.push(started.elapsed());

        // Of another class, so that nobody serves it.
        let mut bare = service(&name)?;
        if let Some(spec) = &mut bare.spec {
            spec.load_balancer_class = Some("example.com/nobody".to_owned());
        }
        let started = clock::now();
        theirs.create(&PostParams::default(), &bare).await?;
        let entry = json!({ "ip": "198.19.255.255", "ipMode": "VIP" });
        let status = json!({ "status": { "loadBalancer": { "ingress": [entry] } } });
        theirs
            .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
            .await?;
        latency.bare.push(started.elapsed());
    }
    for api in [&ours, &theirs] {
        api.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
    }
    latency.served.sort_unstable();
    latency.bare.sort_unstable();
    Ok(latency)
}
