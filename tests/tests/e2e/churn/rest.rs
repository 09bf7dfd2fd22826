//! What must be true of Services, claims and pools once nobody changes anything: everybody has the address
//! or the reason that it should have, and nothing is lent that nobody has.

mod everything;
mod plainly;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::product::{Controller, leader};
use ferrolb_tests::lab::writes::{between, count, wait_quiet};
use ferrolb_tests::lab::{eventually, throughout};
use ferrolb_tests::lent::Seen;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use self::everything::Everything;
use super::SETTLED;
use crate::tenant::{Tenant, is_ours};

/// How long nothing is written before all is taken to be at rest.
const QUIET: Duration = Duration::from_secs(3);

/// How long controllers that have just started are watched for writes.
const AFTER_START: Duration = Duration::from_secs(5);

/// What the API server writes itself, long after Services have come and gone: it puts right which cluster IPs it
/// takes for used, and says so in Events. Ours are looked at one by one.
const REPAIRS: [&str; 4] = [
    "POST ipaddresses",
    "DELETE ipaddresses",
    "POST events",
    "PATCH events",
];

/// How many Services there are, by what became of them.
#[derive(Default)]
pub(super) struct Served {
    with: usize,
    refused: BTreeMap<String, usize>,
    not_ours: usize,
    sharers: usize,
}

/// Fails unless everything is as it should be.
pub(super) async fn check(tenant: &Tenant) -> Result<Served> {
    let all = Everything::read(tenant).await?;
    let mut served = Served::default();
    for (address, claim) in &all.claims {
        all.check_claim(*address, claim)
            .with_context(|| format!("claim {address}: {:?}", claim.spec))?;
        served.sharers += claim.spec.holders.len().saturating_sub(1);
    }
    for service in all.services.values() {
        all.check_service(service, &mut served)
            .with_context(|| Seen::Service(Box::new(service.clone())).to_string())?;
    }
    for (name, pool) in &all.pools {
        all.check_pool(name, pool)
            .with_context(|| format!("pool {name}: {:?} {:?}", pool.spec, pool.status))?;
    }
    Ok(served)
}

/// Fails if a controller that starts finds anything to write.
pub(super) async fn is_left_alone(tenant: &Tenant, controllers: &mut [Controller]) -> Result<()> {
    wait_quiet(&tenant.client, QUIET, SETTLED).await?;
    for controller in controllers.iter_mut() {
        controller.kill()?;
        controller.start()?;
    }
    let before = (count(&tenant.client).await?, our_events(tenant).await?);
    let leads = leader(controllers).await?;
    eventually(SETTLED, "it knows everything", async || {
        let state = controllers[leads].state().await?;
        ensure!(state["listed"] == true, "it says {state}");
        Ok(())
    })
    .await?;
    throughout(AFTER_START, "nothing is written after a restart", async || {
        let mut new = between(&before.0, &count(&tenant.client).await?);
        // It may not read the gossip secret: it tries to create it, and is told that it is there.
        new.remove("POST secrets");
        for repair in REPAIRS {
            new.remove(repair);
        }
        ensure!(new.is_empty(), "the API server has counted writes: {new:?}");
        let events = our_events(tenant).await?;
        ensure!(events == before.1, "{events:?} were {:?}", before.1);
        Ok(())
    })
    .await
}

/// The Events that the controller has written, with their versions.
async fn our_events(tenant: &Tenant) -> Result<BTreeMap<String, Option<String>>> {
    let events = Api::<Event>::all(tenant.client.clone());
    let events = events.list(&ListParams::default()).await?.items.into_iter();
    let ours = events.filter(is_ours);
    Ok(ours
        .map(|event| (event.name_any(), event.resource_version()))
        .collect())
}

/// Takes back every reservation.
pub(super) async fn clear(tenant: &Tenant) -> Result<()> {
    let all = Everything::read(tenant).await?;
    for (address, claim) in &all.claims {
        if claim.spec.reserved {
            tenant.end_reservation(*address).await?;
        }
    }
    Ok(())
}

/// Fails unless there is no claim, and every address can be lent.
pub(super) async fn is_empty(tenant: &Tenant) -> Result<()> {
    let all = Everything::read(tenant).await?;
    let left: Vec<_> = all.claims.values().map(|claim| &claim.spec).take(3).collect();
    ensure!(
        left.is_empty(),
        "{} claims are left, like {left:?}",
        all.claims.len()
    );
    ensure!(
        all.services.is_empty(),
        "{} Services are left",
        all.services.len()
    );
    for (name, pool) in &all.pools {
        all.check_pool(name, pool)
            .with_context(|| format!("pool {name}: {:?} {:?}", pool.spec, pool.status))?;
    }
    Ok(())
}

// === impl Served ===

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            with,
            refused,
            not_ours,
            sharers,
        } = self;
        write!(
            f,
            "{with} Services have what they want, {sharers} times one shares an address, {not_ours} are not \
             ours, refused are {refused:?}"
        )
    }
}
