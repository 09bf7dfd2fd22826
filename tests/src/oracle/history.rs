//! What one node owned when, from its speaker's log and from what the lab told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::logs::Saying;
use super::{Cause, Happening, Instant, Told, Watched};

/// One node's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) watched: Watched,
    /// When it answered for each VIP, in order.
    pub(super) owned: BTreeMap<IpAddr, Vec<Span>>,
    /// When others could not hear it, and why.
    pub(super) isolated: BTreeMap<Cause, Vec<Span>>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Instant,
    /// `None`: it lasts.
    pub(super) to: Option<Instant>,
}

/// What changes what a node owns.
#[derive(Clone, Copy, Debug)]
enum Change {
    Said(Saying),
    Told(Happening),
}

// === impl Span ===

impl Span {
    /// Its end, when nothing is known after `until`.
    pub(super) fn end(&self, until: Instant) -> Instant {
        self.to.unwrap_or(until)
    }

    /// Whether it contains an instant, with some slack at both ends.
    pub(super) fn contains(&self, at: Instant, slack: Duration) -> bool {
        at + slack >= self.from && self.to.is_none_or(|to| at <= to + slack)
    }
}

// === impl History ===

impl History {
    /// Puts together what a node's log says and what was told about it.
    pub(super) fn new(watched: Watched, sayings: Vec<(Instant, Saying)>, told: &[Told]) -> Self {
        let sayings = sayings.into_iter().map(|(at, saying)| (at, Change::Said(saying)));
        let told = told.iter().filter(|told| told.node == watched.node);
        let mut changes: Vec<_> = sayings
            .chain(told.map(|told| (told.at, Change::Told(told.happening))))
            .collect();
        changes.sort_by_key(|(at, _)| *at);

        let mut history = Self {
            watched,
            owned: BTreeMap::new(),
            isolated: BTreeMap::new(),
        };
        for (at, change) in changes {
            history.apply(at, change);
        }
        history
    }

    /// Whether an address is the node's own, or one that every interface has.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        let is_link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        is_link_local || self.watched.own.contains(&address)
    }

    fn apply(&mut self, at: Instant, change: Change) {
        match change {
            // Without a withdrawal before it, a new run of the speaker: the old one has ended.
            Change::Said(Saying::Announcing(vip)) => open(self.owned.entry(vip).or_default(), at),
            Change::Said(Saying::Withdrew(vip)) => close(self.owned.entry(vip).or_default(), at),
            Change::Told(Happening::Ended) => {
                for spans in self.owned.values_mut() {
                    close(spans, at);
                }
            }
            Change::Told(Happening::Isolated(cause)) => open(self.isolated.entry(cause).or_default(), at),
            Change::Told(Happening::Reachable(cause)) => close(self.isolated.entry(cause).or_default(), at),
        }
    }
}

fn open(spans: &mut Vec<Span>, at: Instant) {
    close(spans, at);
    spans.push(Span { from: at, to: None });
}

fn close(spans: &mut [Span], at: Instant) {
    if let Some(span) = spans.last_mut().filter(|span| span.to.is_none()) {
        span.to = Some(at);
    }
}
