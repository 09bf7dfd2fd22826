//! What the controller counts. Labels come from closed sets and the names of pools.

use std::collections::BTreeMap;

use ferrolb_core::allocator::{Call, Outcome, Sizes};
use ferrolb_core::pool::{Capacity, Pool, PoolName};
use ferrolb_core::reason::Refused;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The counts of one controller. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    leading: Gauge,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<WordLabels, Histogram>,
    calls_under_way: Gauge,
    services: Gauge,
    waiting: Gauge,
    refused: Family<ReasonLabels, Gauge>,
    addresses: Gauge,
    pool_addresses: Family<PoolLabels, Gauge>,
}

/// A word of a closed set as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WordLabels {
    call: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: Word,
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
    family: Word,
    state: Word,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the controller's counts.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            leading: Gauge::default(),
            calls: Family::default(),
            // 1 ms to 16 s.
            call_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            calls_under_way: Gauge::default(),
            services: Gauge::default(),
            waiting: Gauge::default(),
            refused: Family::default(),
            addresses: Gauge::default(),
            pool_addresses: Family::default(),
        };
        registry.register("leading", "1 while this replica writes", metrics.leading.clone());
        registry.register(
            "calls",
            "Calls to the API server, by call and outcome",
            metrics.calls.clone(),
        );
        registry.register(
            "call_seconds",
            "How long calls took, by call",
            metrics.call_seconds.clone(),
        );
        registry.register(
            "calls_under_way",
            "Calls under way",
            metrics.calls_under_way.clone(),
        );
        registry.register(
            "services",
            "Services of type LoadBalancer that are known",
            metrics.services.clone(),
        );
        registry.register(
            "services_waiting",
            "Services that wait for an address",
            metrics.waiting.clone(),
        );
        registry.register(
            "services_refused",
            "Services that do not have what they want, by the reason that their condition says",
            metrics.refused.clone(),
        );
        registry.register(
            "addresses",
            "Addresses in use, at rest or being freed",
            metrics.addresses.clone(),
        );
        registry.register(
            "pool_addresses",
            "Addresses of a pool by family and state, as its status says",
            metrics.pool_addresses.clone(),
        );
        metrics
    }

    pub(crate) fn leading(&self, is_leading: bool) {
        self.leading.set(i64::from(is_leading));
    }

    pub(crate) fn called(&self, call: &'static str, outcome: &Outcome, seconds: f64) {
        let call = Word(call);
        let outcome = Word(outcome_word(outcome));
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.call_seconds
            .get_or_create(&WordLabels { call })
            .observe(seconds);
    }

    pub(crate) fn sizes(&self, sizes: &Sizes) {
        let Sizes {
            services,
            waiting,
            addresses,
            calls,
        } = *sizes;
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.services, services);
        set(&self.waiting, waiting);
        set(&self.addresses, addresses);
        set(&self.calls_under_way, calls);
    }

    pub(crate) fn refusals(&self, refusals: &BTreeMap<Refused, usize>) {
        for reason in Refused::ALL {
            let labels = ReasonLabels {
                reason: Word(reason.as_str()),
            };
            let count = refusals.get(&reason).copied().unwrap_or_default();
            let gauge = self.refused.get_or_create(&labels);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn pool(&self, pool: &Pool) {
        let Some(status) = &pool.status else { return };
        each_pool_series(&pool.name, |labels, family, state| {
            let capacity = if family == "IPv4" { status.v4 } else { status.v6 };
            self.pool_addresses
                .get_or_create(labels)
                .set(count(capacity, state));
        });
    }

    pub(crate) fn no_pool(&self, name: &PoolName) {
        each_pool_series(name, |labels, _, _| {
            self.pool_addresses.remove(labels);
        });
    }
}

/// The stable word of a call.
pub(crate) fn call_word(call: &Call) -> &'static str {
    match call {
        Call::CreateClaim(_) => "CreateClaim",
        Call::UpdateClaim { .. } => "UpdateClaim",
        Call::DeleteClaim { .. } => "DeleteClaim",
        Call::ReadClaim(_) => "ReadClaim",
        Call::PatchService(_) => "PatchService",
        Call::ReadService(_) => "ReadService",
        Call::FindLeftovers => "FindLeftovers",
        Call::PatchPool(_) => "PatchPool",
    }
}

fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "Done",
        Outcome::AlreadyExists => "AlreadyExists",
        Outcome::Conflict => "Conflict",
        Outcome::NotFound => "NotFound",
        Outcome::Unknown => "Unknown",
        Outcome::Throttled(_) => "Throttled",
        Outcome::Rejected(_) => "Rejected",
    }
}

fn each_pool_series(name: &PoolName, mut visit: impl FnMut(&PoolLabels, &str, &str)) {
    for family in ["IPv4", "IPv6"] {
        for state in ["total", "assigned", "reserved", "quarantined", "available"] {
            let labels = PoolLabels {
                pool: name.to_string(),
                family: Word(family),
                state: Word(state),
            };
            visit(&labels, family, state);
        }
    }
}

fn count(capacity: Capacity, state: &str) -> i64 {
    let Capacity {
        total,
        assigned,
        reserved,
        quarantined,
        available,
    } = capacity;
    match state {
        "total" => total,
        "assigned" => assigned,
        "reserved" => reserved,
        "quarantined" => quarantined,
        _ => available,
    }
}

// === impl Word ===

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}
