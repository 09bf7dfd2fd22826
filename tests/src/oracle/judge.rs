//! The rules that captured frames and histories must obey.
//!
//! - No node speaks for an address that is neither its own nor owned by it at that instant. No fault
//!   excuses that.
//! - Two nodes do not own one VIP for more than 50 ms together. Only a fault that keeps a node from
//!   being heard, and does not end its ownership, excuses more, and for how long follows from the fault
//!   (`overlap`).
//! - A node that takes a VIP sends both gratuitous forms, or the unsolicited advertisement.
//! - Whoever speaks for an IPv6 VIP is a member of its solicited-node group. The speaker joins before it
//!   answers, and announces nothing whose group it could not join; but its kernel reports the
//!   membership only afterwards, when its worker gets round to it. So on the wire a report goes before,
//!   or comes soon.
//! - Every VIP that a client was answered for was spoken for here: a capture or a log that misses it is
//!   no acquittal. Nor is a capture from which frames were dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Instant;
use super::capture::Seen;
use super::frame::{Form, Frame, Meaning};
use super::history::{History, Span};

mod overlap;
mod violation;

use overlap::overlaps;
pub use violation::Violation;

/// What log and frame of one instant may be apart: both are stamped by one clock, but not together.
const SLACK: Duration = Duration::from_millis(5);

/// How long after a take the first frames of its burst may come, and what each VIP taken shortly before
/// or meanwhile adds, because bursts share a pace of 50 frames per second.
const BURST: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(40));

/// VIPs taken this long before still have frames to send.
const SHORTLY: Duration = Duration::from_secs(60);

/// How long after joining the kernel's report may come: two ticks of its clock (8 to 20 ms), and as long
/// as its worker for that is kept waiting. While other namespaces are removed, 9 s were seen.
const REPORT: Duration = Duration::from_secs(10);

/// How much there was to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Frames of any kind.
    pub frames: usize,
    /// How often a node spoke for a VIP that it owned, by VIP.
    pub answers: BTreeMap<IpAddr, usize>,
    /// How often a VIP was taken.
    pub takes: usize,
}

/// What is judged.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) seen: &'a Seen,
    pub(super) histories: &'a [History],
    /// VIPs that a client was answered for.
    pub(super) served: &'a BTreeSet<IpAddr>,
}

/// What one port said, by address and by group.
#[derive(Default)]
struct Said<'a> {
    claims: BTreeMap<IpAddr, Vec<(Form, &'a Frame)>>,
    /// Joined or left, in order.
    memberships: BTreeMap<Ipv6Addr, Vec<(Instant, bool)>>,
}

// === impl Case ===

impl Case<'_> {
    /// Finds every violation, and how much there was to look at.
    pub(super) fn judge(&self) -> (Judged, Vec<Violation>) {
        let Self {
            seen,
            histories,
            served,
        } = *self;
        let mut violations = Vec::new();
        let mut judged = Judged {
            frames: seen.frames.len(),
            ..Judged::default()
        };
        if seen.dropped > 0 {
            let frames = seen.dropped;
            violations.push(Violation::Dropped { frames });
        }
        for history in histories {
            let said = Said::by(&history.watched.port, &seen.frames);
            judged.count(history, &said);
            not_owner(history, &said, &mut violations);
            not_announced(history, &said, seen.until, &mut violations);
            not_member(history, &said, seen.until, &mut violations);
        }
        for (index, one) in histories.iter().enumerate() {
            for other in histories.iter().skip(index + 1) {
                overlaps(one, other, seen.until, &mut violations);
            }
        }
        let unseen = served.iter().filter(|vip| !judged.answers.contains_key(*vip));
        violations.extend(unseen.map(|&vip| Violation::Unseen { vip }));
        (judged, violations)
    }
}

// === impl Judged ===

impl Judged {
    fn count(&mut self, history: &History, said: &Said<'_>) {
        self.takes += history.owned.values().map(Vec::len).sum::<usize>();
        for vip in history.owned.keys() {
            if let Some(claims) = said.claims.get(vip) {
                *self.answers.entry(*vip).or_default() += claims.len();
            }
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: usize = self.answers.values().sum();
        write!(
            f,
            "the packet oracle judged {} frames: {answers} for {} VIPs, which were taken {} times",
            self.frames,
            self.answers.len(),
            self.takes
        )
    }
}

// === impl Said ===

impl<'a> Said<'a> {
    fn by(port: &str, frames: &'a [Frame]) -> Self {
        let mut said = Self::default();
        for frame in frames.iter().filter(|frame| frame.port == port) {
            for meaning in frame.meanings() {
                match meaning {
                    Meaning::Claim(address, form) => {
                        said.claims.entry(address).or_default().push((form, frame));
                    }
                    Meaning::Join(group) => said.memberships.entry(group).or_default().push((frame.at, true)),
                    Meaning::Leave(group) => {
                        said.memberships.entry(group).or_default().push((frame.at, false));
                    }
                }
            }
        }
        said
    }

