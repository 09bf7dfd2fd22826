//! The sentences of a refusal: what was tried, why it did not do, and what to do.
//!
//! Each depends only on what is now, so that a restarted controller writes the same.

use std::net::IpAddr;

use super::Granted;
use crate::allocator::ledger::Ledger;
use crate::allocator::pools::Pools;
use crate::allocator::slot::Slot;
use crate::allocator::tenancy::Objection;
use crate::allocator::waiting::FamilyNeed;
use crate::claim::ClaimSpec;
use crate::pool::PoolName;
use crate::pool::allocation::{Applicant, Unadmitted};
use crate::pool::layout::Share;
use crate::reason::{Refusal, Refused};
use crate::service::ServiceKey;
use crate::sharing::Clash;

/// How many pools a sentence names before it only counts the rest.
pub(super) const NAMED: usize = 8;

pub(super) fn no_automatic_pool(pools: &Pools, applicant: Applicant<'_>) -> Refusal {
    if pools.is_empty() {
        return Refusal::new(Refused::NoPool, "There is no AddressPool: create one");
    }
    let declines: Vec<String> = pools
        .pinned()
        .filter_map(|pool| {
            Some(declines(
                pool,
                pools.allocation(pool)?.unadmitted(applicant)?,
                applicant,
            ))
        })
        .collect();
    if !declines.is_empty() {
        return Refusal::new(
            Refused::NotAdmitted,
            format!("No pool is for the Service: {}", join_some(&declines)),
        );
    }
    Refusal::new(
        Refused::NoAutoAssignPool,
        format!(
            "No pool lends without being asked for ({} with autoAssign: false): ask for a pool by annotation",
            name_pools(pools.names())
        ),
    )
}

pub(super) fn pool_not_found(asked: &PoolName, pools: &Pools) -> Refusal {
    let there_are = if pools.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are {}", name_pools(pools.names()))
    };
    Refusal::new(
        Refused::PoolNotFound,
        format!("The Service asks for pool {asked}, which does not exist: {there_are}"),
    )
}

/// A pool is not for the Service, though something of it was asked for or reserved: `what` says so.
pub(super) fn not_admitted(
    what: &str,
    pool: &PoolName,
    unadmitted: Unadmitted,
    applicant: Applicant<'_>,
) -> Refusal {
    let declines = declines(pool, unadmitted, applicant);
    Refusal::new(Refused::NotAdmitted, format!("{what}, but {declines}"))
}

pub(super) fn quota(share: Option<&Share>, pool: &PoolName, key: &ServiceKey, wanted: u32) -> Refusal {
    let most = share.and_then(|share| share.quota).unwrap_or_default();
    Refusal::new(
        Refused::QuotaExceeded,
        Trouble::quota(pool, key, most, wanted).text,
    )
}

pub(super) fn not_in_pool(address: IpAddr, pools: &Pools) -> Refusal {
    if pools.is_empty() {
        return Refusal::new(Refused::NoPool, "There is no AddressPool: create one");
    }
    Refusal::new(
        Refused::AddressNotInPool,
        format!(
            "The Service asks for {address}, which no pool lends (tried {}): ask for another, or add it to a pool",
            name_pools(pools.names())
        ),
    )
}

pub(super) fn in_other_pool(address: IpAddr, pool: &PoolName, asked: &PoolName) -> Refusal {
    Refusal::new(
        Refused::AddressInOtherPool,
        format!("The Service asks for {address} and for pool {asked}, but the address is in pool {pool}"),
    )
}

pub(super) fn in_two_pools(addresses: &Granted) -> Refusal {
    let places: Vec<String> = addresses
        .iter()
        .map(|(address, pool)| format!("{address} in pool {pool}"))
        .collect();
    Refusal::new(
        Refused::AddressesInTwoPools,
        format!(
            "The addresses asked for lie in two pools ({}): ask for two of one pool",
            places.join(", ")
        ),
    )
}

