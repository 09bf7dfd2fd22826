//! EndpointSlices, reduced to the nodes that host a serving endpoint of a Service.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_core::address::Family;
use ferrolb_core::node::NodeName;
use ferrolb_core::service::ServiceKey;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// The label by which a slice names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What one slice says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SliceFacts {
    /// The Service; `None` for slices that belong to none.
    service: Option<ServiceKey>,
    /// Whether the addresses are of this family; `None` for names.
    family: Option<Family>,
    /// Nodes that host a serving endpoint.
    nodes: BTreeSet<NodeName>,
}

/// Reduces a slice.
pub(super) fn slice_facts(slice: EndpointSlice) -> SliceFacts {
    let name = slice.metadata.labels.unwrap_or_default().remove(SERVICE_LABEL);
    let namespace = slice.metadata.namespace.unwrap_or_default();
    SliceFacts {
        service: name.map(|name| ServiceKey::new(namespace, name)),
        family: Family::ALL
            .into_iter()
            .find(|family| family.as_str() == slice.address_type),
        nodes: slice
            .endpoints
            .into_iter()
            .filter(is_serving)
            .filter_map(|endpoint| endpoint.node_name)
            .map(NodeName::from)
            .collect(),
    }
}

/// The nodes of each of these Services, over all its slices of a family.
pub(super) fn nodes_of<'a>(
    services: &BTreeSet<&ServiceKey>,
    slices: impl Iterator<Item = &'a SliceFacts>,
) -> BTreeMap<Family, BTreeMap<ServiceKey, BTreeSet<NodeName>>> {
    let mut nodes = BTreeMap::<Family, BTreeMap<ServiceKey, BTreeSet<NodeName>>>::new();
    for slice in slices {
        if let Some(family) = slice.family
            && let Some(service) = slice
                .service
                .as_ref()
                .filter(|service| services.contains(service))
        {
            nodes
                .entry(family)
                .or_default()
                .entry(service.clone())
                .or_default()
                .extend(slice.nodes.iter().cloned());
        }
    }
    nodes
}

/// Ready, or terminating and still serving: the node's proxy forwards to it. Absent conditions
/// count as true, as the API defines.
fn is_serving(endpoint: &Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else {
        return true;
    };
    conditions.serving.or(conditions.ready).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk_raw_slice(service: &str) -> EndpointSlice {
        let slice = json!({
            "metadata": {"name": "s", "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": [],
        });
        serde_json::from_value(slice).expect("a slice")
    }

    fn mk_slice(service: &str, endpoints: &serde_json::Value) -> SliceFacts {
        slice_facts(EndpointSlice {
            endpoints: serde_json::from_value(endpoints.clone()).expect("endpoints"),
            ..mk_raw_slice(service)
        })
    }

    #[test]
    fn serving_endpoints_count_also_while_they_terminate() {
        let slice = mk_slice(
            "web",
            &json!([
                {"addresses": ["10.0.0.1"], "nodeName": "ready", "conditions": {"ready": true, "serving": true}},
                {"addresses": ["10.0.0.2"], "nodeName": "starting", "conditions": {"ready": false, "serving": false}},
                {"addresses": ["10.0.0.3"], "nodeName": "going",
                 "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.4"], "nodeName": "silent"},
                {"addresses": ["10.0.0.5"], "nodeName": "old", "conditions": {"ready": false}},
                {"addresses": ["10.0.0.6"]},
            ]),
        );
        assert_eq!(
            slice.nodes,
            BTreeSet::from(["ready", "going", "silent"].map(NodeName::from))
        );
    }

    #[test]
    fn slices_of_one_service_unite_and_others_are_left_out() {
        let on = |node: &str| json!([{"addresses": ["10.0.0.1"], "nodeName": node}]);
        let slices = [
            mk_slice("web", &on("n1")),
            mk_slice("web", &on("n2")),
            mk_slice("other", &on("n3")),
        ];
        let web = ServiceKey::new("default", "web");
        let expected = BTreeMap::from([(web.clone(), BTreeSet::from(["n1", "n2"].map(NodeName::from)))]);
        let expected = BTreeMap::from([(Family::V4, expected)]);
        assert_eq!(nodes_of(&BTreeSet::from([&web]), slices.iter()), expected);
    }

    #[test]
    fn families_are_kept_apart_and_names_are_left_out() {
        let web = ServiceKey::new("default", "web");
        let slices = ["IPv4", "IPv6", "FQDN"].map(|family| {
            slice_facts(EndpointSlice {
                address_type: family.to_owned(),
                endpoints: vec![Endpoint {
                    node_name: Some(family.to_owned()),
                    ..Endpoint::default()
                }],
                ..mk_raw_slice("web")
            })
        });
        let on = |node: &str| BTreeMap::from([(web.clone(), BTreeSet::from([NodeName::from(node)]))]);
        let expected = BTreeMap::from([(Family::V4, on("IPv4")), (Family::V6, on("IPv6"))]);
        assert_eq!(nodes_of(&BTreeSet::from([&web]), slices.iter()), expected);
    }
}
