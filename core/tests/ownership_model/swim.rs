//! A stand-in for membership: Up and Down with realistic delays, indirect probes, and mistakes.

use std::collections::BTreeMap;
use std::time::Duration;

use ferrolb_core::node::{Boot, NodeName};
use ferrolb_core::ownership::MemberEvent;
use ferrolb_core::time::Time;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::millis;

/// Within which time members that can reach each other again are Up again (G2), the look at it included.
pub(crate) const REUNION: Duration = millis(1_000);

/// How often the beliefs are looked at.
pub(crate) const TICK: Duration = millis(25);

/// What one node believes of another.
#[derive(Clone, Debug, Default)]
struct Belief {
    /// The boot that is Up.
    up: Option<Boot>,
    /// The boot that was seen last.
    last: Option<Boot>,
    /// When the belief changes if what suggests it goes on.
    changes_at: Option<Time>,
}

/// The beliefs of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Swim {
    beliefs: BTreeMap<(NodeName, NodeName), Belief>,
}

/// What really is.
pub(crate) struct Reality<'a> {
    pub(crate) now: Time,
    /// Running speakers.
    pub(crate) boots: &'a BTreeMap<NodeName, Boot>,
    /// Whether datagrams go both ways.
    pub(crate) is_linked: &'a dyn Fn(&NodeName, &NodeName) -> bool,
}

impl Swim {
    pub(crate) fn is_up(&self, at: &NodeName, of: &NodeName) -> bool {
        self.beliefs
            .get(&(at.clone(), of.clone()))
            .is_some_and(|belief| belief.up.is_some())
    }

    /// A speaker has ended: what it believed is gone.
    pub(crate) fn forget(&mut self, node: &NodeName) {
        self.beliefs.retain(|(at, _), _| at != node);
    }

    /// A speaker has left, and said so.
    pub(crate) fn leave(&mut self, now: Time, node: &NodeName, rng: &mut StdRng) {
        for ((_, of), belief) in &mut self.beliefs {
            if of == node && belief.up.is_some() {
                belief.changes_at = Some(now + millis(rng.random_range(0..50)));
            }
        }
    }

    /// A healthy member is held Down for a moment.
    pub(crate) fn mistake(
        &mut self,
        reality: &Reality<'_>,
        at: &NodeName,
        of: &NodeName,
        rng: &mut StdRng,
    ) -> Option<MemberEvent> {
        let belief = self.beliefs.get_mut(&(at.clone(), of.clone()))?;
        let boot = belief.up.take()?;
        belief.changes_at = Some(reality.now + millis(rng.random_range(100..600)));
        Some(MemberEvent::Down {
            node: of.clone(),
            boot,
        })
    }

    /// What the nodes come to believe now.
    pub(crate) fn tick(
        &mut self,
        reality: &Reality<'_>,
        nodes: &[NodeName],
        rng: &mut StdRng,
    ) -> Vec<(NodeName, MemberEvent)> {
        let mut events = Vec::new();
        for at in nodes.iter().filter(|at| reality.boots.contains_key(*at)) {
            for of in nodes.iter().filter(|of| *of != at) {
                let reached = reality.boots.get(of).copied().filter(|_| reality.reaches(at, of));
                let belief = self.beliefs.entry((at.clone(), of.clone())).or_default();
                if let Some(event) = belief.update(reality.now, of, reached, rng) {
                    events.push((at.clone(), event));
                }
            }
        }
        // News of a death travels with every probe.
        for (at, event) in &events {
            let MemberEvent::Down { node: dead, .. } = event else {
                continue;
            };
            for ((other, of), belief) in &mut self.beliefs {
                if of == dead && other != at && belief.up.is_some() && (reality.is_linked)(at, other) {
                    let soon = reality.now + millis(rng.random_range(0..60));
                    belief.changes_at = belief.changes_at.map(|at| at.min(soon));
                }
            }
        }
        events
    }
}

impl Reality<'_> {
    /// Directly, or through one other member.
    pub(crate) fn reaches(&self, at: &NodeName, of: &NodeName) -> bool {
        (self.is_linked)(at, of)
            || self.boots.keys().any(|through| {
                through != at
                    && through != of
                    && (self.is_linked)(at, through)
                    && (self.is_linked)(through, of)
            })
    }
}

impl Belief {
    fn update(
        &mut self,
        now: Time,
        of: &NodeName,
        reached: Option<Boot>,
        rng: &mut StdRng,
    ) -> Option<MemberEvent> {
        if self.up == reached {
            self.changes_at = None;
            return None;
        }
        let delay = match (self.up, reached) {
            (Some(_), None) => rng.random_range(350..700),
            (Some(_), Some(_)) => rng.random_range(20..400),
            (None, _) if self.last == reached => rng.random_range(100..975),
            (None, _) => rng.random_range(20..400),
        };
        if now < *self.changes_at.get_or_insert(now + millis(delay)) {
            return None;
        }
        self.changes_at = None;
        let old = std::mem::replace(&mut self.up, reached);
        self.last = reached.or(self.last);
        let node = of.clone();
        match (old, reached) {
            (_, Some(boot)) => Some(MemberEvent::Up { node, boot }),
            (Some(boot), None) => Some(MemberEvent::Down { node, boot }),
            (None, None) => None,
        }
    }
}