pub(super) fn reserved(address: IpAddr, reservation: &ClaimSpec) -> Refusal {
    let keys: Vec<&ServiceKey> = reservation.beneficiaries().collect();
    let whom = match keys.as_slice() {
        [] => "nobody: its AddressClaim keeps it from everybody".to_owned(),
        some => name_services(some),
    };
    Refusal::new(
        Refused::AddressReserved,
        format!("The Service asks for {address}, which is reserved for {whom}"),
    )
}

/// An address that others have, and what stands between the Service and one of them.
pub(super) fn in_use(address: IpAddr, slot: &Slot, objection: Option<&Objection>) -> Refusal {
    if let Some(Objection::Holder { holder, clash }) = objection
        && *clash != Clash::NotAsked
    {
        let reason = if clash.is_among_sharers() {
            Refused::SharingRefused
        } else {
            Refused::AddressInUse
        };
        let message = format!("The Service asks for {address}, which is held by {holder}{clash}");
        return Refusal::new(reason, message);
    }
    Refusal::new(
        Refused::AddressInUse,
        format!("The Service asks for {address}, which {}", describe_use(slot)),
    )
}

/// Who has an address, or had it a moment ago.
pub(super) fn describe_use(slot: &Slot) -> String {
    let join = |keys: Vec<String>| keys.join(", ");
    let named = slot
        .live
        .iter()
        .flat_map(|claim| &claim.spec.holders)
        .map(|holder| &holder.service);
    let holders: Vec<String> = if slot.holders.is_empty() {
        named.map(ToString::to_string).collect()
    } else {
        slot.holders.keys().map(ToString::to_string).collect()
    };
    let last = slot
        .live
        .as_ref()
        .and_then(|claim| claim.spec.last_holder.as_ref());
    match (holders.is_empty(), last) {
        (false, _) => format!("is held by {}", join(holders)),
        (true, Some(last)) => format!("was held by {last} and rests before it is lent again"),
        (true, None) => "rests before it is lent again".to_owned(),
    }
}

pub(super) fn shown(address: IpAddr, other: &ServiceKey) -> Refusal {
    Refusal::new(
        Refused::AddressInUse,
        format!("The Service asks for {address}, which is shown by {other}"),
    )
}

pub(super) fn frozen(pool: &PoolName, share: &Share) -> Refusal {
    Refusal::new(Refused::PoolInvalid, format!("{}", Trouble::frozen(pool, share)))
}

/// No pool has what is needed. Of many pools the first are named.
pub(super) fn exhausted(ledger: &Ledger, need: FamilyNeed, tried: &[&PoolName], key: &ServiceKey) -> Refusal {
    let (named, rest) = tried.split_at(tried.len().min(NAMED));
    let trouble = |pool: &&PoolName| Trouble::of(pool, ledger, need, key);
    let troubles: Vec<Trouble> = named.iter().filter_map(trouble).collect();
    let has = |reason| troubles.iter().any(|trouble| trouble.reason == reason);
    let is_exhausted = |trouble: Trouble| trouble.reason == Refused::PoolExhausted;
    let reason = if has(Refused::QuotaExceeded) {
        Refused::QuotaExceeded
    } else if has(Refused::PoolExhausted) || rest.iter().filter_map(trouble).any(is_exhausted) {
        Refused::PoolExhausted
    } else {
        troubles
            .first()
            .map_or(Refused::PoolExhausted, |first| first.reason)
    };
    let wanted = match need {
        FamilyNeed::One(family) => format!("No {} address", family.as_str()),
        FamilyNeed::Both => "No IPv4 and IPv6 address together".to_owned(),
        FamilyNeed::Prefer(_) => "No address of either family".to_owned(),
    };
    let mut sentences: Vec<String> = troubles.into_iter().map(|trouble| trouble.text).collect();
    match rest.len() {
        0 => {}
        1 => sentences.push("1 more pool does not do either".to_owned()),
        more => sentences.push(format!("{more} more pools do not do either")),
    }
    Refusal::new(reason, format!("{wanted}: {}", sentences.join("; ")))
}

