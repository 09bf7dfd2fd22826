//! Pools: for the speakers what they say about announcing, for the controller all the rest.

use std::time::Duration;

use ferrolb_core::facts::Advertisement;
use ferrolb_core::pool::allocation::Allocation;
use ferrolb_core::pool::{Capacity, DEFAULT_QUARANTINE, Pool, PoolSpec, PoolStatus, Sharing};
use ferrolb_core::time::Timestamp;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::condition::{api_condition, find};
use super::selector::selector;
use super::time::timestamp;
use crate::address_pool::{
    AddressPool, AddressPoolSpec, AddressPoolStatus, FamilyCapacity, Layer2Advertisement, PoolAllocation,
    PoolCapacity, PoolSharing,
};
use crate::entry::AddressEntry;

/// The type of the condition that names an entry which lends nothing.
const READY: &str = "Ready";

/// The type of the condition that names another pool with the same addresses.
const OVERLAP: &str = "Overlap";

/// The name of the one advertisement of a pool that lists none.
pub const DEFAULT_ADVERTISEMENT: &str = "default";

/// The advertisements of a pool; absent means one that covers every node by its default
/// interfaces, an empty list means nowhere.
pub fn advertisements(spec: &AddressPoolSpec) -> Vec<Advertisement> {
    spec.layer2.as_ref().map_or_else(
        || {
            vec![Advertisement {
                name: DEFAULT_ADVERTISEMENT.to_owned(),
                node_selectors: Vec::new(),
                interfaces: Vec::new(),
            }]
        },
        |entries| entries.iter().map(advertisement).collect(),
    )
}

/// How long freed addresses rest; `None` when the text is no time, which the API server's rule
/// for the field makes impossible.
pub fn quarantine(spec: &AddressPoolSpec) -> Option<Duration> {
    let parsed: kube::core::Duration = spec.quarantine.parse().ok()?;
    (!parsed.is_negative()).then(|| parsed.into())
}

/// A pool as the allocator sees it.
pub fn pool(object: &AddressPool) -> Pool {
    let AddressPoolSpec {
        addresses,
        exclude,
        auto_assign,
        avoid_buggy_ips,
        quarantine: _,
        allocation,
        sharing,
        layer2: _,
    } = &object.spec;
    let texts = |entries: &[AddressEntry]| entries.iter().map(|entry| entry.0.clone()).collect();
    Pool {
        name: object.metadata.name.as_deref().unwrap_or_default().into(),
        uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
        resource_version: object
            .metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
            .into(),
        created: object
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp(0), timestamp),
        spec: PoolSpec {
            addresses: texts(addresses),
            exclude: texts(exclude),
            auto_assign: *auto_assign,
            avoid_buggy_ips: *avoid_buggy_ips,
            quarantine: quarantine(&object.spec).unwrap_or(DEFAULT_QUARANTINE),
            allocation: allocation.as_ref().map(core_allocation).unwrap_or_default(),
            sharing: match sharing {
                PoolSharing::SameNamespace => Sharing::SameNamespace,
                PoolSharing::CrossNamespace => Sharing::CrossNamespace,
            },
            advertisements: advertisements(&object.spec)
                .into_iter()
                .map(|entry| entry.name)
                .collect(),
        },
        unreadable: None,
        status: object.status.as_ref().and_then(pool_status),
    }
}

/// A pool that nobody understands: it is there, keeps what it has lent, and lends nothing more.
pub fn unreadable(metadata: &ObjectMeta, raw: &Value, error: &str) -> Pool {
    let known = raw
        .get("status")
        .and_then(|status| AddressPoolStatus::deserialize(status).ok());
    let nothing = AddressPoolSpec {
        addresses: Vec::new(),
        exclude: Vec::new(),
        auto_assign: false,
        avoid_buggy_ips: false,
        quarantine: String::new(),
        allocation: None,
        sharing: PoolSharing::SameNamespace,
        layer2: None,
    };
    let object = AddressPool {
        metadata: metadata.clone(),
        spec: nothing,
        status: known,
    };
    Pool {
        unreadable: Some(error.to_owned()),
        ..pool(&object)
    }
}

