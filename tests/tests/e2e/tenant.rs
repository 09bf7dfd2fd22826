//! What a person does and sees in one namespace of a cluster that has our controller.
//!
//! Tests that share a cluster do not meet: each has a namespace of its own and pools of its own,
//! whose addresses nobody else lists, and its Services name their pool.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::{Lab, eventually};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// How long the controller may take: far longer than it does, for a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long something may take: what the product promises if `FERROLB_STRICT` says that this machine does
/// nothing else, what is enough for a busy one otherwise.
pub(crate) fn bound(promised: Duration, busy: Duration) -> Duration {
    match std::env::var_os("FERROLB_STRICT") {
        Some(_) => promised,
        None => busy,
    }
}

/// One namespace.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

// === impl Tenant ===

impl Tenant {
    pub(crate) async fn new(lab: &Lab, namespace: &str) -> Result<Self> {
        lab.create_namespace(namespace).await?;
        Ok(Self {
            client: lab.client(),
            namespace: namespace.to_owned(),
        })
    }

    /// Another namespace of the same cluster.
    pub(crate) async fn new_beside(other: &Self, namespace: &str) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(other.client.clone());
        let object = json!({ "metadata": { "name": namespace } });
        namespaces
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(Self {
            client: other.client.clone(),
            namespace: namespace.to_owned(),
        })
    }

    pub(crate) fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn claims(&self) -> Api<AddressClaim> {
        Api::all(self.client.clone())
    }

    pub(crate) fn pools(&self) -> Api<AddressPool> {
        Api::all(self.client.clone())
    }

    /// Creates a pool without quarantine that lends only when asked for; `spec` adds to that.
    pub(crate) async fn pool(&self, name: &str, spec: Value) -> Result<AddressPool> {
        let mut pool = json!({
            "apiVersion": "ferrolb.io/v1alpha1",
            "kind": "AddressPool",
            "metadata": { "name": name },
            "spec": { "autoAssign": false, "quarantine": "0s" },
        });
        merge(&mut pool, json!({ "spec": spec }));
        let created = self
            .pools()
            .create(&PostParams::default(), &serde_json::from_value(pool)?)
            .await;
        created.with_context(|| format!("pool {name}"))
    }

    /// Changes the spec of a pool.
    pub(crate) async fn change_pool(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.pools().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Creates a Service of type LoadBalancer with one port and no node port; `change` adds to that.
    pub(crate) async fn service(&self, name: &str, change: Value) -> Result<Service> {
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name },
            "spec": {
                "type": "LoadBalancer",
                "allocateLoadBalancerNodePorts": false,
                "ports": [{ "port": 80 }],
            },
        });
        merge(&mut service, change);
        let created = self
            .services()
            .create(&PostParams::default(), &serde_json::from_value(service)?)
            .await;
        created.with_context(|| format!("Service {name}"))
    }

    /// Creates a Service that wants its address from this pool.
    pub(crate) async fn service_from(&self, pool: &str, name: &str) -> Result<Service> {
        self.service(name, asking(pool)).await
    }

    pub(crate) async fn change(&self, name: &str, change: Value) -> Result<Service> {
        let patch = Patch::Merge(change);
        let changed = self.services().patch(name, &PatchParams::default(), &patch).await;
        Ok(changed?)
    }

    /// Writes a Service's status, as another load balancer would.
    pub(crate) async fn change_status(&self, name: &str, status: Value) -> Result<Service> {
        let patch = Patch::Merge(json!({ "status": status }));
        let params = PatchParams {
            field_manager: Some("somebody-else".to_owned()),
            ..PatchParams::default()
        };
        Ok(self.services().patch_status(name, &params, &patch).await?)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.services().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until a Service shows exactly these addresses, in this order, as VIPs.
    pub(crate) async fn shows(&self, name: &str, addresses: &[&str]) -> Result<Service> {
        let wanted = vips(addresses);
        eventually(PATIENCE, &format!("{name} shows {addresses:?}"), async || {
            let service = self.services().get(name).await?;
            let shown = shown(&service);
            ensure!(shown == wanted, "it shows {shown}, {:?}", condition(&service));
            Ok(service)
        })
        .await
    }

    /// Waits until a Service shows nothing and its condition is False for this reason; returns the
    /// message.
    pub(crate) async fn is_refused(&self, name: &str, reason: &str) -> Result<String> {
        self.is_told(name, reason, Some(&[])).await
    }

    /// Waits until a Service shows exactly these addresses, and its condition is False all the same, for
    /// this reason; returns the message.
    pub(crate) async fn keeps(&self, name: &str, addresses: &[&str], reason: &str) -> Result<String> {
        self.is_told(name, reason, Some(addresses)).await
    }

    /// Waits until a Service's condition is False for this reason; returns the message. What it shows is
    /// looked at unless somebody else writes it, too.
    pub(crate) async fn is_told(
        &self,
        name: &str,
        reason: &str,
        addresses: Option<&[&str]>,
    ) -> Result<String> {
        let wanted = addresses.map(vips);
        let what = format!("{name} is told {reason} and shows {addresses:?}");
        eventually(PATIENCE, &what, async || {
            let service = self.services().get(name).await?;
            let condition = condition(&service).context("it has no condition")?;
            ensure!(
                condition.status == "False" && condition.reason == reason,
                "it says {condition:?}"
            );
            let shown = shown(&service);
            ensure!(
                wanted.as_ref().is_none_or(|wanted| shown == *wanted),
                "it shows {shown}, {condition:?}"
            );
            Ok(condition.message)
        })
        .await
    }

    /// The version of this namespace's Services as a whole, to ask [`Tenant::versions`] from.
    pub(crate) async fn version(&self) -> Result<String> {
        let list = self.services().list(&ListParams::default().limit(1)).await?;
        list.metadata.resource_version.context("a list has a version")
    }

    /// Every version of every Service of this namespace after `since` and up to that of `last`, as a
    /// watcher sees them.
    pub(crate) async fn versions(&self, since: &str, last: &Service) -> Result<Vec<Service>> {
        let mut events = self
            .services()
            .watch(&WatchParams::default().timeout(20), since)
            .await?
            .boxed();
        let mut versions = Vec::new();
        while let Some(event) = events.try_next().await? {
            let service = match event {
                WatchEvent::Added(service) | WatchEvent::Modified(service) => service,
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("the watch ends: {}", status.message),
            };
            let is_last = service.metadata.resource_version == last.metadata.resource_version;
            versions.push(service);
            if is_last {
                return Ok(versions);
            }
        }
        bail!("the watch ends before it has shown the last version")
    }

    pub(crate) async fn claim(&self, address: &str) -> Result<Option<AddressClaim>> {
        let address: IpAddr = address.parse()?;
        Ok(self.claims().get_opt(&claim_name(address)).await?)
    }

    /// Waits until a Service is gone.
    pub(crate) async fn is_gone(&self, name: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} is gone"), async || {
            let service = self.services().get_opt(name).await?;
            ensure!(service.is_none(), "it is {service:?}");
            Ok(())
        })
        .await
    }

    /// Waits until nothing of ours is left on a Service that somebody has created so.
    pub(crate) async fn is_bare(&self, created: &Service) -> Result<()> {
        let name = created.name_any();
        eventually(
            PATIENCE,
            &format!("nothing of ours is left on {name}"),
            async || {
                let now = self.services().get(&name).await?;
                ensure!(
                    (&now.metadata.annotations, &now.metadata.finalizers)
                        == (&created.metadata.annotations, &created.metadata.finalizers),
                    "{:?}",
                    now.metadata
                );
                ensure!(now.status == created.status, "{:?}", now.status);
                Ok(())
            },
        )
        .await
    }

    /// Waits until an address has no claim.
    pub(crate) async fn has_no_claim(&self, address: &str) -> Result<()> {
        eventually(PATIENCE, &format!("the claim of {address} is gone"), async || {
            let claim = self.claim(address).await?;
            ensure!(claim.is_none(), "it says {:?}", claim.map(|claim| claim.spec));
            Ok(())
        })
        .await
    }

    /// Waits until the claim of an address is in this state.
    pub(crate) async fn claim_is(&self, address: &str, state: &str) -> Result<AddressClaim> {
        eventually(
            PATIENCE,
            &format!("the claim of {address} is {state}"),
            async || {
                let claim = self.claim(address).await?.context("there is none")?;
                let spec = serde_json::to_value(&claim.spec)?;
                ensure!(spec["state"] == state, "it says {spec}");
                Ok(claim)
            },
        )
        .await
    }

    /// The Events of ours about an object, oldest first: type, reason and note.
    pub(crate) async fn events(&self, kind: &str, name: &str) -> Result<Vec<[String; 3]>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut about: Vec<Event> = events
            .list(&ListParams::default())
            .await?
            .items
            .into_iter()
            .filter(|event| {
                is_ours(event)
                    && event.regarding.as_ref().is_some_and(|regarding| {
                        regarding.kind.as_deref() == Some(kind) && regarding.name.as_deref() == Some(name)
                    })
            })
            .collect();
        about.sort_by_key(|event| event.event_time.clone());
        let texts = about
            .into_iter()
            .map(|event| [event.type_, event.reason, event.note].map(Option::unwrap_or_default));
        Ok(texts.collect())
    }

    /// Waits until the Events about an object have exactly these types and reasons.
    pub(crate) async fn has_events(&self, kind: &str, name: &str, wanted: &[[&str; 2]]) -> Result<()> {
        eventually(
            PATIENCE,
            &format!("{kind} {name} has the Events {wanted:?}"),
            async || {
                let events = self.events(kind, name).await?;
                let found: Vec<[&str; 2]> =
                    events.iter().map(|[t, reason, _]| [t.as_str(), reason]).collect();
                ensure!(found == wanted, "it has {events:?}");
                Ok(())
            },
        )
        .await
    }
}

