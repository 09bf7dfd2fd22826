//! What decides with whom a Service may share an address.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_core::claim::Holder;
use ferrolb_core::service::TrafficPolicy;
use ferrolb_crds::annotation::SHARING_KEY;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;

/// What decides with whom a Service may share an address: its key, its ports, and which endpoints it is
/// bound to by policy Local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    key: Option<String>,
    ports: BTreeSet<(String, i32)>,
    local: Option<BTreeMap<String, String>>,
}

// === impl Says ===

impl Says {
    /// What a Service says.
    pub fn of_service(service: &Service) -> Self {
        let spec = service.spec.clone().unwrap_or_default();
        let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
        let port = |port: ServicePort| (port.protocol.unwrap_or_else(|| "TCP".to_owned()), port.port);
        Self {
            key: SHARING_KEY
                .find(service.annotations())
                .map(|(_, key)| key.to_owned()),
            ports: spec.ports.into_iter().flatten().map(port).collect(),
            local: is_local.then(|| spec.selector.unwrap_or_default()),
        }
    }

    /// What a claim says of a holder.
    pub(super) fn of_holder(holder: &Holder) -> Self {
        let is_local = holder.traffic_policy == TrafficPolicy::Local;
        Self {
            key: holder.sharing_key.clone(),
            ports: holder
                .ports
                .iter()
                .map(|port| (port.protocol.as_str().to_owned(), i32::from(port.port)))
                .collect(),
            local: is_local.then(|| holder.selector.clone()),
        }
    }

    /// Whether the two may have one address: both want to, no port of either is the other's, and the same
    /// endpoints serve both.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.key.is_some()
            && self.key == other.key
            && self.ports.is_disjoint(&other.ports)
            && self.local == other.local
    }
}
