//! Counters of frames per interface, encoded when they are scraped.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferrolb_core::responder::Counters;
use ferrolb_core::wire::DropReason;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::socket::Failure;

/// The frame counters of all interfaces that have been used since the start.
#[derive(Clone, Debug, Default)]
pub struct FrameMetrics {
    /// By interface name. The lock is held for a copy, never across an await.
    by_interface: Arc<Mutex<BTreeMap<String, InterfaceCounters>>>,
}

/// The counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// What the responder counted.
    pub frames: Counters,
    /// Frames that could not be sent, and sockets that failed, by what that meant.
    pub failures: BTreeMap<Failure, u64>,
}

// === impl FrameMetrics ===

impl FrameMetrics {
    /// The counters of one interface, if it was ever used.
    pub fn of(&self, interface: &str) -> Option<InterfaceCounters> {
        self.by_interface.lock().get(interface).cloned()
    }

    /// Replaces what the responder of an interface counted. A responder that began anew counts
    /// from zero, which scrapers understand.
    pub(super) fn set_frames(&self, interface: &str, frames: &Counters) {
        self.with(interface, |counters| counters.frames.clone_from(frames));
    }

    /// Counts a failure.
    pub(super) fn count(&self, interface: &str, failure: Failure) {
        self.with(interface, |counters| {
            *counters.failures.entry(failure).or_default() += 1;
        });
    }

    fn with(&self, interface: &str, change: impl FnOnce(&mut InterfaceCounters)) {
        let mut by_interface = self.by_interface.lock();
        match by_interface.get_mut(interface) {
            Some(counters) => change(counters),
            None => change(by_interface.entry(interface.to_owned()).or_default()),
        }
    }
}

impl Collector for FrameMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let by_interface = self.by_interface.lock().clone();
        let mut encode = |name: &str, help: &str, samples: Vec<(&str, Option<&str>, u64)>| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (interface, reason, value) in samples {
                let counter = ConstCounter::new(value);
                match reason {
                    Some(reason) => {
                        let labels = [("interface", interface), ("reason", reason)];
                        counter.encode(metric.encode_family(&labels)?)?;
                    }
                    None => counter.encode(metric.encode_family(&[("interface", interface)])?)?,
                }
            }
            Ok::<_, std::fmt::Error>(())
        };
        let each = |value: fn(&InterfaceCounters) -> u64| {
            by_interface
                .iter()
                .map(|(name, counters)| (name.as_str(), None, value(counters)))
                .collect()
        };
        encode(
            "ferrolb_speaker_replies",
            "Requests for a VIP that were answered",
            each(|counters| counters.frames.replies),
        )?;
        encode(
            "ferrolb_speaker_announcements",
            "Gratuitous ARP frames and unsolicited neighbor advertisements",
            each(|counters| counters.frames.announcements),
        )?;
        encode(
            "ferrolb_speaker_foreign_claims",
            "Frames by which another MAC claimed a VIP of this node",
            each(|counters| counters.frames.foreign_claims),
        )?;
        let dropped = by_interface.iter().flat_map(|(name, counters)| {
            let of = |reason| counters.frames.dropped.get(&reason).copied().unwrap_or_default();
            DropReason::ALL.map(|reason| (name.as_str(), Some(reason.as_str()), of(reason)))
        });
        encode(
            "ferrolb_speaker_dropped_frames",
            "Frames that led to nothing",
            dropped.collect(),
        )?;
        let failures = by_interface.iter().flat_map(|(name, counters)| {
            let failures = counters.failures.iter();
            failures.map(|(failure, count)| (name.as_str(), Some(failure.as_str()), *count))
        });
        encode(
            "ferrolb_speaker_socket_failures",
            "Errors of packet sockets",
            failures.collect(),
        )
    }
}
