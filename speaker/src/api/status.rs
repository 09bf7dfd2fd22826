//! What a claim's status says, what it should say, and the patch between the two.
//!
//! The status is a report: nothing that is answered depends on it. A status with a higher epoch
//! is somebody's who knows more, and is left alone.

use ferrolb_core::node::NodeName;
use ferrolb_core::reason::MoveReason;
use ferrolb_crds::AddressClaim;
use ferrolb_crds::address_claim::{ClaimMove, ClaimOwner};
use ferrolb_crds::convert::claim::status_epoch;
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The status as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// `metadata.resourceVersion`: a patch applies to this version only.
    version: String,
    epoch: u64,
    owner: Option<Owner>,
}

/// The status as this node reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    /// The epoch.
    pub(crate) epoch: u64,
    /// This node, or nobody.
    pub(crate) owner: Option<Owner>,
    /// Since when that is so.
    pub(crate) since: Timestamp,
    /// How it came to this epoch, if that is known.
    pub(crate) last_move: Option<LastMove>,
}

/// Who answers, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The node.
    pub(crate) node: NodeName,
    /// Names of the interfaces.
    pub(crate) interfaces: Vec<String>,
    /// The link-layer address of the first.
    pub(crate) mac: Option<String>,
    /// The subnet of these interfaces that has the address.
    pub(crate) subnet: Option<IpNet>,
}

/// The last change of owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastMove {
    /// Who answered before.
    pub(crate) from: Option<NodeName>,
    /// Why it changed.
    pub(crate) reason: MoveReason,
}

// === impl Observed ===

impl Observed {
    /// The status of a claim.
    pub(crate) fn of(claim: &AddressClaim) -> Self {
        let status = claim.status.as_ref();
        let owner = status.and_then(|status| status.owner.clone());
        let subnet = status.and_then(|status| status.subnet.as_ref());
        Self {
            version: claim.metadata.resource_version.clone().unwrap_or_default(),
            epoch: status_epoch(claim),
            owner: owner.map(|owner| Owner {
                node: owner.node.into(),
                interfaces: owner.interfaces,
                mac: owner.mac_address,
                subnet: subnet.and_then(|text| text.parse().ok()),
            }),
        }
    }

    /// The node that it names.
    pub(crate) fn owner_node(&self) -> Option<&NodeName> {
        self.owner.as_ref().map(|owner| &owner.node)
    }

    /// Whether this is a newer reading of the same claim, as far as that can be told.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        let number = |observed: &Self| observed.version.parse::<u64>().ok();
        match (number(self), number(other)) {
            (Some(this), Some(other)) => this > other,
            // No numbers: the last one read counts.
            _ => true,
        }
    }
}

// === impl Desired ===

impl Desired {
    /// The patch that makes the status say this; `None` when it does, or knows better.
    pub(crate) fn patch(&self, observed: &Observed) -> Option<Value> {
        let is_news = self.epoch > observed.epoch;
        if self.epoch < observed.epoch || (!is_news && self.owner == observed.owner) {
            return None;
        }
        let mut status = Map::new();
        status.insert("epoch".to_owned(), json!(self.epoch));
        status.insert("owner".to_owned(), self.owner_value());
        // A merge patch keeps what it does not name: the subnet when nobody answers any more.
        if let Some(owner) = &self.owner {
            let subnet = owner.subnet.as_ref().map(ToString::to_string);
            status.insert("subnet".to_owned(), json!(subnet));
        }
        if let Some(LastMove { from, reason }) = self.last_move.as_ref().filter(|_| is_news) {
            let moved = ClaimMove {
                from: from.as_ref().map(ToString::to_string),
                reason: reason.as_str().to_owned(),
                at: MicroTime(self.since),
            };
            // But who it came from must go when unknown.
            status.insert("lastMove".to_owned(), with_nulls(json!(moved), &["from"]));
        }
        Some(json!({"metadata": {"resourceVersion": observed.version}, "status": status}))
    }

    fn owner_value(&self) -> Value {
        let Some(owner) = &self.owner else {
            return Value::Null;
        };
        let owner = ClaimOwner {
            node: owner.node.to_string(),
            interfaces: owner.interfaces.clone(),
            mac_address: owner.mac.clone(),
            since: Some(MicroTime(self.since)),
        };
        with_nulls(json!(owner), &["interfaces", "macAddress"])
    }
}

