//! All Services, claims and pools at rest, and what each must say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::{Family, claim_name};
use ferrolb_core::reason::Refused;
use ferrolb_crds::address_claim::ClaimState;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::objects::ingress;
use ferrolb_tests::lent::Says;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::ListParams;

use super::Served;
use super::plainly::{addresses, admits, asked, holds, is_ours, policy, wanted};
use crate::tenant::{Said, Tenant, condition};

/// Everything that there is.
pub(super) struct Everything {
    pub(super) namespace: String,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) claims: BTreeMap<IpAddr, AddressClaim>,
    pub(super) pools: BTreeMap<String, AddressPool>,
    /// The pool of each address.
    pub(super) covered: BTreeMap<IpAddr, String>,
}

// === impl Everything ===

impl Everything {
    pub(super) async fn read(tenant: &Tenant) -> Result<Self> {
        let (services, claims, pools) = (tenant.services(), tenant.claims(), tenant.pools());
        let params = ListParams::default();
        let (services, claims, pools) =
            tokio::try_join!(services.list(&params), claims.list(&params), pools.list(&params))?;
        let mut covered = BTreeMap::new();
        for pool in &pools.items {
            for address in addresses(pool)? {
                covered.insert(address, pool.name_any());
            }
        }
        let claims = claims
            .items
            .into_iter()
            .map(|claim| Ok((claim.spec.address.parse()?, claim)));
        Ok(Self {
            namespace: tenant.namespace.clone(),
            services: services
                .items
                .into_iter()
                .map(|service| (service.name_any(), service))
                .collect(),
            claims: claims.collect::<Result<_>>()?,
            pools: pools
                .items
                .into_iter()
                .map(|pool| (pool.name_any(), pool))
                .collect(),
            covered,
        })
    }

    /// It is held by Services that show it and go together, or it is only reserved.
    pub(super) fn check_claim(&self, address: IpAddr, claim: &AddressClaim) -> Result<()> {
        let spec = &claim.spec;
        ensure!(claim.name_any() == claim_name(address), "its name is another one");
        if spec.holders.is_empty() {
            ensure!(spec.reserved && spec.state.is_none(), "nobody holds it");
            return Ok(());
        }
        ensure!(
            spec.state == Some(ClaimState::Held),
            "it has holders and is not held"
        );
        let mut says: Vec<Says> = Vec::new();
        for holder in &spec.holders {
            ensure!(holder.namespace == self.namespace, "it names a stranger");
            let service = self.services.get(&holder.name).context("its holder is gone")?;
            ensure!(
                service.uid().as_ref() == Some(&holder.uid),
                "its holder is another Service of that name"
            );
            ensure!(
                is_ours(service) && ingress(service)?.contains(&address),
                "{} does not show it",
                holder.name
            );
            let own = Says::of_service(service);
            ensure!(
                says.iter().all(|other| own.goes_with(other)),
                "{} does not go with the others",
                holder.name
            );
            says.push(own);
        }
        Ok(())
    }

    pub(super) fn check_service(&self, service: &Service, served: &mut Served) -> Result<()> {
        ensure!(
            service.metadata.deletion_timestamp.is_none(),
            "it is not gone yet"
        );
        let shown = ingress(service)?;
        let said = condition(service);
        if !is_ours(service) {
            ensure!(shown.is_empty(), "it is not ours and shows {shown:?}");
            let allocated = service.annotations().get("ferrolb.io/allocated-from-pool");
            ensure!(allocated.is_none(), "it is not ours and says {allocated:?}");
            ensure!(
                service.finalizers().is_empty(),
                "it is not ours and has our finalizer"
            );
            ensure!(said.is_none(), "it is not ours and says {said:?}");
            served.not_ours += 1;
            return Ok(());
        }
        let held = self.claims.iter().filter(|(_, claim)| holds(claim, service));
        let held: Vec<IpAddr> = held.map(|(address, _)| *address).collect();
        ensure!(shown == held, "it holds {held:?}");
        for address in &shown {
            let pool = self.covered.get(address).context("no pool lends what it shows")?;
            // Who had an address when it was reserved for somebody else keeps it.
            ensure!(admits(&self.pools[pool], service), "{pool} does not admit it");
        }
        let said = said.context("nobody told it anything")?;
        ensure!(!said.message.is_empty(), "it is not told why");
        if said.status == "True" {
            served.with += 1;
            return self.is_satisfied(service, &shown);
        }
        ensure!(
            Refused::ALL.iter().any(|reason| reason.as_str() == said.reason),
            "there is no reason {}",
            said.reason
        );
        // Whoever starts to lead knows nothing of a contest, and would take the word back.
        ensure!(
            said.reason != Refused::StatusContested.as_str(),
            "strangers have left it alone only a moment ago"
        );
        *served.refused.entry(said.reason.clone()).or_default() += 1;
        if shown.is_empty() {
            self.waits_for_a_reason(service, &said)?;
        }
        Ok(())
    }

