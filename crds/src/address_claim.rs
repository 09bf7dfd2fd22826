//! `AddressClaim`: which Services hold a VIP, and which node answers for it.
//!
//! One object per address, named after it: the API server's unique names are the
//! compare-and-set that keeps two Services, two replicas or two leaders from lending one address
//! twice. The controller writes the spec, speakers write the status; people
//! write the two reserved fields and nothing else.

// KubeSchema copies each struct into a function body, where `pub` cannot be reached.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name is the address, in the one spelling that `core::address::claim_name` produces.
const NAME_IS_ADDRESS: &str = "isIP(self.metadata.name) \
     ? self.metadata.name == self.spec.address \
     : self.metadata.name.matches('^([0-9a-f]{4}-){7}[0-9a-f]{4}$') \
         && ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address)";

/// Not on the status itself: whoever removes the whole status would otherwise get around it.
const EPOCH_NEVER_FALLS: &str = "!has(oldSelf.status) || !has(oldSelf.status.epoch) \
     || (has(self.status) && has(self.status.epoch) && self.status.epoch >= oldSelf.status.epoch)";

/// One address and the Services that hold it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrolb.io",
    version = "v1alpha1",
    kind = "AddressClaim",
    plural = "addressclaims",
    shortname = "aclaim",
    category = "ferrolb",
    status = "AddressClaimStatus",
    derive = "PartialEq",
    doc = "One address, the Services that hold it, and the node that answers for it.",
    validation = Rule::new(NAME_IS_ADDRESS)
        .message(Message::Expression(
            "'the name \"' + self.metadata.name + '\" is not that of address \"' + self.spec.address + \
             '\": IPv4 as it is, IPv6 as eight groups of four hex digits joined by \"-\"'".into()
        )),
    validation = Rule::new(EPOCH_NEVER_FALLS)
        .message("status.epoch never falls: read the claim again before writing its status"),
    printcolumn(name = "Address-Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Services", type_ = "string", json_path = ".spec.heldBy"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.owner.node"),
    printcolumn(name = "Interface", type_ = "string", json_path = ".status.owner.interfaces[*]"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(name = "Subnet", type_ = "string", json_path = ".status.subnet", priority = 1),
    printcolumn(name = "Reserved", type_ = "boolean", json_path = ".spec.reserved", priority = 1),
    printcolumn(name = "Reserved-For", type_ = "string", json_path = ".spec.reservedFor[*].name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct AddressClaimSpec {
    /// The address, in canonical spelling. Never changes.
    #[schemars(schema_with = "address_schema")]
    pub address: String,

    /// Nobody gets the address but those in reservedFor, and the claim stays when nobody holds it.
    /// A person writes this; the controller never does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reserved: bool,

    /// For whom the address is reserved; empty means for nobody. A person writes this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub reserved_for: Vec<ServiceReference>,

    /// The pool that it was lent from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pool: Option<String>,

    /// What the claim stands for at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ClaimState>,

    /// Since when it has stood for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_since: Option<Time>,

    /// The holders as text, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,

    /// Who held it last, and gets it back while it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_holder: Option<ServiceReference>,

    /// The Services that hold it; several only if they share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub holders: Vec<ClaimHolder>,
}

/// What a claim stands for.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimState {
    /// Services hold the address.
    Held,
    /// The last holder has gone, and the owner is asked to fall silent.
    Releasing,
    /// Nobody answers; the address rests before another Service may have it.
    Quarantined,
}

/// Namespace and name of a Service.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReference {
    /// The namespace.
    pub namespace: String,
    /// The name in the namespace.
    pub name: String,
}

/// One Service that holds the address.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimHolder {
    /// The namespace.
    pub namespace: String,
    /// The name in the namespace.
    pub name: String,
    /// The Service's UID: another Service of the same name is somebody else.
    pub uid: String,
    /// Its ports, unique per address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ClaimPort>,
    /// Its traffic policy, Cluster or Local.
    #[serde(default)]
    pub external_traffic_policy: ClaimTrafficPolicy,
    /// Whom it is willing to share the address with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing_key: Option<String>,
    /// Its pod selector, if it shares the address under policy Local.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Names of the pool's layer2 entries by which it is announced; unknown names are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advertisements: Vec<String>,
}

/// One port of a holder.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimPort {
    /// The protocol.
    pub protocol: ClaimProtocol,
    /// The number that clients see.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A transport protocol.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ClaimProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A Service's `externalTrafficPolicy`.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimTrafficPolicy {
    /// Any node forwards to any endpoint.
    #[default]
    Cluster,
    /// A node forwards only to its own endpoints.
    Local,
}

/// What the speakers report about an address.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressClaimStatus {
    /// How many times the address has changed its owner; never falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub epoch: Option<i64>,

    /// Who answers for the address; null when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ClaimOwner>,

    /// The subnet of the owner's interfaces that has the address, if any has; it stays when nobody
    /// answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 43))]
    pub subnet: Option<String>,

    /// How the address came to its present owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_move: Option<ClaimMove>,
}

/// The node that answers for an address.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimOwner {
    /// The Node's name.
    pub node: String,
    /// The interfaces that it answers on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// The link-layer address that it answers with, on the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Since when it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<MicroTime>,
}

/// One change of owner.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMove {
    /// The Node that answered before, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why it changed, in one word.
    pub reason: String,
    /// When it changed.
    pub at: MicroTime,
}

fn address_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 45,
        "x-kubernetes-validations": [
            {
                "rule": "isIP(self) && ip.isCanonical(self)",
                "messageExpression": "'\"' + self + '\" is no address in canonical spelling'",
            },
            {
                "rule": "self == oldSelf",
                "messageExpression": "'the address is immutable: it is \"' + oldSelf + '\", not \"' + self + '\"'",
            },
        ],
    })
}