/// Names fields that are absent as null, so that a merge patch removes them.
fn with_nulls(mut value: Value, fields: &[&str]) -> Value {
    if let Some(object) = value.as_object_mut() {
        for field in fields {
            object.entry(*field).or_insert(Value::Null);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_owner(node: &str) -> Owner {
        Owner {
            node: node.into(),
            interfaces: vec!["eth0".to_owned()],
            mac: Some("02:00:00:00:00:01".to_owned()),
            subnet: Some("192.0.2.0/24".parse().expect("a literal subnet")),
        }
    }

    fn mk_observed(epoch: u64, owner: Option<Owner>) -> Observed {
        Observed {
            version: "41".to_owned(),
            epoch,
            owner,
        }
    }

    fn mk_desired(epoch: u64, owner: Option<Owner>) -> Desired {
        Desired {
            epoch,
            owner,
            since: "2026-01-02T03:04:05.000006Z".parse().expect("a literal time"),
            last_move: Some(LastMove {
                from: None,
                reason: MoveReason::NodeDown,
            }),
        }
    }

    #[test]
    fn a_new_epoch_is_written_whole_with_its_move() {
        let desired = mk_desired(7, Some(mk_owner("n1")));
        assert_eq!(
            desired.patch(&mk_observed(6, Some(mk_owner("n2")))),
            Some(json!({
                "metadata": {"resourceVersion": "41"},
                "status": {
                    "epoch": 7,
                    "owner": {
                        "node": "n1", "interfaces": ["eth0"], "macAddress": "02:00:00:00:00:01",
                        "since": "2026-01-02T03:04:05.000006Z",
                    },
                    "subnet": "192.0.2.0/24",
                    "lastMove": {"from": null, "reason": "NodeDown", "at": "2026-01-02T03:04:05.000006Z"},
                },
            }))
        );
    }

    #[test]
    fn what_is_written_already_is_not_written_again() {
        let desired = mk_desired(7, Some(mk_owner("n1")));
        assert_eq!(desired.patch(&mk_observed(7, Some(mk_owner("n1")))), None);
        assert_eq!(mk_desired(7, None).patch(&mk_observed(7, None)), None);
    }

    #[test]
    fn a_higher_epoch_is_left_alone() {
        assert_eq!(
            mk_desired(7, Some(mk_owner("n1"))).patch(&mk_observed(8, None)),
            None
        );
        assert_eq!(
            mk_desired(7, None).patch(&mk_observed(8, Some(mk_owner("n2")))),
            None
        );
    }

    #[test]
    fn withdrawing_removes_the_owner_and_keeps_the_last_move() {
        let patch = mk_desired(7, None).patch(&mk_observed(7, Some(mk_owner("n1"))));
        let expected = json!({"metadata": {"resourceVersion": "41"}, "status": {"epoch": 7, "owner": null}});
        assert_eq!(patch, Some(expected));
    }

    #[test]
    fn another_interface_at_the_same_epoch_is_no_move() {
        let mut owner = mk_owner("n1");
        owner.interfaces = vec!["eth1".to_owned()];
        owner.mac = None;
        owner.subnet = None;
        let patch = mk_desired(7, Some(owner)).patch(&mk_observed(7, Some(mk_owner("n1"))));
        let status = patch.expect("the interface changed")["status"].clone();
        assert_eq!(status["owner"]["interfaces"], json!(["eth1"]));
        assert_eq!(
            status["owner"].get("macAddress"),
            Some(&Value::Null),
            "the old one must go"
        );
        assert_eq!(
            status.get("subnet"),
            Some(&Value::Null),
            "the old one must go, too"
        );
        assert_eq!(status.get("lastMove"), None);
    }

    #[test]
    fn what_was_written_is_read_back_the_same() {
        let desired = mk_desired(7, Some(mk_owner("n1")));
        let mut claim = desired.patch(&Observed::default()).expect("it is news");
        claim["apiVersion"] = json!("ferrolb.io/v1alpha1");
        claim["kind"] = json!("AddressClaim");
        claim["spec"] = json!({"address": "192.0.2.255"});
        let stored = serde_json::from_value(claim).expect("a claim");
        assert_eq!(desired.patch(&Observed::of(&stored)), None);
    }

    #[test]
    fn readings_are_ordered_by_version() {
        let at = |version: &str| Observed {
            version: version.to_owned(),
            ..Observed::default()
        };
        assert!(at("10").is_newer_than(&at("9")));
        assert!(!at("9").is_newer_than(&at("9")));
        assert!(
            at("b").is_newer_than(&at("9")),
            "no number: the last one read counts"
        );
    }
}