    /// Whether a form was used for a VIP in a stretch of time.
    fn has_used(&self, vip: IpAddr, form: Form, from: Instant, to: Instant) -> bool {
        let claims = self.claims.get(&vip).map(Vec::as_slice).unwrap_or_default();
        let in_time = |frame: &Frame| frame.at >= from && frame.at <= to;
        claims.iter().any(|(used, frame)| *used == form && in_time(frame))
    }

    /// Whether the port was a member of a group at an instant, as far as reports show until `REPORT`
    /// later. One that comes afterwards shows it, also when it is of leaving.
    fn is_member(&self, group: Ipv6Addr, at: Instant) -> bool {
        let memberships = self
            .memberships
            .get(&group)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let (before, after) = memberships.split_at(memberships.partition_point(|change| change.0 <= at));
        before.last().is_some_and(|change| change.1)
            || after.first().is_some_and(|change| change.0 <= at + REPORT)
    }
}

fn not_owner(history: &History, said: &Said<'_>, violations: &mut Vec<Violation>) {
    for (&address, claims) in &said.claims {
        if history.is_own(address) {
            continue;
        }
        let spans = history.owned.get(&address).map(Vec::as_slice).unwrap_or_default();
        for (_, frame) in claims {
            if !spans.iter().any(|span| span.contains(frame.at, SLACK)) {
                violations.push(Violation::NotOwner {
                    node: history.watched.node.clone(),
                    address,
                    frame: frame.to_string(),
                    owned: describe(spans),
                });
            }
        }
    }
}

fn not_announced(history: &History, said: &Said<'_>, until: Instant, violations: &mut Vec<Violation>) {
    let starts: Vec<_> = history.owned.values().flatten().map(|span| span.from).collect();
    for (&vip, spans) in &history.owned {
        for span in spans {
            let deadline = burst_deadline(span.from, &starts);
            let mut isolated = history.isolated.values().flatten();
            let is_heard =
                !isolated.any(|deaf| deaf.from <= deadline && deaf.to.is_none_or(|to| to >= span.from));
            // What ended before it had to be done is no violation, nor what nobody could see.
            if !is_heard || deadline >= span.end(until) {
                continue;
            }
            let from = span.from.saturating_sub(SLACK);
            for missing in missing(vip, said, from, deadline) {
                violations.push(Violation::NotAnnounced {
                    vip,
                    node: history.watched.node.clone(),
                    missing,
                    from: seconds(span.from),
                });
            }
        }
    }
}

/// Until when the first frames of a VIP's burst may come, given when VIPs were taken here. Those taken
/// while it waits for its turn add to the wait, since every VIP's first frame goes before any second.
fn burst_deadline(taken: Instant, starts: &[Instant]) -> Instant {
    let mut deadline = taken + BURST.0;
    loop {
        let sharing = starts
            .iter()
            .filter(|&&at| at + SHORTLY >= taken && at <= deadline);
        let later = taken + BURST.0 + BURST.1 * u32::try_from(sharing.count()).unwrap_or(u32::MAX);
        if later <= deadline {
            return deadline;
        }
        deadline = later;
    }
}

/// What a burst of a VIP lacked.
fn missing(vip: IpAddr, said: &Said<'_>, from: Instant, deadline: Instant) -> Vec<&'static str> {
    let wanted: &[_] = match vip {
        IpAddr::V4(_) => &[
            (Form::GratuitousRequest, "a gratuitous ARP request"),
            (Form::GratuitousReply, "a gratuitous ARP reply"),
        ],
        IpAddr::V6(_) => &[(Form::Unsolicited, "an unsolicited neighbor advertisement")],
    };
    let is_missing = |form| !said.has_used(vip, form, from, deadline);
    let missing = wanted.iter().filter(|(form, _)| is_missing(*form));
    missing.map(|(_, what)| *what).collect()
}

/// Finds the first frame of each ownership that was sent outside of the group. What can still be
/// reported is none.
fn not_member(history: &History, said: &Said<'_>, until: Instant, violations: &mut Vec<Violation>) {
    for (&vip, spans) in &history.owned {
        let (IpAddr::V6(address), Some(claims)) = (vip, said.claims.get(&vip)) else {
            continue;
        };
        let group = solicited_node_group(address);
        for span in spans {
            let mut judged = claims
                .iter()
                .map(|(_, frame)| *frame)
                .filter(|frame| span.contains(frame.at, SLACK) && frame.at + REPORT <= until);
            if let Some(frame) = judged.find(|frame| !said.is_member(group, frame.at)) {
                violations.push(Violation::NotMember {
                    vip,
                    node: history.watched.node.clone(),
                    frame: frame.to_string(),
                });
            }
        }
    }
}

fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn describe(spans: &[Span]) -> String {
    if spans.is_empty() {
        return "never".to_owned();
    }
    let spans: Vec<_> = spans
        .iter()
        .map(|span| {
            format!(
                "{} to {}",
                seconds(span.from),
                span.to.map_or("now".to_owned(), seconds)
            )
        })
        .collect();
    format!("from {}", spans.join(", "))
}

fn seconds(at: Instant) -> String {
    format!("{:.6}", at.as_secs_f64())
}

#[cfg(test)]
mod tests;
