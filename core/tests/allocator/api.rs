//! An API server in memory, with the rules that matter: unique names, versions that a write must
//! name, one revision counter, watches by revision, and writes that change nothing and therefore
//! count for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use ferrolb_core::allocator::{Call, Event, FinalizerEdit, Outcome, PoolPatch, ServicePatch, Stored};
use ferrolb_core::claim::{Claim, ClaimSpec};
use ferrolb_core::object::{ResourceVersion, Uid};
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::request::{Eligibility, Ingress, Service};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::ServiceKey;
use ferrolb_core::time::Timestamp;

/// The server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Api {
    pub(crate) objects: Objects,
    /// Everything that the watches show, in order.
    pub(crate) log: Vec<Event>,
    /// Calls of controllers that changed something, as text.
    pub(crate) writes: Vec<String>,
    revision: u64,
    identities: u64,
}

/// Everything that is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) nodes: BTreeMap<String, BTreeSet<IpAddr>>,
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    pub(crate) claims: BTreeMap<IpAddr, Claim>,
    /// Services that are deleted, and stay until nothing keeps them.
    pub(crate) terminating: BTreeSet<ServiceKey>,
}

// === impl Api ===

impl Deref for Api {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl DerefMut for Api {
    fn deref_mut(&mut self) -> &mut Objects {
        &mut self.objects
    }
}

impl Api {
    fn next_version(&mut self) -> ResourceVersion {
        self.revision += 1;
        ResourceVersion::from(self.revision.to_string().as_str())
    }

    fn next_uid(&mut self) -> Uid {
        self.identities += 1;
        Uid::from(format!("uid-{}", self.identities).as_str())
    }

    // What people and machines other than ours do.

    pub(crate) fn create_service(&mut self, mut service: Service) {
        self.revision += 1;
        // Younger than everything before it, so that "oldest first" has one meaning.
        let created = i64::try_from(self.revision).expect("small");
        service.created = Timestamp(created);
        self.restore_service(service);
    }

    /// Creates a Service that is as old as it says.
    pub(crate) fn restore_service(&mut self, mut service: Service) {
        service.uid = self.next_uid();
        service.resource_version = self.next_version();
        assert!(
            !self.services.contains_key(&service.key),
            "{} exists already",
            service.key
        );
        self.services.insert(service.key.clone(), service.clone());
        if service.request.eligibility != Eligibility::NotLoadBalancer {
            self.log.push(Event::ServiceApplied(service));
        }
    }

    pub(crate) fn edit_service(&mut self, key: &ServiceKey, edit: impl FnOnce(&mut Service)) {
        let version = self.next_version();
        let service = self.services.get_mut(key).expect("the service exists");
        let before = service.request.eligibility;
        edit(service);
        service.resource_version = version;
        let is_watched = service.request.eligibility != Eligibility::NotLoadBalancer;
        if !is_watched {
            // As the real one does when the type changes: the addresses go, conditions stay.
            service.status.ingress.clear();
        }
        if is_watched {
            let event = Event::ServiceApplied(service.clone());
            self.log.push(event);
        } else if before != Eligibility::NotLoadBalancer {
            self.log.push(Event::ServiceDeleted(key.clone()));
        }
    }

    /// Deletes a Service, at once or as soon as its finalizer is off.
    pub(crate) fn delete_service(&mut self, key: &ServiceKey) {
        if self.services[key].status.has_finalizer {
            if self.terminating.insert(key.clone()) {
                self.edit_service(key, |service| {
                    if service.request.eligibility == Eligibility::Eligible {
                        service.request.eligibility = Eligibility::Deleting;
                    }
                });
            }
            return;
        }
        self.revision += 1;
        self.terminating.remove(key);
        let service = self.services.remove(key).expect("the service exists");
        if service.request.eligibility != Eligibility::NotLoadBalancer {
            self.log.push(Event::ServiceDeleted(key.clone()));
        }
    }

    /// Creates a namespace, or labels it anew.
    pub(crate) fn label_namespace(&mut self, name: &str, labels: Labels) {
        self.revision += 1;
        self.namespaces.insert(name.to_owned(), labels.clone());
        self.log.push(Event::NamespaceApplied(name.to_owned(), labels));
    }

    /// A Node joins, with these addresses, or leaves.
    pub(crate) fn set_node(&mut self, name: &str, addresses: Option<BTreeSet<IpAddr>>) {
        self.revision += 1;
        let event = match addresses {
            Some(addresses) => {
                self.nodes.insert(name.to_owned(), addresses.clone());
                Event::NodeApplied(name.to_owned(), addresses)
            }
            None => {
                self.nodes.remove(name);
                Event::NodeDeleted(name.to_owned())
            }
        };
        self.log.push(event);
    }

