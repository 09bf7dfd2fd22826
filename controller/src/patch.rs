//! The bodies of our writes. Each names the version that it is based on, and touches only what is
//! the controller's.

use ferrolb_core::allocator::{FinalizerEdit, PoolPatch, ServicePatch};
use ferrolb_core::claim::ClaimSpec;
use ferrolb_core::object::ResourceVersion;
use ferrolb_crds::annotation::{ADDRESS_ASSIGNED, ALLOCATED_FROM_POOL, POOL_LABEL};
use ferrolb_crds::convert::condition::api_condition;
use ferrolb_crds::convert::{claim, pool};
use serde_json::{Map, Value, json};

/// The name under which our writes are recorded in the objects.
pub const FIELD_MANAGER: &str = "ferrolb-controller";

/// Kubernetes' own word for "a load balancer must let go of this Service first".
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// We deliver packets that are still addressed to the VIP. The API server fills this in if it is
/// missing, and every comparison would then find a difference.
pub const IP_MODE: &str = "VIP";

/// The strategic-merge patch of `services/status`: ingress replaced, foreign conditions kept.
pub fn service(patch: &ServicePatch) -> Value {
    let ServicePatch {
        key: _,
        // The version belongs to one object only; the identity is the allocator's concern.
        uid: _,
        resource_version,
        ingress,
        condition,
        allocated_from,
        finalizer,
    } = patch;
    let mut status = Map::new();
    if let Some(addresses) = ingress {
        let entries: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"ip": address, "ipMode": IP_MODE}))
            .collect();
        // An empty list would be merged into "nothing to say"; null removes.
        let entries = if entries.is_empty() {
            Value::Null
        } else {
            entries.into()
        };
        status.insert("loadBalancer".to_owned(), json!({"ingress": entries}));
    }
    let condition = condition.as_ref().map_or_else(
        || json!({"$patch": "delete", "type": ADDRESS_ASSIGNED}),
        |condition| json!(api_condition(ADDRESS_ASSIGNED, condition)),
    );
    status.insert("conditions".to_owned(), json!([condition]));
    let annotations = json!({ALLOCATED_FROM_POOL: allocated_from.as_ref().map(ToString::to_string)});
    let mut metadata = Map::from_iter([
        ("resourceVersion".to_owned(), resource_version.as_str().into()),
        ("annotations".to_owned(), annotations),
    ]);
    // The finalizers of others stay: ours is merged into their list, or taken out of it.
    let finalizers = match finalizer {
        FinalizerEdit::Keep => None,
        FinalizerEdit::Add => Some("finalizers"),
        FinalizerEdit::Remove => Some("$deleteFromPrimitiveList/finalizers"),
    };
    metadata.extend(finalizers.map(|directive| (directive.to_owned(), json!([FINALIZER]))));
    json!({"metadata": metadata, "status": status})
}

/// The merge patch of a claim: every field that is the controller's, null where there is nothing.
pub fn claim(resource_version: &ResourceVersion, spec: &ClaimSpec) -> Value {
    let api = claim::api_spec(spec);
    let holders = if api.holders.is_empty() {
        Value::Null
    } else {
        json!(api.holders)
    };
    json!({
        "metadata": {
            "resourceVersion": resource_version.as_str(),
            "labels": {POOL_LABEL: api.pool},
        },
        "spec": {
            "pool": api.pool,
            "state": api.state,
            "stateSince": api.state_since,
            "heldBy": api.held_by,
            "lastHolder": api.last_holder,
            "holders": holders,
        },
    })
}

/// The merge patch of a pool's status, for the pool of this identity and no later one of its name.
pub fn pool(patch: &PoolPatch) -> Value {
    json!({
        "metadata": {"uid": patch.uid.as_str()},
        "status": pool::api_status(&patch.status),
    })
}

#[cfg(test)]
mod tests {
    use ferrolb_core::condition::Condition;
    use ferrolb_core::service::ServiceKey;
    use ferrolb_core::time::Timestamp;

