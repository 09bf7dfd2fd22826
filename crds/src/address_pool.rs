//! `AddressPool`: addresses that an administrator lends out. People write the spec, the
//! controller the status.

// KubeSchema copies each struct into a function body, where `pub` cannot be reached.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entry::AddressEntry;

/// A pool of addresses for Services of type LoadBalancer.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrolb.io",
    version = "v1alpha1",
    kind = "AddressPool",
    plural = "addresspools",
    shortname = "apool",
    category = "ferrolb",
    status = "AddressPoolStatus",
    derive = "PartialEq",
    doc = "A pool of addresses that FerroLB lends to Services of type LoadBalancer.",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message(Message::Expression(
            "'the name \"' + self.metadata.name + '\" is longer than 63 characters, and it must fit into a label'".into()
        )),
    printcolumn(name = "Auto-Assign", type_ = "boolean", json_path = ".spec.autoAssign"),
    printcolumn(name = "IPv4-Assigned", type_ = "integer", json_path = ".status.capacity.ipv4.assigned"),
    printcolumn(name = "IPv4-Available", type_ = "integer", json_path = ".status.capacity.ipv4.available"),
    printcolumn(name = "IPv6-Assigned", type_ = "integer", json_path = ".status.capacity.ipv6.assigned"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Addresses", type_ = "string", json_path = ".spec.addresses", priority = 1),
    printcolumn(
        name = "IPv6-Available",
        type_ = "integer",
        json_path = ".status.capacity.ipv6.available",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// What is lent, in this order: CIDRs, first-last ranges or single addresses of either family.
    #[schemars(length(min = 1, max = 256))]
    pub addresses: Vec<AddressEntry>,

    /// What is never lent, in the same notation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub exclude: Vec<AddressEntry>,

    /// Whether Services that name no pool get an address from here.
    #[serde(default = "default_auto_assign")]
    pub auto_assign: bool,

    /// Whether IPv4 addresses that end in .0 or .255 are never lent, for the sake of old equipment.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,

    /// How long a freed address rests before it is lent to a different Service, such as 60s or 5m.
    #[serde(default = "default_quarantine")]
    #[schemars(schema_with = "quarantine_schema")]
    pub quarantine: String,

    /// Who may have an address, and how many; absent means every Service, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<PoolAllocation>,

    /// Who may share one address under one sharing key.
    #[serde(default)]
    pub sharing: PoolSharing,

    /// Where the addresses may be announced; absent means one entry named default: every node, by
    /// its default interfaces. An empty list announces nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub layer2: Option<Vec<Layer2Advertisement>>,
}

/// Which Services a pool is for. What is absent or empty restricts nothing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolAllocation {
    /// Pools with a smaller number are tried first, those without one last, ties by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub priority: Option<u32>,

    /// Namespaces whose Services may have an address; together with namespaceSelectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,

    /// Namespaces by label: any that one of these selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Services by label: any that one of these selects, in a namespace that may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub service_selectors: Vec<LabelSelector>,

    /// How many addresses the Services of one namespace may hold; a shared one counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2147483647))]
    pub max_per_namespace: Option<u32>,
}

/// Who may share one address under one sharing key.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolSharing {
    /// Services of one namespace.
    #[default]
    SameNamespace,
    /// Services of any namespace that the pool is for.
    CrossNamespace,
}

/// Nodes and interfaces that may announce a pool's addresses.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer2Advertisement {
    /// Its name, unique in the pool.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// Nodes that may announce: any that one of these selects; absent or empty means every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub node_selectors: Vec<LabelSelector>,

    /// Interfaces to announce on, such as eth0, bond* or !eth9; absent or empty means those whose
    /// subnet contains the address, else those of the default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 16), regex(pattern = r"^!?[^!\s/]+$"))
    )]
    pub interfaces: Vec<String>,
}

/// What the controller reports about a pool.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// Addresses by what has become of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<PoolCapacity>,

    /// Ready: False names an entry that lends nothing. Overlap: True names the other pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Counts per family.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolCapacity {
    /// IPv4 addresses.
    pub ipv4: FamilyCapacity,
    /// IPv6 addresses.
    pub ipv6: FamilyCapacity,
}

/// Counts of one family, capped at the greatest number a Kubernetes object can hold.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyCapacity {
    /// Addresses that the pool can lend.
    pub total: i64,
    /// Addresses that Services hold.
    pub assigned: i64,
    /// Addresses that a person keeps for somebody, or from everybody, and that nobody holds.
    #[serde(default)]
    pub reserved: i64,
    /// Freed addresses that rest before another Service may have them.
    pub quarantined: i64,
    /// Addresses that can be lent now.
    pub available: i64,
}

fn default_auto_assign() -> bool {
    true
}

fn default_quarantine() -> String {
    "60s".to_owned()
}

/// A week is the longest rest that can be asked for: a claim stays for that time.
fn quarantine_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 32,
        "x-kubernetes-validations": [
            {
                "rule": "self.matches('^([0-9]{1,5}(ms|s|m|h)){1,3}$') && duration(self) <= duration('168h')",
                "messageExpression": "'\"' + self + '\" is no time from 0s to 168h such as 60s, 5m or 1h30m'",
            },
        ],
    })
}
