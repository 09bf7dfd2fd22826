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
    /// People reserve these for the Service, one for each family at most: no other will do.
    pub(super) reserved: BTreeSet<IpAddr>,
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
            reserved: BTreeSet::new(),
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
            && self.is_left_open(address)
    }

    /// Whether nothing else of the address's family is reserved for the Service.
    fn is_left_open(&self, address: IpAddr) -> bool {
        let is_other = |reserved: &&IpAddr| Family::of(**reserved) == Family::of(address);
        self.reserved
            .iter()
            .find(is_other)
            .is_none_or(|reserved| *reserved == address)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Eligibility;
    use crate::selector::Labels;
    use crate::service::TrafficPolicy;

    const V4: &str = "10.96.0.1";
    const V6: &str = "fd00::1";

    fn mk_request(cluster_ips: &[&str], family_policy: FamilyPolicy, asked: Option<&str>) -> ServiceRequest {
        let cluster_ips: Vec<IpAddr> = cluster_ips
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        ServiceRequest {
            eligibility: Eligibility::Eligible,
            family_policy,
            primary_family: cluster_ips.first().copied().map(Family::of),
            cluster_ips,
            addresses: AddressWish::parse(asked, None),
            pool: None,
            labels: Labels::new(),
            ports: Vec::new(),
            traffic_policy: TrafficPolicy::Cluster,
            sharing_key: None,
            selector: Labels::new(),
        }
    }

    #[test]
    fn the_cluster_ips_and_the_policy_say_which_families_are_wanted() {
        use FamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
        let one = |family| Ok(Some(FamilyNeed::One(family)));
        for (cluster_ips, policy, expected) in [
            (&[][..], RequireDualStack, Ok(None)),
            (&[V6], SingleStack, one(Family::V6)),
            (&[V6, V4], SingleStack, one(Family::V6)),
            (&[V4], PreferDualStack, one(Family::V4)),
            (
                &[V6, V4],
                PreferDualStack,
                Ok(Some(FamilyNeed::Prefer(Family::V6))),
            ),
            (&[V6, V4], RequireDualStack, Ok(Some(FamilyNeed::Both))),
            (&[V4], RequireDualStack, Err(Refused::SingleClusterIp)),
        ] {
            let read = Wish::read(&mk_request(cluster_ips, policy, None));
            let need = read
                .map(|wish| wish.map(|wish| wish.need))
                .map_err(|refusal| refusal.reason);
            assert_eq!(need, expected, "{cluster_ips:?} {policy:?}");
        }
    }

    #[test]
    fn addresses_are_asked_for_in_all_families_or_in_none() {
        let read = |policy, asked| {
            let wish = Wish::read(&mk_request(&[V4, V6], policy, Some(asked)));
            wish.map(|wish| {
                wish.and_then(|wish| wish.exactly)
                    .map_or(0, |exactly| exactly.len())
            })
            .map_err(|refusal| refusal.reason)
        };
        for policy in [FamilyPolicy::PreferDualStack, FamilyPolicy::RequireDualStack] {
            assert_eq!(read(policy, "10.0.0.1,fd01::1"), Ok(2));
            assert_eq!(read(policy, "10.0.0.1"), Err(Refused::FamilyMismatch));
            assert_eq!(read(policy, "fd01::1"), Err(Refused::FamilyMismatch));
        }
        assert_eq!(read(FamilyPolicy::SingleStack, "10.0.0.1"), Ok(1));
        assert_eq!(
            read(FamilyPolicy::SingleStack, "10.0.0.1,fd01::1"),
            Err(Refused::FamilyMismatch)
        );
        assert_eq!(
            read(FamilyPolicy::SingleStack, "ten"),
            Err(Refused::InvalidAddress)
        );
    }

    #[test]
    fn an_address_is_allowed_by_family_list_and_pool() {
        let mut request = mk_request(&[V4], FamilyPolicy::SingleStack, Some("10.0.0.1"));
        request.pool = Some("a".into());
        let wish = Wish::read(&request).expect("no refusal").expect("a wish");
        let allows =
            |address: &str, pool: &str| wish.allows(address.parse().expect("an address"), &pool.into());
        assert!(allows("10.0.0.1", "a"));
        assert!(!allows("10.0.0.1", "b"));
        assert!(!allows("10.0.0.2", "a"));
        assert!(!allows("fd00::1", "a"));
    }
}