    use super::*;

    fn mk_patch() -> ServicePatch {
        ServicePatch {
            key: ServiceKey::new("default", "web"),
            uid: "u1".into(),
            resource_version: "41".into(),
            ingress: Some(vec![
                "192.0.2.7".parse().expect("ip"),
                "2001:db8::7".parse().expect("ip"),
            ]),
            condition: Some(Condition {
                status: true,
                reason: "Assigned".to_owned(),
                message: "from pool home".to_owned(),
                since: Timestamp(1_767_225_600),
            }),
            allocated_from: Some("home".into()),
            finalizer: FinalizerEdit::Keep,
        }
    }

    #[test]
    fn one_patch_sets_ingress_condition_and_annotation() {
        let expected = json!({
            "metadata": {"resourceVersion": "41", "annotations": {"ferrolb.io/allocated-from-pool": "home"}},
            "status": {
                "loadBalancer": {"ingress": [
                    {"ip": "192.0.2.7", "ipMode": "VIP"},
                    {"ip": "2001:db8::7", "ipMode": "VIP"},
                ]},
                "conditions": [{
                    "type": "ferrolb.io/AddressAssigned", "status": "True", "reason": "Assigned",
                    "message": "from pool home", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        assert_eq!(service(&mk_patch()), expected);
    }

    #[test]
    fn nothing_of_ours_is_left_when_a_service_is_let_go() {
        let patch = ServicePatch {
            ingress: Some(vec![]),
            condition: None,
            allocated_from: None,
            ..mk_patch()
        };
        let expected = json!({
            "metadata": {"resourceVersion": "41", "annotations": {"ferrolb.io/allocated-from-pool": null}},
            "status": {
                "loadBalancer": {"ingress": null},
                "conditions": [{"$patch": "delete", "type": "ferrolb.io/AddressAssigned"}],
            },
        });
        assert_eq!(service(&patch), expected);
    }

    #[test]
    fn the_finalizer_is_set_and_taken_off_beside_those_of_others() {
        let metadata = |finalizer| {
            let patch = ServicePatch {
                finalizer,
                ..mk_patch()
            };
            service(&patch)["metadata"].clone()
        };
        let name = "service.kubernetes.io/load-balancer-cleanup";
        let mut expected = metadata(FinalizerEdit::Keep);
        assert_eq!(expected.as_object().map(Map::len), Some(2));
        expected["finalizers"] = json!([name]);
        assert_eq!(metadata(FinalizerEdit::Add), expected);
        let mut expected = metadata(FinalizerEdit::Keep);
        expected["$deleteFromPrimitiveList/finalizers"] = json!([name]);
        assert_eq!(metadata(FinalizerEdit::Remove), expected);
    }

    #[test]
    fn an_ingress_that_is_not_ours_to_write_is_not_mentioned() {
        let patch = ServicePatch {
            ingress: None,
            ..mk_patch()
        };
        assert_eq!(service(&patch)["status"].get("loadBalancer"), None);
    }

    #[test]
    fn a_claim_without_holders_says_null_for_every_field_that_is_gone() {
        let spec = ClaimSpec {
            address: "192.0.2.7".parse().expect("ip"),
            reserved: false,
            reserved_for: Vec::new(),
            pool: None,
            state: None,
            state_since: None,
            held_by: None,
            last_holder: None,
            holders: vec![],
        };
        let expected = json!({
            "metadata": {"resourceVersion": "41", "labels": {"ferrolb.io/pool": null}},
            "spec": {"pool": null, "state": null, "stateSince": null, "heldBy": null, "lastHolder": null, "holders": null},
        });
        assert_eq!(claim(&"41".into(), &spec), expected);
        // What a person writes into a reservation is not mentioned, whatever it is.
        let reservation = ClaimSpec {
            reserved: true,
            reserved_for: vec![ServiceKey::new("default", "web")],
            ..spec
        };
        assert_eq!(claim(&"41".into(), &reservation), expected);
    }
}
