//! What one node owned when, from its speaker's log and from what the lab told.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::{Happening, Instant, Told, Watched};

/// One node's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) watched: Watched,
    /// When it answered for each VIP, in order.
    pub(super) owned: BTreeMap<IpAddr, Vec<Span>>,
    /// When others could not hear it.
    pub(super) isolated: Vec<Span>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Instant,
    /// `None`: it lasts.
    pub(super) to: Option<Instant>,
}

/// A line of a log.
#[derive(Deserialize)]
struct Line {
    timestamp: Timestamp,
    message: String,
    vip: Option<IpAddr>,
}

/// What changes what a node owns.
#[derive(Clone, Copy, Debug)]
enum Change {
    Announcing(IpAddr),
    Withdrew(IpAddr),
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
    /// Reads a node's log as it is now.
    pub(super) fn read(watched: Watched, told: &[Told]) -> Result<Self> {
        let mut texts = Vec::new();
        read_logs(&watched.log, &mut texts)?;
        Ok(Self::new(watched, &texts, told))
    }

    pub(super) fn new(watched: Watched, logs: &[String], told: &[Told]) -> Self {
        let lines = logs.iter().flat_map(|text| text.lines());
        let mut changes: Vec<_> = lines.filter_map(change).collect();
        changes.extend(
            told.iter()
                .filter(|told| told.node == watched.node)
                .map(|told| (told.at, Change::Told(told.happening))),
        );
        changes.sort_by_key(|(at, _)| *at);

        let mut history = Self {
            watched,
            owned: BTreeMap::new(),
            isolated: Vec::new(),
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
            Change::Announcing(vip) => open(self.owned.entry(vip).or_default(), at),
            Change::Withdrew(vip) => close(self.owned.entry(vip).or_default(), at),
            Change::Told(Happening::Ended) => {
                for spans in self.owned.values_mut() {
                    close(spans, at);
                }
            }
            Change::Told(Happening::Isolated) => open(&mut self.isolated, at),
            Change::Told(Happening::Reachable) => close(&mut self.isolated, at),
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

/// The change that a line of a log tells of. A kubelet puts words of its own before the line.
fn change(line: &str) -> Option<(Instant, Change)> {
    let line: Line = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    let since = line.timestamp.duration_since(Timestamp::UNIX_EPOCH);
    let at = Duration::try_from(since).ok()?;
    let change = match line.message.as_str() {
        "Announcing VIP" => Change::Announcing(line.vip?),
        "Withdrew VIP" => Change::Withdrew(line.vip?),
        _ => return None,
    };
    Some((at, change))
}

/// Reads a file, or all files below a directory; what is not there yet has nothing to say.
fn read_logs(path: &Path, texts: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            read_logs(&entry?.path(), texts)?;
        }
        return Ok(());
    }
    match fs::read(path) {
        Ok(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    Ok(())
}
