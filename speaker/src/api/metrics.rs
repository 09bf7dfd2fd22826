//! Counts of the status writer.

use ferrolb_runtime::trouble::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What became of patches of claim status.
#[derive(Clone, Debug, Default)]
pub struct WriteMetrics {
    written: Counter,
    failed: Family<FailureLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: Reason,
}

// === impl WriteMetrics ===

impl WriteMetrics {
    /// Registers the counts.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "claim_status_writes",
            "Patches of claim status that the API server has answered",
            metrics.written.clone(),
        );
        registry.register(
            "claim_status_failures",
            "Patches of claim status that failed and are retried, by reason",
            metrics.failed.clone(),
        );
        metrics
    }

    pub(super) fn written(&self) {
        self.written.inc();
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failed.get_or_create(&FailureLabels { reason }).inc();
    }
}