    /// One address for each family that it wants, and the ones that it asks for.
    fn is_satisfied(&self, service: &Service, shown: &[IpAddr]) -> Result<()> {
        let families: Vec<Family> = shown.iter().copied().map(Family::of).collect();
        let wanted = wanted(service)?;
        let is_enough = match policy(service) {
            "PreferDualStack" => families.len() == 1 || families.len() == 2 && families[0] != families[1],
            _ => {
                families.iter().collect::<BTreeSet<_>>() == wanted.iter().collect()
                    && families.len() == wanted.len()
            }
        };
        ensure!(is_enough, "it wants {wanted:?} and is told that all is well");
        if let Some(asked) = asked(service) {
            ensure!(
                shown.iter().map(ToString::to_string).eq([asked.clone()]),
                "it asks for {asked} and is told that all is well"
            );
        }
        if let Some(pool) = service.annotations().get("ferrolb.io/address-pool") {
            let is_from = |address: &IpAddr| {
                self.covered.get(address) == Some(pool) || self.claims[address].spec.reserved
            };
            ensure!(
                shown.iter().all(is_from),
                "it asks for {pool} and is told that all is well"
            );
        }
        Ok(())
    }

    /// Who asks for nothing special does not wait while there is something for it.
    fn waits_for_a_reason(&self, service: &Service, said: &Said) -> Result<()> {
        let name = service.name_any();
        let is_reserved_for = self.claims.values().any(|claim| {
            let mut reserved_for = claim.spec.reserved_for.iter();
            claim.spec.reserved && reserved_for.any(|whom| whom.name == name)
        });
        if asked(service).is_some() || is_reserved_for {
            return Ok(());
        }
        let wanted = wanted(service)?;
        let asked = service.annotations().get("ferrolb.io/address-pool");
        let pools = self.pools.iter().filter(|(name, pool)| {
            let allocation = pool.spec.allocation.as_ref();
            let has_quota = allocation.is_some_and(|allocation| allocation.max_per_namespace.is_some());
            let is_open = asked.map_or(pool.spec.auto_assign, |asked| asked == *name);
            is_open && !has_quota && admits(pool, service)
        });
        for (name, _) in pools {
            let has_free = |family: &&Family| {
                let mut covered = self.covered.iter();
                covered.any(|(address, pool)| {
                    pool == name && Family::of(*address) == **family && !self.claims.contains_key(address)
                })
            };
            let count = wanted.iter().filter(has_free).count();
            let is_enough = match policy(service) {
                "PreferDualStack" => count > 0,
                _ => count == wanted.len(),
            };
            ensure!(!is_enough, "{name} has what it wants, and it is told {said:?}");
        }
        Ok(())
    }

    /// What it counts is what there is.
    pub(super) fn check_pool(&self, name: &str, pool: &AddressPool) -> Result<()> {
        let status = pool.status.as_ref().context("it has no status")?;
        let capacity = status.capacity.as_ref().context("it counts nothing")?;
        for (family, counted) in [(Family::V4, &capacity.ipv4), (Family::V6, &capacity.ipv6)] {
            let own = self
                .covered
                .iter()
                .filter(|(address, pool)| *pool == name && Family::of(**address) == family);
            let (mut total, mut assigned, mut reserved) = (0, 0, 0);
            for (address, _) in own {
                total += 1;
                match self.claims.get(address) {
                    None => {}
                    Some(claim) if claim.spec.holders.is_empty() => reserved += 1,
                    Some(_) => assigned += 1,
                }
            }
            let found = (total, assigned, reserved, 0, total - assigned - reserved);
            let said = (
                counted.total,
                counted.assigned,
                counted.reserved,
                counted.quarantined,
                counted.available,
            );
            ensure!(
                said == found,
                "(total, assigned, reserved, quarantined, available) of {family:?} are {found:?}"
            );
        }
        Ok(())
    }
}
