//! What Services show and claims say, version by version, and what must be true at each of them.
//!
//! Services and claims come from two watches. The API server counts all versions in one sequence, so they
//! are put back into that order, and each is judged by what was there at that instant.

mod order;
mod says;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ferrolb_core::claim::{ClaimState, Holder};
use ferrolb_crds::convert::claim::claim;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

pub use self::order::{Order, Seen, Source};
pub use self::says::Says;
use crate::lab::objects::ingress;

/// Everything at one version.
#[derive(Debug, Default)]
pub struct Lent {
    services: BTreeMap<String, Showing>,
    claims: BTreeMap<IpAddr, Claimed>,
}

#[derive(Clone, Debug, Default)]
struct Showing {
    uid: String,
    addresses: BTreeSet<IpAddr>,
    /// What it says of sharing, and what it said before.
    says: [Option<Says>; 2],
}

#[derive(Clone, Debug)]
struct Claimed {
    is_held: bool,
    holders: Vec<Holder>,
}

/// What a change made of the addresses of one Service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The Service, as namespace/name; empty if it was a claim that changed.
    pub service: String,
    /// The addresses that it begins to show.
    pub begins: BTreeSet<IpAddr>,
    /// The addresses that it showed until now.
    pub ends: BTreeSet<IpAddr>,
}

// === impl Lent ===

impl Lent {
    /// Takes the next change.
    ///
    /// `is_disturbed` says of which claims strangers made a mess a moment ago: what these say of their
    /// holders proves nothing. That two never show one address holds for them, too.
    ///
    /// # Errors
    /// If the change breaks a rule.
    pub fn apply(&mut self, seen: &Seen, is_disturbed: impl Fn(IpAddr) -> bool) -> Result<Turn> {
        match seen {
            Seen::Service(service) => self.service(service, ingress(service)?, &is_disturbed),
            Seen::ServiceGone(service) => {
                let turn = self.service(service, Vec::new(), &is_disturbed)?;
                self.services.remove(&turn.service);
                Ok(turn)
            }
            Seen::Claim(object) => {
                let claim = claim(object).with_context(|| format!("claim {} is none", object.name_any()))?;
                let now = Claimed {
                    is_held: claim.spec.state == Some(ClaimState::Held),
                    holders: claim.spec.holders,
                };
                self.claim(claim.spec.address, Some(&now), &is_disturbed)
            }
            Seen::ClaimGone(object) => {
                let claim = claim(object).with_context(|| format!("claim {} is none", object.name_any()))?;
                self.claim(claim.spec.address, None, &is_disturbed)
            }
        }
    }

    fn service(
        &mut self,
        service: &Service,
        shown: Vec<IpAddr>,
        is_disturbed: &impl Fn(IpAddr) -> bool,
    ) -> Result<Turn> {
        let name = format!(
            "{}/{}",
            service.namespace().unwrap_or_default(),
            service.name_any()
        );
        let before = self.services.remove(&name).unwrap_or_default();
        let says = Some(Says::of_service(service));
        let [last, earlier] = before.says;
        let now = Showing {
            uid: service.uid().unwrap_or_default(),
            addresses: shown.into_iter().collect(),
            says: if says == last {
                [last, earlier]
            } else {
                [says, last]
            },
        };
        self.services.insert(name.clone(), now.clone());
        let turn = Turn {
            begins: now.addresses.difference(&before.addresses).copied().collect(),
            ends: before.addresses.difference(&now.addresses).copied().collect(),
            service: name,
        };
        for address in &turn.begins {
            self.begins(&turn.service, &now, *address, is_disturbed(*address))?;
        }
        Ok(turn)
    }

    /// Whoever begins to show an address holds it, and so does everybody else who shows it.
    fn begins(&self, name: &str, showing: &Showing, address: IpAddr, is_disturbed: bool) -> Result<()> {
        let claim = self.claims.get(&address);
        let others = self
            .services
            .iter()
            .filter(|(other, theirs)| *other != name && theirs.addresses.contains(&address));
        for (other, theirs) in others {
            let share = names(claim, other, theirs) && names(claim, name, showing);
            // The other one may have changed a moment ago.
            let go_together = || {
                showing.says.iter().flatten().any(|one| {
                    let mut other = theirs.says.iter().flatten();
                    other.any(|other| one.goes_with(other))
                })
            };
            let may_share = share || is_disturbed && go_together();
            ensure!(
                may_share,
                "{name} begins to show {address}, which {other} shows, and its claim says {claim:?}"
            );
        }
        ensure!(
            is_disturbed || claim.is_some_and(|claim| claim.is_held) && names(claim, name, showing),
            "{name} shows {address}, and its claim says {claim:?}"
        );
        Ok(())
    }

    /// Holders go together, and nobody's address is taken while he shows it.
    fn claim(
        &mut self,
        address: IpAddr,
        now: Option<&Claimed>,
        is_disturbed: &impl Fn(IpAddr) -> bool,
    ) -> Result<Turn> {
        let before = match now {
            Some(now) => self.claims.insert(address, now.clone()),
            None => self.claims.remove(&address),
        };
        if is_disturbed(address) {
            return Ok(Turn::default());
        }
        let holders = now.map(|now| &*now.holders).unwrap_or_default();
        for (place, one) in holders.iter().enumerate() {
            let says = Says::of_holder(one);
            let mut others = holders.iter().skip(place + 1);
            let other = others.find(|other| !says.goes_with(&Says::of_holder(other)));
            ensure!(
                other.is_none(),
                "{address} is lent to two that do not go together: {one:?} and {other:?}"
            );
        }
        for holder in before.iter().flat_map(|before| &before.holders) {
            let name = holder.service.to_string();
            let showing = self.services.get(&name);
            let shows = showing.is_some_and(|showing| {
                showing.uid == holder.uid.as_str() && showing.addresses.contains(&address)
            });
            ensure!(
                !shows || holders.iter().any(|kept| kept.service == holder.service),
                "{address} is taken from {name}, which shows it: the claim says {now:?}"
            );
        }
        Ok(Turn::default())
    }
}

fn names(claim: Option<&Claimed>, name: &str, showing: &Showing) -> bool {
    claim.is_some_and(|claim| {
        let mut holders = claim.holders.iter();
        holders.any(|holder| holder.service.to_string() == name && holder.uid.as_str() == showing.uid)
    })
}

#[cfg(test)]
mod tests;
