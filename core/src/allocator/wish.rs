//! What a Service wants, as a rule that an address meets or not.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::Family;
use crate::allocator::waiting::FamilyNeed;
use crate::pool::PoolName;
use crate::reason::{Refusal, Refused};
use crate::request::{AddressWish, FamilyPolicy, ServiceRequest};

/// What a Service wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The families.
    pub(super) need: FamilyNeed,
    /// Exactly these addresses.
    pub(super) exactly: Option<Vec<IpAddr>>,
    /// From this pool.
    pub(super) pool: Option<PoolName>,
}

// === impl Wish ===

impl Wish {
    /// Reads a request; `None` when a headless Service wants nothing.
    ///
    /// # Errors
    /// When no address could ever satisfy it.
    pub(super) fn read(request: &ServiceRequest) -> Result<Option<Self>, Refusal> {
        let Some(need) = read_families(request)? else {
            return Ok(None);
        };
        let exactly = match &request.addresses {
            AddressWish::Any => None,
            AddressWish::Exactly(addresses) => {
                check_families(need, addresses)?;
                Some(addresses.clone())
            }
            AddressWish::Invalid(refusal) => return Err(refusal.clone()),
        };
        Ok(Some(Self {
            need,
            exactly,
            pool: request.pool.clone(),
        }))
    }

    /// Whether an address of a pool is what the Service wants.
    pub(super) fn allows(&self, address: IpAddr, pool: &PoolName) -> bool {
        self.need.families().contains(&Family::of(address))
            && self
                .exactly
                .as_ref()
                .is_none_or(|exactly| exactly.contains(&address))
            && self.pool.as_ref().is_none_or(|asked| asked == pool)
    }
}

/// The families of a Service's cluster IPs.
pub(super) fn cluster_families(request: &ServiceRequest) -> BTreeSet<Family> {
    request.cluster_ips.iter().copied().map(Family::of).collect()
}

fn read_families(request: &ServiceRequest) -> Result<Option<FamilyNeed>, Refusal> {
    let Some(first) = request.cluster_ips.first().copied().map(Family::of) else {
        return Ok(None);
    };
    let has_both = cluster_families(request).len() == Family::ALL.len();
    let need = match request.family_policy {
        FamilyPolicy::SingleStack => FamilyNeed::One(first),
        FamilyPolicy::PreferDualStack if has_both => {
            FamilyNeed::Prefer(request.primary_family.unwrap_or(Family::V4))
        }
        FamilyPolicy::PreferDualStack => FamilyNeed::One(first),
        FamilyPolicy::RequireDualStack if has_both => FamilyNeed::Both,
        FamilyPolicy::RequireDualStack => {
            return Err(Refusal::new(
                Refused::SingleClusterIp,
                format!(
                    "ipFamilyPolicy is RequireDualStack, but the Service has a cluster IP of {} only",
                    first.as_str()
                ),
            ));
        }
    };
    Ok(Some(need))
}

fn check_families(need: FamilyNeed, addresses: &[IpAddr]) -> Result<(), Refusal> {
    let asked: BTreeSet<Family> = addresses.iter().copied().map(Family::of).collect();
    let wanted: BTreeSet<Family> = need.families().iter().copied().collect();
    if asked == wanted {
        return Ok(());
    }
    Err(Refusal::new(
        Refused::FamilyMismatch,
        format!(
            "The addresses asked for are {}, the Service is {}: ask for one address of each of its families",
            join_families(&asked),
            join_families(&wanted)
        ),
    ))
}

fn join_families(families: &BTreeSet<Family>) -> String {
    let words: Vec<_> = families.iter().map(|family| family.as_str()).collect();
    words.join(" and ")
}
