//! What can be made of a claim that cannot be understood as a whole.
//!
//! Its name alone says which address is taken, and every other field of its spec but the two that a
//! person writes is the controller's own: so whoever is named is believed to hold the address, and
//! the controller writes the rest anew. What a person meant to reserve stays reserved.

use ferrolb_core::address::parse_claim_name;
use ferrolb_core::{claim as core, subnet};
use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::stored::core_spec;
use crate::address_claim::{AddressClaimSpec, ClaimHolder};

/// The claim, as far as it can be understood; `None` when its name is no address.
pub fn partial(metadata: &ObjectMeta, raw: &Value) -> Option<core::Claim> {
    let address = parse_claim_name(metadata.name.as_deref()?)?;
    let nothing = Value::Null;
    let spec = raw.get("spec").unwrap_or(&nothing);
    let reserved = spec.get("reserved");
    let holders = spec.get("holders").and_then(Value::as_array);
    let known = AddressClaimSpec {
        address: address.to_string(),
        // What says neither yes nor no may have meant yes.
        reserved: reserved.is_some_and(|value| value.as_bool() != Some(false) && !value.is_null()),
        reserved_for: each(spec, "reservedFor"),
        pool: read(spec, "pool"),
        state: read(spec, "state"),
        state_since: read(spec, "stateSince"),
        held_by: read(spec, "heldBy"),
        last_holder: read(spec, "lastHolder"),
        holders: holders.into_iter().flatten().filter_map(holder).collect(),
    };
    let status = raw.get("status").unwrap_or(&nothing);
    let owner = status.get("owner");
    let subnet: Option<String> = read(status, "subnet");
    Some(core::Claim {
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        resource_version: metadata.resource_version.as_deref().unwrap_or_default().into(),
        spec: core_spec(address, &known),
        has_owner: owner.is_some_and(|owner| !owner.is_null()),
        subnet: subnet.and_then(|text| subnet::parse(&text, address)),
    })
}

/// Who holds the address; how it is used there the Service says.
fn holder(value: &Value) -> Option<ClaimHolder> {
    Some(ClaimHolder {
        namespace: read(value, "namespace")?,
        name: read(value, "name")?,
        uid: read(value, "uid").unwrap_or_default(),
        ports: each(value, "ports"),
        external_traffic_policy: read(value, "externalTrafficPolicy").unwrap_or_default(),
        sharing_key: read(value, "sharingKey"),
        selector: read(value, "selector").unwrap_or_default(),
        advertisements: each(value, "advertisements"),
    })
}

fn read<T: DeserializeOwned>(value: &Value, field: &str) -> Option<T> {
    T::deserialize(value.get(field)?).ok()
}

fn each<T: DeserializeOwned>(value: &Value, field: &str) -> Vec<T> {
    let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| T::deserialize(item).ok()).collect()
}

#[cfg(test)]
mod tests {
    use ferrolb_core::service::ServiceKey;
    use serde_json::json;

    use super::*;
    use crate::address_claim::AddressClaim;
    use crate::convert::claim;

    fn mk_metadata(name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some("c-1".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn mk_whole() -> Value {
        json!({
            "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
            "metadata": {"name": "192.0.2.7", "uid": "c-1", "resourceVersion": "7"},
            "spec": {
                "address": "192.0.2.7", "pool": "home", "state": "Held", "heldBy": "default/web",
                "stateSince": "2026-01-01T00:00:00Z", "reserved": true,
                "reservedFor": [{"namespace": "default", "name": "web"}],
                "holders": [{
                    "namespace": "default", "name": "web", "uid": "s-1", "sharingKey": "k",
                    "ports": [{"protocol": "TCP", "port": 80}], "advertisements": ["lan"],
                }],
            },
            "status": {"epoch": 3, "owner": {"node": "n1"}, "subnet": "192.0.2.0/24"},
        })
    }

    #[test]
    fn of_a_claim_that_can_be_understood_it_makes_the_same() {
        let whole: AddressClaim = serde_json::from_value(mk_whole()).expect("a claim");
        let made = partial(&mk_metadata("192.0.2.7"), &mk_whole());
        assert_eq!(made, claim::claim(&whole));
    }

    #[test]
    fn one_field_that_means_nothing_costs_only_itself() {
        let broken = json!([{"namespace": "default", "name": "web", "uid": 7, "ports": [7, {"protocol": "TCP", "port": 80}]}, 7]);
        for (field, value) in [
            ("state", json!("Lent")),
            ("stateSince", json!(7)),
            ("heldBy", json!([])),
            ("pool", json!({})),
            ("holders", broken),
        ] {
            let mut raw = mk_whole();
            raw["spec"][field] = value;
            let made = partial(&mk_metadata("192.0.2.7"), &raw).expect("a claim");
            let holders: Vec<_> = made.spec.holders.iter().map(|holder| &holder.service).collect();
            assert_eq!(holders, [&ServiceKey::new("default", "web")], "{field}");
            assert_eq!(made.spec.holders[0].ports.len(), 1, "{field}");
            assert!(made.has_owner, "{field}");
        }
    }

    #[test]
    fn what_may_have_been_meant_as_a_reservation_is_one() {
        let reserved = |value: Value| {
            let raw = json!({"spec": {"reserved": value}});
            partial(&mk_metadata("192.0.2.7"), &raw)
                .expect("a claim")
                .spec
                .reserved
        };
        assert!(reserved(json!("yes")) && reserved(json!(true)));
        assert!(!reserved(json!(false)) && !reserved(Value::Null));
    }

    #[test]
    fn nothing_is_made_of_a_name_that_is_no_address() {
        assert_eq!(partial(&mk_metadata("web"), &mk_whole()), None);
    }
}