    /// Creates a pool, or changes what a person writes of it.
    pub(crate) fn put_pool(&mut self, mut pool: Pool) {
        let version = self.next_version();
        match self.pools.get(&pool.name) {
            Some(old) => {
                pool.uid = old.uid.clone();
                pool.created = old.created;
                pool.status.clone_from(&old.status);
            }
            None => {
                pool.uid = self.next_uid();
                pool.created = Timestamp(i64::try_from(self.revision).expect("small"));
            }
        }
        pool.resource_version = version;
        self.store_pool(pool);
    }

    pub(crate) fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut Pool)) {
        let mut pool = self.pools.get(name).expect("the pool exists").clone();
        edit(&mut pool);
        self.put_pool(pool);
    }

    pub(crate) fn delete_pool(&mut self, name: &str) {
        self.revision += 1;
        let (name, _) = self.pools.remove_entry(name).expect("the pool exists");
        self.log.push(Event::PoolDeleted(name));
    }

    /// What a speaker reports, or a person edits.
    pub(crate) fn edit_claim(&mut self, address: IpAddr, edit: impl FnOnce(&mut Claim)) {
        let mut claim = self.claims.get(&address).expect("the claim exists").clone();
        edit(&mut claim);
        self.store_claim(claim);
    }

    pub(crate) fn remove_claim(&mut self, address: IpAddr) {
        self.revision += 1;
        let claim = self.claims.remove(&address).expect("the claim exists");
        self.log.push(Event::ClaimDeleted {
            address,
            uid: Some(claim.uid),
        });
    }

    pub(crate) fn create_claim(&mut self, spec: ClaimSpec) {
        let claim = Claim {
            uid: self.next_uid(),
            resource_version: ResourceVersion::from(""),
            spec,
            has_owner: false,
            subnet: None,
        };
        self.store_claim(claim);
    }

    // What our controllers call.

    /// Does what a call asks for, if the rules allow it.
    pub(crate) fn perform(&mut self, call: &Call) -> Outcome {
        let before = self.log.len();
        let outcome = match call {
            Call::CreateClaim(spec) => {
                if self.claims.contains_key(&spec.address) {
                    return Outcome::AlreadyExists;
                }
                self.create_claim(spec.clone());
                self.read_claim(spec.address)
            }
            Call::UpdateClaim {
                resource_version,
                spec,
            } => self.update_claim(resource_version, spec),
            Call::DeleteClaim {
                address,
                uid,
                resource_version,
            } => match self.claims.get(address) {
                None => Outcome::NotFound,
                Some(claim) if claim.uid != *uid || claim.resource_version != *resource_version => {
                    Outcome::Conflict
                }
                Some(_) => {
                    self.remove_claim(*address);
                    done(Stored::Nothing)
                }
            },
            Call::ReadClaim(address) => self.read_claim(*address),
            Call::ReadService(key) => match self.services.get(key) {
                None => Outcome::NotFound,
                Some(service) => done(Stored::Service(service.clone())),
            },
            Call::FindLeftovers => {
                let is_left = |service: &&Service| {
                    service.request.eligibility == Eligibility::NotLoadBalancer && service.carries_marks()
                };
                let left = self.services.values().filter(is_left);
                done(Stored::Leftovers(
                    left.map(|service| service.key.clone()).collect(),
                ))
            }
            Call::PatchService(patch) => self.patch_service(patch),
            Call::PatchPool(patch) => self.patch_pool(patch),
        };
        if self.log.len() > before || self.is_silent_write(call, &outcome) {
            self.writes.push(format!("{call:?}"));
        }
        outcome
    }

    /// A patch of a Service that no watch shows.
    fn is_silent_write(&self, call: &Call, outcome: &Outcome) -> bool {
        let Call::PatchService(patch) = call else {
            return false;
        };
        let is_unwatched = self
            .services
            .get(&patch.key)
            .is_some_and(|service| service.request.eligibility == Eligibility::NotLoadBalancer);
        is_unwatched && matches!(outcome, Outcome::Done(_))
    }

    fn read_claim(&self, address: IpAddr) -> Outcome {
        match self.claims.get(&address) {
            None => Outcome::NotFound,
            Some(claim) => done(Stored::Claim(claim.clone())),
        }
    }

    fn update_claim(&mut self, version: &ResourceVersion, spec: &ClaimSpec) -> Outcome {
        let Some(claim) = self.claims.get(&spec.address) else {
            return Outcome::NotFound;
        };
        if claim.resource_version != *version {
            return Outcome::Conflict;
        }
        let mut claim = claim.clone();
        // The patch does not mention what a person reserves.
        claim.spec = ClaimSpec {
            reserved: claim.spec.reserved,
            reserved_for: claim.spec.reserved_for,
            ..spec.clone()
        };
        self.store_claim(claim);
        self.read_claim(spec.address)
    }

    fn patch_service(&mut self, patch: &ServicePatch) -> Outcome {
        let Some(service) = self.services.get(&patch.key) else {
            return Outcome::NotFound;
        };
        if service.uid != patch.uid || service.resource_version != patch.resource_version {
            return Outcome::Conflict;
        }
        let is_load_balancer = service.request.eligibility != Eligibility::NotLoadBalancer;
        if !is_load_balancer && patch.ingress.as_ref().is_some_and(|ingress| !ingress.is_empty()) {
            return Outcome::Rejected("status.loadBalancer is only for type LoadBalancer".to_owned());
        }
        let mut status = service.status.clone();
        if let Some(ingress) = &patch.ingress {
            status.ingress = ingress.iter().copied().map(Ingress::vip).collect();
        }
        status.condition.clone_from(&patch.condition);
        status.allocated_from.clone_from(&patch.allocated_from);
        match patch.finalizer {
            FinalizerEdit::Keep => {}
            FinalizerEdit::Add if self.terminating.contains(&patch.key) => {
                return Outcome::Rejected(
                    "no new finalizers can be added if the object is being deleted".to_owned(),
                );
            }
            FinalizerEdit::Add => status.has_finalizer = true,
            FinalizerEdit::Remove => status.has_finalizer = false,
        }
        if status != service.status {
            self.edit_service(&patch.key, |service| service.status = status);
        }
        let stored = done(Stored::Service(self.services[&patch.key].clone()));
        if self.terminating.contains(&patch.key) && !self.services[&patch.key].status.has_finalizer {
            self.delete_service(&patch.key);
        }
        stored
    }

    fn patch_pool(&mut self, patch: &PoolPatch) -> Outcome {
        let Some(pool) = self.pools.get(&patch.name) else {
            return Outcome::NotFound;
        };
        if pool.uid != patch.uid {
            return Outcome::Conflict;
        }
        let mut pool = pool.clone();
        if pool.status.as_ref() != Some(&patch.status) {
            pool.status = Some(patch.status.clone());
            pool.resource_version = self.next_version();
            self.store_pool(pool);
        }
        done(Stored::Pool(self.pools[&patch.name].clone()))
    }

    fn store_pool(&mut self, pool: Pool) {
        self.log.push(Event::PoolApplied(pool.clone()));
        self.pools.insert(pool.name.clone(), pool);
    }

    fn store_claim(&mut self, mut claim: Claim) {
        claim.resource_version = self.next_version();
        self.log.push(Event::ClaimApplied(claim.clone()));
        self.claims.insert(claim.spec.address, claim);
    }

    /// Everything as a fresh list shows it.
    pub(crate) fn list(&self) -> Vec<Event> {
        let services = self
            .services
            .values()
            .filter(|service| service.request.eligibility != Eligibility::NotLoadBalancer)
            .cloned()
            .map(Event::ServiceApplied);
        let namespaces = self.namespaces.iter();
        let namespaces =
            namespaces.map(|(name, labels)| Event::NamespaceApplied(name.clone(), labels.clone()));
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(name, addresses)| Event::NodeApplied(name.clone(), addresses.clone()));
        let pools = self.pools.values().cloned().map(Event::PoolApplied);
        let claims = self.claims.values().cloned().map(Event::ClaimApplied);
        claims
            .chain(namespaces)
            .chain(nodes)
            .chain(pools)
            .chain(services)
            .collect()
    }

    /// The addresses that a Service shows, as text.
    pub(crate) fn shown(&self, key: &ServiceKey) -> Vec<String> {
        let service = &self.services[key];
        let shown = service.status.ingress.iter().filter_map(|entry| entry.address);
        shown.map(|address| address.to_string()).collect()
    }

    /// The status of a Service's condition and its reason.
    pub(crate) fn condition(&self, key: &ServiceKey) -> Option<(bool, String)> {
        let condition = self.services[key].status.condition.as_ref()?;
        Some((condition.status, condition.reason.clone()))
    }
}

fn done(stored: Stored) -> Outcome {
    Outcome::Done(Box::new(stored))
}