/// That a Service that is willing to share would take an address with others, too.
pub(super) fn add_none_to_share(refusal: &mut Refusal, key: &str) {
    let more = format!("; and none that is held under sharing key {key} goes with it");
    refusal.message.push_str(&more);
}

/// Why one pool does not do.
struct Trouble {
    reason: Refused,
    text: String,
}

// === impl Trouble ===

impl Trouble {
    fn of(pool: &PoolName, ledger: &Ledger, need: FamilyNeed, key: &ServiceKey) -> Option<Self> {
        let share = ledger.layout().share(pool)?;
        if share.is_frozen() {
            return Some(Self::frozen(pool, share));
        }
        let missing = need
            .families()
            .iter()
            .find(|family| !ledger.covers_any(pool, **family))
            .map(|family| family.as_str());
        let wanted = need.least();
        let over = ledger
            .quota(pool, key)
            .filter(|(others, most)| others + wanted > *most);
        Some(match (need, missing, over) {
            (FamilyNeed::One(_), Some(family), _) => Self {
                reason: Refused::PoolExhausted,
                text: format!("pool {pool} has no {family} addresses"),
            },
            (FamilyNeed::Both, Some(family), _) => Self {
                reason: Refused::NoDualStackPool,
                text: format!("pool {pool} has no {family} addresses"),
            },
            (_, _, Some((_, most))) => Self::quota(pool, key, most, wanted),
            (FamilyNeed::Both, None, None) => Self {
                reason: Refused::PoolExhausted,
                text: format!("pool {pool} does not have both free"),
            },
            (FamilyNeed::One(_), None, None) | (FamilyNeed::Prefer(_), _, None) => Self {
                reason: Refused::PoolExhausted,
                text: format!("pool {pool} has none free"),
            },
        })
    }

    /// Says nothing of how many are in use: whoever waits would have to be told of each that goes.
    fn quota(pool: &PoolName, key: &ServiceKey, most: u32, wanted: u32) -> Self {
        let left = if wanted == 1 {
            "none is left"
        } else {
            "no two are left"
        };
        let addresses = if most == 1 { "address" } else { "addresses" };
        Self {
            reason: Refused::QuotaExceeded,
            text: format!(
                "pool {pool} lends a namespace at most {most} {addresses} (allocation.maxPerNamespace), and {left} for {}",
                key.namespace
            ),
        }
    }

    fn frozen(pool: &PoolName, share: &Share) -> Self {
        let entry = share.invalid.first().map(ToString::to_string);
        Self {
            reason: Refused::PoolInvalid,
            text: format!(
                "pool {pool} lends nothing new until it is corrected: {}",
                entry.unwrap_or_default()
            ),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn name_services(keys: &[&ServiceKey]) -> String {
    let shown: Vec<String> = keys.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match keys.len() - shown.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// The names of pools, as a sentence says them.
pub(in crate::allocator) fn name_pools<'a>(names: impl Iterator<Item = &'a PoolName>) -> String {
    let names: Vec<&str> = names.map(PoolName::as_str).collect();
    let shown: Vec<&str> = names.iter().take(NAMED).copied().collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let word = if names.len() == 1 { "pool" } else { "pools" };
    format!("{word} {}{more}", shown.join(", "))
}

fn declines(pool: &PoolName, unadmitted: Unadmitted, applicant: Applicant<'_>) -> String {
    match unadmitted {
        Unadmitted::Namespace => format!("pool {pool} is not for namespace {}", applicant.namespace),
        Unadmitted::Labels => format!("pool {pool} is not for Services with its labels"),
    }
}

fn join_some(sentences: &[String]) -> String {
    let shown: Vec<&str> = sentences.iter().take(NAMED).map(String::as_str).collect();
    let more = match sentences.len() - shown.len() {
        0 => String::new(),
        count => format!("; and {count} more are not either"),
    };
    format!("{}{more}", shown.join("; "))
}
