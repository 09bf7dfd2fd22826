//! Two owners at once: which fault excuses them, and for how long.

use std::time::Duration;

use super::super::history::{History, Span};
use super::super::{Cause, Instant};
use super::{Violation, seconds};

/// How long two owners that hear each other may coexist.
const OVERLAP: Duration = Duration::from_millis(50);

/// How long members that held each other Down may need to find each other once they can (G2).
const REUNION: Duration = Duration::from_secs(1);

/// Finds the VIPs that two nodes owned together for too long.
pub(super) fn overlaps(one: &History, other: &History, until: Instant, violations: &mut Vec<Violation>) {
    for (&vip, spans) in &one.owned {
        let others = other.owned.get(&vip).map(Vec::as_slice).unwrap_or_default();
        for (first, second) in spans
            .iter()
            .flat_map(|span| others.iter().map(move |other| (span, other)))
        {
            let from = first.from.max(second.from);
            let to = first.end(until).min(second.end(until));
            let excused = excused(one, until).chain(excused(other, until));
            let lasted = longest_unexcused(from, to, excused);
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

/// When a node may own what another owns too, because of what had happened to it:
///
/// | fault | a second owner is right | because |
/// |---|---|---|
/// | power off | until its speaker is known to have ended | it is on its way there; its next run takes nothing that is owned |
/// | cable cut | until a second after it is mended | its kernel may tell it late or, of a short cut, never |
/// | freeze | until a second after it goes on | it cannot know before it has heard of its successor |
/// | partition | until a second after it heals | each side serves |
///
/// A speaker that is killed, leaves, starts or loses its API server is excused by nothing.
fn excused(history: &History, until: Instant) -> impl Iterator<Item = (Instant, Instant)> {
    history.isolated.iter().flat_map(move |(cause, spans)| {
        let afterwards = match cause {
            Cause::Power => Duration::ZERO,
            Cause::Cable | Cause::Freeze | Cause::Partition => REUNION,
        };
        let ends = move |span: &Span| span.to.map_or(until, |to| to + afterwards);
        spans.iter().map(move |span| (span.from, ends(span)))
    })
}

/// The longest part of a stretch that nothing excuses.
fn longest_unexcused(
    from: Instant,
    to: Instant,
    excused: impl Iterator<Item = (Instant, Instant)>,
) -> Duration {
    let mut excused: Vec<_> = excused.collect();
    excused.sort();
    let mut longest = Duration::ZERO;
    let mut at = from;
    for (begins, ends) in excused {
        longest = longest.max(begins.min(to).saturating_sub(at));
        at = at.max(ends);
    }
    longest.max(to.saturating_sub(at))
}
