//! A claim as a speaker sees it.

use std::net::IpAddr;

use ferrolb_core::facts::{ClaimFacts, HolderFacts};

use super::address;
use crate::address_claim::{AddressClaim, ClaimHolder, ClaimState};

/// What a claim asks of the speakers; `None` when it asks for silence: nobody holds it, or it is
/// being released.
pub fn claim_facts(claim: &AddressClaim) -> Option<(IpAddr, ClaimFacts)> {
    let address = address(claim)?;
    let is_held = match claim.spec.state {
        Some(ClaimState::Held) | None => !claim.spec.holders.is_empty(),
        Some(ClaimState::Releasing | ClaimState::Quarantined) => false,
    };
    if !is_held {
        return None;
    }
    let status = claim.status.as_ref();
    let facts = ClaimFacts {
        version: version(claim),
        pool: claim.spec.pool.clone().unwrap_or_default(),
        holders: claim.spec.holders.iter().map(holder_facts).collect(),
        status_epoch: status_epoch(claim),
        status_owner: status
            .and_then(|status| status.owner.as_ref())
            .map(|owner| owner.node.as_str().into()),
    };
    Some((address, facts))
}

/// `status.epoch`, zero while nobody has owned the address.
pub fn status_epoch(claim: &AddressClaim) -> u64 {
    let epoch = claim.status.as_ref().and_then(|status| status.epoch);
    epoch.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0)
}

/// `metadata.resourceVersion` as a number, which it is in every API server there is; 0 otherwise.
fn version(claim: &AddressClaim) -> u64 {
    let version = claim.metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn holder_facts(holder: &ClaimHolder) -> HolderFacts {
    HolderFacts {
        service: holder.key(),
        traffic_policy: holder.external_traffic_policy.into(),
        advertisements: holder.advertisements.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ferrolb_core::service::{ServiceKey, TrafficPolicy};
    use serde_json::json;

    use super::*;

    fn mk_claim(state: &str) -> AddressClaim {
        serde_json::from_value(json!({
            "apiVersion": "ferrolb.io/v1alpha1",
            "kind": "AddressClaim",
            "metadata": {"name": "192.0.2.200", "resourceVersion": "41"},
            "spec": {
                "address": "192.0.2.200",
                "pool": "home",
                "state": state,
                "holders": [{
                    "namespace": "default", "name": "web", "uid": "u1",
                    "ports": [{"protocol": "TCP", "port": 80}],
                    "externalTrafficPolicy": "Local",
                    "advertisements": ["lan"],
                }],
            },
            "status": {"epoch": 7, "owner": {"node": "n2"}},
        }))
        .expect("a claim")
    }

    #[test]
    fn a_held_claim_is_to_be_announced() {
        let expected = ClaimFacts {
            version: 41,
            pool: "home".to_owned(),
            holders: vec![HolderFacts {
                service: ServiceKey::new("default", "web"),
                traffic_policy: TrafficPolicy::Local,
                advertisements: vec!["lan".to_owned()],
            }],
            status_epoch: 7,
            status_owner: Some("n2".into()),
        };
        let address: IpAddr = "192.0.2.200".parse().expect("an address");
        assert_eq!(claim_facts(&mk_claim("Held")), Some((address, expected)));
    }

    #[test]
    fn sharers_are_all_told_to_the_speakers() {
        let mut claim = mk_claim("Held");
        let mut other = claim.spec.holders[0].clone();
        other.name = "api".to_owned();
        other.external_traffic_policy = crate::address_claim::ClaimTrafficPolicy::Cluster;
        other.advertisements = vec!["dmz".to_owned()];
        claim.spec.holders.push(other);
        let (_, facts) = claim_facts(&claim).expect("it is held");
        let told: Vec<_> = facts
            .holders
            .iter()
            .map(|holder| {
                let advertisements = holder.advertisements.join(" ");
                (holder.service.to_string(), holder.traffic_policy, advertisements)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("default/web".to_owned(), TrafficPolicy::Local, "lan".to_owned()),
                ("default/api".to_owned(), TrafficPolicy::Cluster, "dmz".to_owned()),
            ]
        );
    }

    #[test]
    fn a_claim_that_is_released_or_rests_is_silent() {
        assert_eq!(claim_facts(&mk_claim("Releasing")), None);
        assert_eq!(claim_facts(&mk_claim("Quarantined")), None);
    }

    #[test]
    fn a_claim_without_holders_is_silent() {
        let mut claim = mk_claim("Held");
        claim.spec.holders.clear();
        assert_eq!(claim_facts(&claim), None);
    }

    #[test]
    fn a_claim_whose_name_is_another_address_is_nobodys() {
        let mut claim = mk_claim("Held");
        claim.metadata.name = Some("192.0.2.201".to_owned());
        assert_eq!(claim_facts(&claim), None);
    }
}