/// A condition, as far as people read it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Our condition of a Service.
pub(crate) fn condition(service: &Service) -> Option<Said> {
    let conditions = service.status.as_ref()?.conditions.as_ref()?;
    let ours = conditions
        .iter()
        .find(|condition| condition.type_ == "ferrolb.io/AddressAssigned")?;
    Some(Said {
        status: ours.status.clone(),
        reason: ours.reason.clone(),
        message: ours.message.clone(),
    })
}

/// Whether the controller has written an Event. The API server writes some itself, about cluster IPs that it has
/// put right.
pub(crate) fn is_ours(event: &Event) -> bool {
    let by = event.reporting_controller.as_deref();
    by.is_some_and(|by| by.starts_with("ferrolb.io/"))
}

/// A Service's `status.loadBalancer.ingress`; an empty list if there is none.
pub(crate) fn shown(service: &Service) -> Value {
    let status = service.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    json!(
        balancer
            .and_then(|balancer| balancer.ingress.clone())
            .unwrap_or_default()
    )
}

/// What a Service has in its status that shows these addresses as VIPs.
fn vips(addresses: &[&str]) -> Value {
    addresses
        .iter()
        .map(|address| json!({ "ip": address, "ipMode": "VIP" }))
        .collect()
}

/// The number of a version: etcd counts all writes of a cluster in one sequence.
pub(crate) fn version(object: &impl ResourceExt) -> Result<u64> {
    let version = object.resource_version().context("an object without a version")?;
    version.parse().with_context(|| format!("{version} is no number"))
}

/// The annotation that asks for a pool.
pub(crate) fn asking(pool: &str) -> Value {
    json!({ "metadata": { "annotations": { "ferrolb.io/address-pool": pool } } })
}

/// Puts `change` over `base`, key by key.
pub(crate) fn merge(base: &mut Value, change: Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change,
    }
}
