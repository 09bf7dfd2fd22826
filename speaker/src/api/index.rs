//! The last known objects of the four kinds, and the `Facts` that they amount to.
//!
//! The owner of a claim of policy Local cannot be chosen before the endpoints are listed: until
//! then a new one is left out, and holds nothing else up. One that was there before stays, with no
//! endpoint known, which moves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::parse_claim_name;
use ferrolb_core::facts::{Advertisement, ClaimFacts, Facts, NodeFacts};
use ferrolb_core::node::NodeName;
use ferrolb_core::service::{ServiceKey, TrafficPolicy};
use ferrolb_crds::AddressClaim;
use ferrolb_crds::convert::claim;
use ferrolb_runtime::index::{Change, Index, ObjectKey};

use super::endpoints::{SliceFacts, nodes_of};
use super::status::Observed;

/// One change of one of the four kinds.
#[derive(Clone, Debug)]
pub(super) enum ApiEvent {
    Claims(Change<ClaimView>),
    Pools(Change<Vec<Advertisement>>),
    Nodes(Change<NodeFacts>),
    Slices(Change<SliceFacts>),
}

/// What is kept of a claim.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClaimView {
    /// The address, and what is asked of its owner; `None` while silence is asked.
    facts: Option<(IpAddr, ClaimFacts)>,
    /// Its status, for the writer.
    observed: Observed,
}

/// What a change amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Absorbed {
    /// The facts may be others now.
    pub(super) has_changed: bool,
    /// Claims that are new, different or gone, with their status.
    pub(super) claims: Vec<(IpAddr, Option<Observed>)>,
}

/// All that is known from the API server.
#[derive(Debug, Default)]
pub(super) struct ApiIndex {
    claims: Index<ClaimView>,
    pools: Index<Vec<Advertisement>>,
    nodes: Index<NodeFacts>,
    slices: Index<SliceFacts>,
    /// The claims that were in the last facts.
    published: BTreeSet<IpAddr>,
}

/// Reduces a claim.
pub(super) fn claim_view(object: &AddressClaim) -> ClaimView {
    ClaimView {
        facts: claim::claim_facts(object),
        observed: Observed::of(object),
    }
}

// === impl ApiIndex ===

impl ApiIndex {
    /// Takes a change in.
    pub(super) fn absorb(&mut self, event: ApiEvent) -> Absorbed {
        let listed = self.listed();
        let mut claims = Vec::new();
        let is_different = match event {
            ApiEvent::Claims(change) => {
                let different = self.claims.absorb(change);
                claims = different
                    .iter()
                    .filter_map(|difference| self.status(&difference.key))
                    .collect();
                !different.is_empty()
            }
            ApiEvent::Pools(change) => !self.pools.absorb(change).is_empty(),
            ApiEvent::Nodes(change) => !self.nodes.absorb(change).is_empty(),
            ApiEvent::Slices(change) => !self.slices.absorb(change).is_empty(),
        };
        Absorbed {
            has_changed: is_different || self.listed() != listed,
            claims,
        }
    }

    /// Whether endpoints matter at present.
    pub(super) fn needs_slices(&self) -> bool {
        self.claims
            .iter()
            .any(|(_, view)| view.facts.as_ref().is_some_and(|(_, facts)| is_local(facts)))
    }

    /// Forgets the endpoints: nobody watches them any more.
    pub(super) fn forget_slices(&mut self) {
        self.slices = Index::new();
    }

    /// What all of it amounts to, but for the interfaces.
    pub(super) fn facts(&mut self) -> Facts {
        let are_endpoints_known = self.slices.is_listed();
        let claims: BTreeMap<IpAddr, ClaimFacts> = self
            .claims
            .iter()
            .filter_map(|(_, view)| view.facts.as_ref())
            .filter(|(vip, facts)| are_endpoints_known || !is_local(facts) || self.published.contains(vip))
            .cloned()
            .collect();
        self.published = claims.keys().copied().collect();
        let services: BTreeSet<&ServiceKey> = claims.values().flat_map(local_services).collect();
        let local_endpoints = nodes_of(&services, self.slices.iter().map(|(_, slice)| slice));
        Facts {
            complete: self.listed().0,
            claims,
            pools: self
                .pools
                .iter()
                .map(|(key, pool)| (key.name.clone(), pool.clone()))
                .collect(),
            nodes: self
                .nodes
                .iter()
                .map(|(key, node)| (key.name.as_str().into(), node.clone()))
                .collect(),
            local_endpoints,
            interfaces: Vec::new(),
            away: Vec::new(),
        }
    }

    /// The nodes that claims name as their owner, held claims or not.
    pub(super) fn named_owners(&self) -> BTreeMap<IpAddr, NodeName> {
        let named = |(key, view): (&ObjectKey, &ClaimView)| {
            let owner = view.observed.owner_node()?.clone();
            Some((parse_claim_name(&key.name)?, owner))
        };
        self.claims.iter().filter_map(named).collect()
    }

    /// How many objects of each kind are known, for the debug page.
    pub(super) fn counts(&self) -> [(&'static str, usize); 4] {
        [
            ("addressclaims", self.claims.len()),
            ("addresspools", self.pools.len()),
            ("nodes", self.nodes.len()),
            ("endpointslices", self.slices.len()),
        ]
    }

    /// Whether all kinds that always matter are listed, and whether endpoints are.
    fn listed(&self) -> (bool, bool) {
        let complete = self.claims.is_listed() && self.pools.is_listed() && self.nodes.is_listed();
        (complete, self.slices.is_listed())
    }

    fn status(&self, key: &ObjectKey) -> Option<(IpAddr, Option<Observed>)> {
        let vip = parse_claim_name(&key.name)?;
        Some((vip, self.claims.get(key).map(|view| view.observed.clone())))
    }
}

fn is_local(facts: &ClaimFacts) -> bool {
    local_services(facts).next().is_some()
}

fn local_services(facts: &ClaimFacts) -> impl Iterator<Item = &ServiceKey> {
    facts
        .holders
        .iter()
        .filter(|holder| holder.traffic_policy == TrafficPolicy::Local)
        .map(|holder| &holder.service)
}

#[cfg(test)]
mod tests;
