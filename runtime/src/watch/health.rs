//! How a watch is doing: the log says when it begins to fail, why, and when it works again; never
//! the same sentence twice in a row.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::{debug, info, warn};

use super::Watch;
use crate::clock;
use crate::readiness::Guard;
use crate::trouble::{Reason, Trouble};

/// Counts over all watches of a process.
#[derive(Clone, Debug, Default)]
pub struct WatchMetrics {
    events: Family<EventLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    lists: Family<KindLabels, Counter>,
    unreadable: Family<KindLabels, Gauge>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Apply,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: String,
    verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    kind: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

/// How one watch is doing.
#[derive(Debug)]
pub(super) struct Health {
    kind: String,
    hint: Option<&'static str>,
    metrics: WatchMetrics,
    failing: Option<(Duration, Trouble)>,
    guard: Guard,
}

// === impl WatchMetrics ===

impl WatchMetrics {
    /// Registers the counts of all watches.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "watch_events",
            "Changes received, by kind and verb",
            metrics.events.clone(),
        );
        registry.register(
            "watch_failures",
            "Failed lists and watches, by kind and reason",
            metrics.failures.clone(),
        );
        registry.register(
            "watch_lists",
            "Complete lists received, by kind",
            metrics.lists.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects that cannot be understood and keep their last good meaning, by kind",
            metrics.unreadable.clone(),
        );
        metrics
    }
}

// === impl Health ===

impl Health {
    pub(super) fn new<K>(kind: String, watch: &Watch<K>) -> Self {
        Self {
            kind,
            hint: watch.hint,
            metrics: watch.metrics.clone(),
            failing: None,
            guard: watch.guard.again(),
        }
    }

    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    pub(super) fn event(&self, verb: Verb) {
        let kind = self.kind.clone();
        self.metrics
            .events
            .get_or_create(&EventLabels { kind, verb })
            .inc();
    }

    pub(super) fn unreadable(&self, count: usize) {
        let kind = self.kind.clone();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics
            .unreadable
            .get_or_create(&KindLabels { kind })
            .set(count);
    }

    pub(super) fn listed(&self, count: usize, unreadable: usize) {
        let kind = self.kind.clone();
        self.metrics.lists.get_or_create(&KindLabels { kind }).inc();
        self.unreadable(unreadable);
        debug!(kind = self.kind, count, unreadable, "Listed");
    }

    /// A watch has begun: whatever failed works again.
    pub(super) fn following(&mut self) {
        if let Some((since, _)) = self.failing.take() {
            let after_ms = clock::boottime().saturating_sub(since).as_millis();
            info!(kind = self.kind, after_ms, "Watch works again");
        }
    }

    pub(super) fn failing(&mut self, mut trouble: Trouble) {
        if trouble.reason == Reason::NotFound
            && let Some(hint) = self.hint
        {
            trouble.sentence = format!("the API server does not know {}: {hint}", self.kind);
        }
        let kind = self.kind.clone();
        let reason = trouble.reason;
        self.metrics
            .failures
            .get_or_create(&FailureLabels { kind, reason })
            .inc();
        self.guard.explain(&trouble.sentence);
        let since = match &self.failing {
            Some((_, known)) if *known == trouble => return,
            Some((since, _)) => *since,
            None => clock::boottime(),
        };
        warn!(
            kind = self.kind,
            reason = reason.as_str(),
            error = trouble.sentence,
            "Watch fails and is retried"
        );
        self.failing = Some((since, trouble));
    }
}

// === impl Verb ===

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
        };
        word.encode(encoder)
    }
}

// === impl Reason ===

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}
