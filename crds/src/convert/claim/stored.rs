//! A claim as the controller reads and writes it.

use std::net::IpAddr;

use ferrolb_core::address::claim_name;
use ferrolb_core::{claim as core, subnet};

use super::address;
use crate::address_claim::{AddressClaim, AddressClaimSpec, ClaimHolder, ClaimState};
use crate::annotation::POOL_LABEL;
use crate::convert::time::{api_time, timestamp};

/// A claim as the allocator sees it; `None` when its name is not its address.
pub fn claim(object: &AddressClaim) -> Option<core::Claim> {
    let address = address(object)?;
    let status = object.status.as_ref();
    let subnet = status.and_then(|status| status.subnet.as_deref());
    Some(core::Claim {
        uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
        resource_version: object
            .metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
            .into(),
        spec: core_spec(address, &object.spec),
        has_owner: status.is_some_and(|status| status.owner.is_some()),
        subnet: subnet.and_then(|text| subnet::parse(text, address)),
    })
}

/// The object that stands for a new claim.
pub fn new_claim(spec: &core::ClaimSpec) -> AddressClaim {
    let mut object = AddressClaim::new(&claim_name(spec.address), api_spec(spec));
    object.metadata.labels = spec
        .pool
        .as_ref()
        .map(|pool| [(POOL_LABEL.to_owned(), pool.to_string())].into());
    object
}

/// The API form of what the controller writes into a claim.
pub fn api_spec(spec: &core::ClaimSpec) -> AddressClaimSpec {
    let core::ClaimSpec {
        address,
        reserved,
        reserved_for,
        pool,
        state,
        state_since,
        held_by,
        last_holder,
        holders,
    } = spec;
    AddressClaimSpec {
        address: address.to_string(),
        reserved: *reserved,
        reserved_for: reserved_for.iter().cloned().map(Into::into).collect(),
        pool: pool.as_ref().map(ToString::to_string),
        state: state.map(api_state),
        state_since: state_since.map(api_time),
        held_by: held_by.clone(),
        last_holder: last_holder.clone().map(Into::into),
        holders: holders.iter().map(api_holder).collect(),
    }
}

pub(super) fn core_spec(address: IpAddr, spec: &AddressClaimSpec) -> core::ClaimSpec {
    let AddressClaimSpec {
        address: _,
        reserved,
        reserved_for,
        pool,
        state,
        state_since,
        held_by,
        last_holder,
        holders,
    } = spec;
    core::ClaimSpec {
        address,
        reserved: *reserved,
        reserved_for: reserved_for.iter().map(Into::into).collect(),
        pool: pool.as_deref().map(Into::into),
        state: state.map(core_state),
        state_since: state_since.as_ref().map(timestamp),
        held_by: held_by.clone(),
        last_holder: last_holder.as_ref().map(Into::into),
        holders: holders.iter().map(core_holder).collect(),
    }
}

fn core_holder(holder: &ClaimHolder) -> core::Holder {
    core::Holder {
        service: holder.key(),
        uid: holder.uid.as_str().into(),
        ports: holder
            .ports
            .iter()
            .filter_map(|port| port.to_service_port())
            .collect(),
        traffic_policy: holder.external_traffic_policy.into(),
        sharing_key: holder.sharing_key.clone(),
        selector: holder.selector.clone(),
        advertisements: holder.advertisements.clone(),
    }
}

fn api_holder(holder: &core::Holder) -> ClaimHolder {
    let core::Holder {
        service,
        uid,
        ports,
        traffic_policy,
        sharing_key,
        selector,
        advertisements,
    } = holder;
    ClaimHolder {
        namespace: service.namespace.to_string(),
        name: service.name.to_string(),
        uid: uid.as_str().to_owned(),
        ports: ports.iter().copied().map(Into::into).collect(),
        external_traffic_policy: (*traffic_policy).into(),
        sharing_key: sharing_key.clone(),
        selector: selector.clone(),
        advertisements: advertisements.clone(),
    }
}

fn core_state(state: ClaimState) -> core::ClaimState {
    match state {
        ClaimState::Held => core::ClaimState::Held,
        ClaimState::Releasing => core::ClaimState::Releasing,
        ClaimState::Quarantined => core::ClaimState::Quarantined,
    }
}

fn api_state(state: core::ClaimState) -> ClaimState {
    match state {
        core::ClaimState::Held => ClaimState::Held,
        core::ClaimState::Releasing => ClaimState::Releasing,
        core::ClaimState::Quarantined => ClaimState::Quarantined,
    }
}

#[cfg(test)]
mod tests {
    use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};

    use super::*;

    #[test]
    fn what_the_controller_writes_is_read_back_unchanged() {
        let spec = core::ClaimSpec {
            address: "2001:db8::1".parse().expect("an address"),
            reserved: true,
            reserved_for: vec![ServiceKey::new("default", "web")],
            pool: Some("home".into()),
            state: Some(core::ClaimState::Releasing),
            state_since: Some(ferrolb_core::time::Timestamp(1_800_000_000)),
            held_by: Some("default/web".to_owned()),
            last_holder: Some(ServiceKey::new("default", "old")),
            holders: vec![core::Holder {
                service: ServiceKey::new("default", "web"),
                uid: "u1".into(),
                ports: vec![ServicePort {
                    protocol: Protocol::Udp,
                    port: 65535,
                }],
                traffic_policy: TrafficPolicy::Local,
                sharing_key: Some("k".to_owned()),
                selector: [("app".to_owned(), "web".to_owned())].into(),
                advertisements: vec!["lan".to_owned()],
            }],
        };
        let object = new_claim(&spec);
        assert_eq!(
            object.metadata.name.as_deref(),
            Some("2001-0db8-0000-0000-0000-0000-0000-0001")
        );
        assert_eq!(
            object.metadata.labels,
            Some([(POOL_LABEL.to_owned(), "home".to_owned())].into())
        );
        assert_eq!(claim(&object).expect("a claim").spec, spec);
    }
}
