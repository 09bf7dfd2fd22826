//! What the watches show, and how it reaches an allocator: change by change while there is one,
//! everything at once when a new one begins.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ferrolb_core::address::{claim_name, parse_claim_name};
use ferrolb_core::allocator::Event;
use ferrolb_core::claim::Claim;
use ferrolb_core::pool::Pool;
use ferrolb_core::request::{Eligibility, Service};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::ServiceKey;
use ferrolb_runtime::index::{Change, Difference, Index, ObjectKey};

use crate::project::KnownService;

/// One change in what a watch shows.
#[derive(Debug)]
pub enum Input {
    /// Of a Service.
    Service(Change<KnownService>),
    /// Of a namespace's labels.
    Namespace(Change<Labels>),
    /// Of a Node's own addresses.
    Node(Change<BTreeSet<IpAddr>>),
    /// Of a pool.
    Pool(Change<Pool>),
    /// Of a claim; `None` is one whose name is not its address, which nobody can make.
    Claim(Change<Option<Claim>>),
}

/// The last known objects, reduced. A standby keeps them warm.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) services: Index<KnownService>,
    pub(super) namespaces: Index<Labels>,
    pub(super) nodes: Index<BTreeSet<IpAddr>>,
    pub(super) pools: Index<Pool>,
    pub(super) claims: Index<Option<Claim>>,
}

// === impl World ===

impl World {
    /// Takes in a change, and tells what an allocator should hear of it.
    pub(super) fn absorb(&mut self, input: Input) -> Vec<Event> {
        match input {
            Input::Service(change) => {
                let different = self.services.absorb(change);
                different
                    .into_iter()
                    .map(|Difference { key, .. }| service_event(&self.services, &key))
                    .collect()
            }
            Input::Namespace(change) => {
                let different = self.namespaces.absorb(change);
                different
                    .into_iter()
                    .map(|Difference { key, .. }| namespace_event(&self.namespaces, key))
                    .collect()
            }
            Input::Node(change) => {
                let different = self.nodes.absorb(change);
                different
                    .into_iter()
                    .map(|Difference { key, .. }| node_event(&self.nodes, key))
                    .collect()
            }
            Input::Pool(change) => {
                let different = self.pools.absorb(change);
                different
                    .into_iter()
                    .map(|Difference { key, .. }| pool_event(&self.pools, &key))
                    .collect()
            }
            Input::Claim(change) => {
                let different = self.claims.absorb(change);
                different
                    .into_iter()
                    .filter_map(|difference| claim_event(&self.claims, &difference))
                    .collect()
            }
        }
    }

    /// Whether every list has been complete once.
    pub(super) fn is_listed(&self) -> bool {
        self.services.is_listed()
            && self.namespaces.is_listed()
            && self.nodes.is_listed()
            && self.pools.is_listed()
            && self.claims.is_listed()
    }

    /// The class of a Service that is left alone because of it; `None` when it is not.
    pub(super) fn foreign_class(&self, service: &Service) -> Option<Option<&String>> {
        let key = ObjectKey::namespaced(&*service.key.namespace, &*service.key.name);
        let is_foreign = service.request.eligibility == Eligibility::ForeignClass;
        let known = self.services.get(&key).filter(|_| is_foreign)?;
        Some(known.class.as_ref())
    }

    /// Whether a claim of an address is known.
    pub(super) fn has_claim(&self, address: IpAddr) -> bool {
        let key = ObjectKey::cluster(claim_name(address));
        self.claims.get(&key).is_some_and(Option::is_some)
    }

    /// Everything that is known, as a new allocator should hear it.
    pub(super) fn everything(&self) -> impl Iterator<Item = Event> {
        let pools = self
            .pools
            .iter()
            .map(|(_, pool)| Event::PoolApplied(pool.clone()));
        let namespaces = self
            .namespaces
            .iter()
            .map(|(key, labels)| Event::NamespaceApplied(key.name.clone(), labels.clone()));
        let nodes = self
            .nodes
            .iter()
            .map(|(key, addresses)| Event::NodeApplied(key.name.clone(), addresses.clone()));
        let claims = self
            .claims
            .iter()
            .filter_map(|(_, claim)| claim.clone().map(Event::ClaimApplied));
        let services = self
            .services
            .iter()
            .map(|(_, known)| Event::ServiceApplied(known.service.clone()));
        namespaces.chain(nodes).chain(pools).chain(claims).chain(services)
    }
}

fn service_event(services: &Index<KnownService>, key: &ObjectKey) -> Event {
    services.get(key).map_or_else(
        || Event::ServiceDeleted(ServiceKey::new(key.namespace.clone(), key.name.clone())),
        |known| Event::ServiceApplied(known.service.clone()),
    )
}

fn namespace_event(namespaces: &Index<Labels>, key: ObjectKey) -> Event {
    match namespaces.get(&key) {
        Some(labels) => Event::NamespaceApplied(key.name, labels.clone()),
        None => Event::NamespaceDeleted(key.name),
    }
}

fn node_event(nodes: &Index<BTreeSet<IpAddr>>, key: ObjectKey) -> Event {
    match nodes.get(&key) {
        Some(addresses) => Event::NodeApplied(key.name, addresses.clone()),
        None => Event::NodeDeleted(key.name),
    }
}

fn pool_event(pools: &Index<Pool>, key: &ObjectKey) -> Event {
    pools.get(key).map_or_else(
        || Event::PoolDeleted(key.name.as_str().into()),
        |pool| Event::PoolApplied(pool.clone()),
    )
}

fn claim_event(claims: &Index<Option<Claim>>, difference: &Difference<Option<Claim>>) -> Option<Event> {
    if let Some(Some(claim)) = claims.get(&difference.key) {
        return Some(Event::ClaimApplied(claim.clone()));
    }
    Some(Event::ClaimDeleted {
        address: parse_claim_name(&difference.key.name)?,
        uid: difference
            .before
            .as_ref()?
            .as_ref()
            .map(|claim| claim.uid.clone()),
    })
}
