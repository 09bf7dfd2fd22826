//! Carries out one call of the allocator and says what became of it. Decides nothing, and never
//! tries twice: what to do next is the allocator's business.

use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::address::claim_name;
use ferrolb_core::allocator::{Call, Outcome, PoolPatch, ServicePatch, Stored};
use ferrolb_core::claim::ClaimSpec;
use ferrolb_core::object::{ResourceVersion, Uid};
use ferrolb_core::request;
use ferrolb_core::service::ServiceKey;
use ferrolb_crds::convert::claim;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_runtime::reading::Reading;
use ferrolb_runtime::trouble::{Reason, Trouble};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Error, Resource};
use serde_json::Value;
use tokio::time::timeout;
use tracing::debug;

use crate::patch::{self, FIELD_MANAGER};
use crate::project::{self, Classes};

/// A call that takes longer has an unknown outcome. The client gives up on silence sooner; this
/// bounds an answer that trickles.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How many Services of other types are read at a time: few enough to be no peak in memory.
const PAGE: u32 = 100;

/// Talks to the API server for the allocator. Clones share the connections.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    classes: Classes,
}

// === impl Executor ===

impl Executor {
    /// An executor that projects Services by these classes.
    pub fn new(client: Client, classes: Classes) -> Self {
        Self { client, classes }
    }

    /// The classes by which it projects.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Makes one call. Cancel safe in the sense that a canceled write may or may not land, like
    /// one without an answer.
    pub async fn call(&self, call: Call) -> Outcome {
        let is_creation = matches!(call, Call::CreateClaim(_));
        let made = timeout(CALL_TIMEOUT, self.make(call)).await;
        let trouble = match made {
            Ok(Ok(stored)) => return Outcome::Done(Box::new(stored)),
            Ok(Err(error)) => Trouble::of(&error),
            Err(_) => Trouble::timed_out(),
        };
        debug!(
            reason = trouble.reason.as_str(),
            error = trouble.sentence,
            "Call failed"
        );
        outcome(trouble, is_creation)
    }

    async fn make(&self, call: Call) -> Result<Stored, Error> {
        match call {
            Call::CreateClaim(spec) => self.create_claim(&spec).await,
            Call::UpdateClaim {
                resource_version,
                spec,
            } => self.update_claim(&resource_version, &spec).await,
            Call::DeleteClaim {
                address,
                uid,
                resource_version,
            } => self.delete_claim(address, &uid, &resource_version).await,
            Call::ReadClaim(address) => {
                let read = self.claims().get_opt(&claim_name(address)).await?;
                Ok(read.as_ref().map_or(Stored::Nothing, stored_claim))
            }
            Call::PatchService(patch) => self.patch_service(&patch).await,
            Call::ReadService(key) => {
                let read = self.services(&key).get_opt(&key.name).await?;
                Ok(read.map_or(Stored::Nothing, |object| {
                    Stored::Service(self.classes.project(&object))
                }))
            }
            Call::FindLeftovers => self.find_leftovers().await,
            Call::PatchPool(patch) => self.patch_pool(&patch).await,
        }
    }

    async fn find_leftovers(&self) -> Result<Stored, Error> {
        let services: Api<Service> = Api::all(self.client.clone());
        let mut params = ListParams::default()
            .fields("spec.type!=LoadBalancer")
            .limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = services.list(&params).await?;
            let projected = page.items.iter().map(|object| self.classes.project(object));
            let left = projected.filter(request::Service::carries_marks);
            found.extend(left.map(|service| service.key));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(Stored::Leftovers(found)),
            }
        }
    }

    async fn create_claim(&self, spec: &ClaimSpec) -> Result<Stored, Error> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let claims: Api<AddressClaim> = Api::all(self.client.clone());
        let stored = claims.create(&params, &claim::new_claim(spec)).await?;
        let stored = Reading::Whole(Box::new(stored));
        Ok(stored_claim(&stored))
    }

    async fn update_claim(&self, version: &ResourceVersion, spec: &ClaimSpec) -> Result<Stored, Error> {
        let body = patch::claim(version, spec);
        let name = claim_name(spec.address);
        let stored = self
            .claims()
            .patch(&name, &params(), &Patch::<Value>::Merge(body))
            .await?;
        Ok(stored_claim(&stored))
    }

    async fn delete_claim(
        &self,
        address: IpAddr,
        uid: &Uid,
        version: &ResourceVersion,
    ) -> Result<Stored, Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.as_str().to_owned()),
                resource_version: Some(version.as_str().to_owned()),
            }),
            ..DeleteParams::default()
        };
        // An object comes back instead of a status if somebody gave the claim a finalizer.
        let still_there = self.claims().delete(&claim_name(address), &params).await?.left();
        Ok(still_there
            .as_ref()
            .filter(|object| object.meta().finalizers.is_some())
            .map_or(Stored::Nothing, stored_claim))
    }

    async fn patch_service(&self, patch: &ServicePatch) -> Result<Stored, Error> {
        let body = patch::service(patch);
        let services = self.services(&patch.key);
        let stored = services
            .patch_status(&patch.key.name, &params(), &Patch::<Value>::Strategic(body))
            .await?;
        Ok(Stored::Service(self.classes.project(&stored)))
    }

    async fn patch_pool(&self, patch: &PoolPatch) -> Result<Stored, Error> {
        let body = patch::pool(patch);
        let pools: Api<Reading<AddressPool>> = Api::all(self.client.clone());
        let stored = pools
            .patch_status(patch.name.as_str(), &params(), &Patch::<Value>::Merge(body))
            .await?;
        Ok(Stored::Pool(project::pool(&stored)))
    }

    fn claims(&self) -> Api<Reading<AddressClaim>> {
        Api::all(self.client.clone())
    }

    fn services(&self, key: &ServiceKey) -> Api<Service> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// A claim whose name is not its address cannot be stored, so it is nothing to us.
fn stored_claim(object: &Reading<AddressClaim>) -> Stored {
    project::claim(object).map_or(Stored::Nothing, Stored::Claim)
}

fn outcome(trouble: Trouble, is_creation: bool) -> Outcome {
    match trouble.reason {
        Reason::Conflict if is_creation => Outcome::AlreadyExists,
        Reason::Conflict => Outcome::Conflict,
        Reason::NotFound => Outcome::NotFound,
        Reason::Throttled => Outcome::Throttled(trouble.wait),
        Reason::Forbidden | Reason::Invalid => Outcome::Rejected(trouble.sentence),
        // A token that is being renewed is refused for a moment, too.
        Reason::Unauthorized | Reason::Unreachable | Reason::Stale | Reason::Busy | Reason::Unexpected => {
            Outcome::Unknown
        }
    }
}

#[cfg(test)]
mod scripted;