/// The API form of what the controller reports about a pool.
pub fn api_status(status: &PoolStatus) -> AddressPoolStatus {
    let PoolStatus {
        v4,
        v6,
        ready,
        overlap,
    } = status;
    let conditions = [(READY, ready), (OVERLAP, overlap)];
    AddressPoolStatus {
        capacity: Some(PoolCapacity {
            ipv4: api_capacity(*v4),
            ipv6: api_capacity(*v6),
        }),
        conditions: conditions
            .into_iter()
            .filter_map(|(type_, condition)| {
                condition
                    .as_ref()
                    .map(|condition| api_condition(type_, condition))
            })
            .collect(),
    }
}

fn pool_status(status: &AddressPoolStatus) -> Option<PoolStatus> {
    let PoolCapacity { ipv4, ipv6 } = status.capacity.as_ref()?;
    Some(PoolStatus {
        v4: capacity(*ipv4),
        v6: capacity(*ipv6),
        ready: find(&status.conditions, READY),
        overlap: find(&status.conditions, OVERLAP),
    })
}

fn capacity(stored: FamilyCapacity) -> Capacity {
    let FamilyCapacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    } = stored;
    Capacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    }
}

fn api_capacity(counted: Capacity) -> FamilyCapacity {
    let Capacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    } = counted;
    FamilyCapacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    }
}

fn core_allocation(allocation: &PoolAllocation) -> Allocation {
    let PoolAllocation {
        priority,
        namespaces,
        namespace_selectors,
        service_selectors,
        max_per_namespace,
    } = allocation;
    Allocation {
        priority: *priority,
        namespaces: namespaces.iter().cloned().collect(),
        namespace_selectors: namespace_selectors.iter().map(selector).collect(),
        service_selectors: service_selectors.iter().map(selector).collect(),
        max_per_namespace: *max_per_namespace,
    }
}

fn advertisement(entry: &Layer2Advertisement) -> Advertisement {
    Advertisement {
        name: entry.name.clone(),
        node_selectors: entry.node_selectors.iter().map(selector).collect(),
        interfaces: entry.interfaces.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_spec(json: serde_json::Value) -> AddressPoolSpec {
        serde_json::from_value(json).expect("a pool spec")
    }

    #[test]
    fn a_pool_without_layer2_is_announced_by_every_node() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"]}));
        let expected = Advertisement {
            name: "default".to_owned(),
            node_selectors: vec![],
            interfaces: vec![],
        };
        assert_eq!(advertisements(&spec), [expected]);
    }

    #[test]
    fn a_pool_with_an_empty_layer2_is_announced_nowhere() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"], "layer2": []}));
        assert_eq!(advertisements(&spec), []);
    }

    #[test]
    fn the_quarantine_is_a_minute_unless_said_otherwise() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"]}));
        assert_eq!(quarantine(&spec), Some(Duration::from_secs(60)));
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"], "quarantine": "1h30m"}));
        assert_eq!(quarantine(&spec), Some(Duration::from_secs(5400)));
    }

    #[test]
    fn what_the_controller_reports_is_read_back_unchanged() {
        let status = PoolStatus {
            v4: Capacity {
                total: 41,
                assigned: 3,
                reserved: 1,
                quarantined: 2,
                available: 35,
            },
            v6: Capacity::default(),
            ready: Some(ferrolb_core::condition::Condition {
                status: true,
                reason: "Valid".to_owned(),
                message: String::new(),
                since: Timestamp(1_800_000_000),
            }),
            overlap: None,
        };
        let object = AddressPool {
            metadata: kube::core::ObjectMeta {
                name: Some("home".to_owned()),
                ..Default::default()
            },
            spec: mk_spec(serde_json::json!({"addresses": ["192.0.2.1"], "exclude": ["192.0.2.1"]})),
            status: Some(api_status(&status)),
        };
        let read = pool(&object);
        assert_eq!(read.status, Some(status));
        assert_eq!(read.spec.exclude, ["192.0.2.1"]);
        assert_eq!(read.spec.advertisements, [DEFAULT_ADVERTISEMENT]);
    }
}
