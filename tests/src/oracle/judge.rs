//! The rules that captured frames and histories must obey.
//!
//! - No node speaks for an address that is neither its own nor owned by it at that instant.
//! - Two nodes that can hear each other do not own one VIP for more than 50 ms together.
//! - A node that takes a VIP sends both gratuitous forms, or the unsolicited advertisement.
//! - It joins the solicited-node group of an IPv6 VIP: the kernel's report of it is there when the first
//!   advertisement is, give or take the moment in which the kernel sends it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Instant;
use super::frame::{Form, Frame, Meaning};
use super::history::{History, Span};

/// What log and frame of one instant may be apart: both are stamped by one clock, but not together.
const SLACK: Duration = Duration::from_millis(5);

/// How long two owners that hear each other may coexist.
const OVERLAP: Duration = Duration::from_millis(50);

/// How long after it can be heard again a node counts as unheard still: members that held each other
/// Down need up to a second to find each other, and the tables come after that.
const HEAL: Duration = Duration::from_secs(2);

/// How long after a take the first frames of its burst may come, and what each VIP taken shortly before
/// or meanwhile adds, because bursts share a pace of 50 frames per second.
const BURST: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(40));

/// VIPs taken this long before still have frames to send.
const SHORTLY: Duration = Duration::from_secs(60);

/// How long after the first advertisement the kernel's report of the membership may come: it is sent
/// about 10 ms after joining.
const REPORT: Duration = Duration::from_millis(500);

/// Something that is against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A node spoke for an address that it did not own at that instant.
    NotOwner {
        /// The node.
        node: String,
        /// The address.
        address: IpAddr,
        /// The frame, and when and where it was seen.
        frame: String,
        /// When it owned the address.
        owned: String,
    },
    /// Two nodes owned a VIP together for too long.
    Overlap {
        /// The VIP.
        vip: IpAddr,
        /// Both nodes.
        nodes: [String; 2],
        /// How long.
        lasted: Duration,
        /// Since when.
        from: String,
    },
    /// A node took a VIP and did not say so in the way in which it must.
    NotAnnounced {
        /// The VIP.
        vip: IpAddr,
        /// The node.
        node: String,
        /// What was missing.
        missing: &'static str,
        /// When it took it.
        from: String,
    },
}

/// What one port said, by address and by group.
#[derive(Default)]
struct Said<'a> {
    claims: BTreeMap<IpAddr, Vec<(Form, &'a Frame)>>,
    /// Joined or left, in order.
    memberships: BTreeMap<Ipv6Addr, Vec<(Instant, bool)>>,
}

/// Finds every violation in what was seen until an instant.
pub(super) fn judge(frames: &[Frame], histories: &[History], until: Instant) -> Vec<Violation> {
    let mut violations = Vec::new();
    for history in histories {
        let said = Said::by(&history.watched.port, frames);
        not_owner(history, &said, &mut violations);
        not_announced(history, &said, until, &mut violations);
    }
    for (index, one) in histories.iter().enumerate() {
        for other in histories.iter().skip(index + 1) {
            overlaps(one, other, until, &mut violations);
        }
    }
    violations
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

    /// When a form was first used for a VIP in a stretch of time.
    fn first(&self, vip: IpAddr, form: Form, from: Instant, to: Instant) -> Option<Instant> {
        let claims = self.claims.get(&vip)?;
        let mut times = claims
            .iter()
            .filter(|claim| claim.0 == form)
            .map(|claim| claim.1.at);
        times.find(|&at| at >= from && at <= to)
    }

    /// Whether the port was a member of a group at an instant.
    fn is_member(&self, group: Ipv6Addr, at: Instant) -> bool {
        let memberships = self.memberships.get(&group);
        let mut before = memberships.into_iter().flatten().filter(|change| change.0 <= at);
        before.next_back().is_some_and(|change| change.1)
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOwner {
                node,
                address,
                frame,
                owned,
            } => write!(f, "{node} spoke for {address}, which it owned {owned}; {frame}"),
            Self::Overlap {
                vip,
                nodes: [one, other],
                lasted,
                from,
            } => write!(f, "{one} and {other} both owned {vip} for {lasted:?} from {from}"),
            Self::NotAnnounced {
                vip,
                node,
                missing,
                from,
            } => write!(f, "{node} took {vip} at {from} without {missing}"),
        }
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

fn overlaps(one: &History, other: &History, until: Instant, violations: &mut Vec<Violation>) {
    for (&vip, spans) in &one.owned {
        let others = other.owned.get(&vip).map(Vec::as_slice).unwrap_or_default();
        for (first, second) in spans
            .iter()
            .flat_map(|span| others.iter().map(move |other| (span, other)))
        {
            let from = first.from.max(second.from);
            let to = first.end(until).min(second.end(until));
            let deaf = one.isolated.iter().chain(&other.isolated);
            let lasted = longest_heard(from, to, deaf.copied(), until);
            if lasted > OVERLAP {
                violations.push(Violation::Overlap {
                    vip,
                    nodes: [one.watched.node.clone(), other.watched.node.clone()],
                    lasted,
                    from: seconds(from),
                });
            }
        }
    }
}

/// The longest part of a stretch in which both nodes could hear each other.
fn longest_heard(from: Instant, to: Instant, deaf: impl Iterator<Item = Span>, until: Instant) -> Duration {
    let mut deaf: Vec<_> = deaf
        .map(|span| (span.from, span.to.map_or(until, |to| to + HEAL)))
        .collect();
    deaf.sort();
    let mut longest = Duration::ZERO;
    let mut at = from;
    for (begins, ends) in deaf {
        longest = longest.max(begins.min(to).saturating_sub(at));
        at = at.max(ends);
    }
    longest.max(to.saturating_sub(at))
}

fn not_announced(history: &History, said: &Said<'_>, until: Instant, violations: &mut Vec<Violation>) {
    let starts: Vec<_> = history.owned.values().flatten().map(|span| span.from).collect();
    for (&vip, spans) in &history.owned {
        for span in spans {
            let deadline = burst_deadline(span.from, &starts);
            let is_heard = !history
                .isolated
                .iter()
                .any(|deaf| deaf.from <= deadline && deaf.to.is_none_or(|to| to >= span.from));
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
    let first = |form| said.first(vip, form, from, deadline);
    let mut missing = Vec::new();
    match vip {
        IpAddr::V4(_) => {
            if first(Form::GratuitousRequest).is_none() {
                missing.push("a gratuitous ARP request");
            }
            if first(Form::GratuitousReply).is_none() {
                missing.push("a gratuitous ARP reply");
            }
        }
        IpAddr::V6(address) => match first(Form::Unsolicited) {
            None => missing.push("an unsolicited neighbor advertisement"),
            Some(at) if !said.is_member(solicited_node_group(address), at + REPORT) => {
                missing.push("joining its solicited-node group before its first advertisement");
            }
            Some(_) => {}
        },
    }
    missing
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
