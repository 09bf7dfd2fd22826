//! Nodes, as far as candidacy depends on them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ferrolb_core::facts::NodeFacts;
use k8s_openapi::api::core::v1::Node;

/// What a Node says that decides whether its speaker may own a VIP, and where it can be reached.
pub fn node_facts(node: &Node) -> NodeFacts {
    let status = node.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let is_true = |type_: &str| {
        conditions
            .iter()
            .any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let internal_ip = status
        .and_then(|status| status.addresses.as_ref())
        .and_then(|addresses| {
            addresses
                .iter()
                .filter(|address| address.type_ == "InternalIP")
                .find_map(|address| address.address.parse().ok())
        });
    NodeFacts {
        labels: node.metadata.labels.clone().unwrap_or_default(),
        ready: is_true("Ready"),
        network_unavailable: is_true("NetworkUnavailable"),
        internal_ip,
    }
}

/// Every address that is a Node's own, inside and outside of the cluster.
pub fn own_addresses(node: &Node) -> BTreeSet<IpAddr> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_deref());
    // Names of the host fall out here.
    let parsed = addresses.unwrap_or_default().iter();
    parsed
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_node_is_reduced_to_labels_conditions_and_first_internal_ip() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n1", "labels": {"zone": "a"}},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "192.0.2.11"},
                    {"type": "InternalIP", "address": "2001:db8::11"},
                ],
                "conditions": [
                    {"type": "NetworkUnavailable", "status": "True"},
                    {"type": "MemoryPressure", "status": "True"},
                    {"type": "Ready", "status": "True"},
                ],
            },
        }))
        .expect("a node");
        let expected = NodeFacts {
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            ready: true,
            network_unavailable: true,
            internal_ip: Some("192.0.2.11".parse().expect("an address")),
        };
        assert_eq!(node_facts(&node), expected);
        let own = ["192.0.2.11", "2001:db8::11"].map(|text| text.parse().expect("an address"));
        assert_eq!(own_addresses(&node), own.into());
    }

    #[test]
    fn a_node_that_reports_nothing_is_not_ready_but_not_cut_off_either() {
        assert_eq!(node_facts(&Node::default()), NodeFacts::default());
    }
}
