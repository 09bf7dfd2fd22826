//! Counts of gossip and ownership.

use std::sync::atomic::AtomicI64;

use ferrolb_core::membership::{Departure, Rejected};
use ferrolb_core::reason::MoveReason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the protocol thread counts.
#[derive(Clone, Debug, Default)]
pub struct ProtocolMetrics {
    pub(super) members: Gauge<i64, AtomicI64>,
    pub(super) announced: Gauge<i64, AtomicI64>,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    unsent: Counter,
    rejected: Family<ReasonLabels, Counter>,
    departures: Family<ReasonLabels, Counter>,
    moves: Family<ReasonLabels, Counter>,
    pub(super) restarts: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

// === impl ProtocolMetrics ===

impl ProtocolMetrics {
    /// Registers the counts.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            members,
            announced,
            received,
            sent,
            unsent,
            rejected,
            departures,
            moves,
            restarts,
        } = metrics.clone();
        registry.register("members", "Other speakers that are Up", members);
        registry.register("announced_vips", "VIPs in the plan of this node", announced);
        registry.register("gossip_received", "Gossip datagrams received", received);
        registry.register("gossip_sent", "Gossip datagrams sent", sent);
        registry.register(
            "gossip_unsent",
            "Gossip datagrams that the kernel did not take",
            unsent,
        );
        registry.register(
            "gossip_rejected",
            "Received gossip datagrams that changed nothing, by reason",
            rejected,
        );
        registry.register(
            "member_departures",
            "Members that went Down, by reason",
            departures,
        );
        registry.register(
            "ownership_moves",
            "VIPs that this node gained, lost or kept at a new epoch, by reason",
            moves,
        );
        registry.register(
            "protocol_restarts",
            "New boots within this process: others knew a later one, or the address changed",
            restarts,
        );
        metrics
    }

    pub(super) fn unsent(&self) {
        self.unsent.inc();
    }

    pub(super) fn rejected(&self, rejected: Rejected) {
        count(&self.rejected, rejected.as_str());
    }

    pub(super) fn departed(&self, departure: Departure) {
        count(&self.departures, departure.as_str());
    }

    pub(super) fn moved(&self, reason: MoveReason) {
        count(&self.moves, reason.as_str());
    }
}

fn count(family: &Family<ReasonLabels, Counter>, reason: &'static str) {
    family.get_or_create(&ReasonLabels { reason }).inc();
}
