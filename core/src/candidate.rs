//! Who may own a VIP: the rules of candidacy, as one question with one answer.
//!
//! A member alone judges itself ([`Judge::interfaces_of`] with its own interfaces); what others
//! think of it ranks candidates and chooses targets of handovers, and never takes a VIP from a live
//! owner. Readiness and draining are the ownership machine's to know and are asked there; liveness
//! is told here, because policy Local asks for an endpoint only while a live member hosts one: else
//! the proxy of any node refuses quickly, which beats silence.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::facts::{Advertisement, ClaimFacts, Facts, NodeFacts};
use crate::interface::{IfIndex, Links};
use crate::node::NodeName;
use crate::pattern;
use crate::reason::Withheld;
use crate::service::TrafficPolicy;

/// Keeps a node's address out of load balancers; Kubernetes' own label.
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The facts, ready to be asked about many VIPs.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a, L> {
    facts: &'a Facts,
    /// Whether a member is live.
    is_live: L,
    /// Every Node carries the label, as on a cluster of one kubeadm node: then it says nothing.
    is_exclusion_ignored: bool,
}

// === impl Judge ===

impl<'a, L: Fn(&NodeName) -> bool> Judge<'a, L> {
    /// Prepares facts for questions; `is_live` says whether a member is live.
    pub fn new(facts: &'a Facts, is_live: L) -> Self {
        Self {
            facts,
            is_live,
            is_exclusion_ignored: facts.nodes.values().all(is_excluded),
        }
    }

    /// Whether the exclude label is ignored because every Node carries it.
    pub fn is_exclusion_ignored(&self) -> bool {
        self.is_exclusion_ignored && !self.facts.nodes.is_empty()
    }

    /// Where a node may announce a VIP, given its links; never empty.
    ///
    /// # Errors
    ///
    /// Why the node is no candidate.
    pub fn interfaces_of(
        &self,
        vip: IpAddr,
        node: &NodeName,
        links: Links<'_>,
    ) -> Result<BTreeSet<IfIndex>, Withheld> {
        let claim = self.facts.claims.get(&vip).ok_or(Withheld::NoHolder)?;
        let allowed = self.allowed(vip, claim, node, links)?;
        let local = claim
            .holders
            .iter()
            .filter(|holder| holder.traffic_policy == TrafficPolicy::Local);
        for holder in local {
            let hosts = self.facts.hosts_of(&holder.service, vip);
            let hosts = hosts.filter(|hosts| hosts.iter().any(&self.is_live));
            if hosts.is_some_and(|hosts| !hosts.contains(node)) {
                return Err(Withheld::NoLocalEndpoint);
            }
        }
        Ok(allowed)
    }

    /// Where the node's advertisements allow the VIP, endpoints aside.
    fn allowed(
        &self,
        vip: IpAddr,
        claim: &ClaimFacts,
        node: &NodeName,
        links: Links<'_>,
    ) -> Result<BTreeSet<IfIndex>, Withheld> {
        let facts = self.facts.nodes.get(node).ok_or(Withheld::NodeUnknown)?;
        if is_excluded(facts) && !self.is_exclusion_ignored {
            return Err(Withheld::NodeExcluded);
        }
        if facts.network_unavailable {
            return Err(Withheld::NetworkUnavailable);
        }
        let advertisements = self.advertisements_of(claim);
        if advertisements.is_empty() {
            return Err(Withheld::NoAdvertisement);
        }
        let (selecting, others): (Vec<_>, Vec<_>) = advertisements
            .into_iter()
            .partition(|advertisement| selects(advertisement, facts));
        if selecting.is_empty() {
            return Err(if others.iter().any(|advertisement| is_invalid(advertisement)) {
                Withheld::InvalidSelector
            } else {
                Withheld::NodeNotSelected
            });
        }
        let allowed: BTreeSet<_> = selecting
            .iter()
            .flat_map(|advertisement| pattern::allowed_interfaces(&advertisement.interfaces, vip, links))
            .collect();
        if allowed.is_empty() {
            return Err(Withheld::NoInterface);
        }
        Ok(allowed)
    }

    /// The advertisements that apply to any holder of the claim.
    fn advertisements_of(&self, claim: &ClaimFacts) -> Vec<&'a Advertisement> {
        let Some(pool) = self.facts.pools.get(&claim.pool) else {
            return Vec::new();
        };
        pool.iter()
            .filter(|advertisement| {
                claim
                    .holders
                    .iter()
                    .any(|holder| holder.advertisements.contains(&advertisement.name))
            })
            .collect()
    }
}

fn is_excluded(node: &NodeFacts) -> bool {
    node.labels.contains_key(EXCLUDE_LABEL)
}

fn selects(advertisement: &Advertisement, node: &NodeFacts) -> bool {
    advertisement.node_selectors.is_empty()
        || advertisement
            .node_selectors
            .iter()
            .any(|selector| selector.matches(&node.labels))
}

fn is_invalid(advertisement: &Advertisement) -> bool {
    advertisement
        .node_selectors
        .iter()
        .any(|selector| !selector.is_valid())
}

#[cfg(test)]
mod tests;
