//! What must be true of several machines at once, checked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::node::NodeName;
use ferrolb_core::ownership::Move;
use ferrolb_core::plan::Plan;
use ferrolb_core::reason::MoveReason;
use ferrolb_core::time::Time;

use crate::causes::Causes;

/// How long a node that is no candidate in its own view may go on answering: three offers.
const HANDOVER_LIMIT: Duration = Duration::from_millis(3 * 150 + 50);

/// The observer of all machines.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    plans: BTreeMap<NodeName, Plan>,
    announcers: BTreeMap<IpAddr, BTreeSet<NodeName>>,
    /// Pairs of announcers that hear each other: since when.
    together: BTreeMap<(IpAddr, NodeName, NodeName), Time>,
    /// Nodes that announce what they are no candidate for: since when.
    unfit: BTreeMap<(IpAddr, NodeName), Time>,
    /// Who owns what, and what moves are allowed.
    pub(crate) causes: Causes,
    /// Records that were stated, by VIP, epoch, node: at which boot's tenure.
    stated: BTreeSet<(IpAddr, u64, NodeName, u64)>,
    /// Everything has come to rest: nothing may move for whatever reason.
    pub(crate) is_calm: bool,
    /// How long two announcers that hear each other may coexist.
    coexistence: Duration,
    pub(crate) moves: Vec<(Time, NodeName, Move)>,
    pub(crate) longest_together: Duration,
}

/// What one machine did at one time.
pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) node: &'a NodeName,
    pub(crate) boot: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) moves: &'a [Move],
}

// === impl Oracle ===

impl Oracle {
    pub(crate) fn new(coexistence: Duration) -> Self {
        Self {
            coexistence,
            ..Self::default()
        }
    }

    pub(crate) fn announcers(&self, vip: IpAddr) -> BTreeSet<NodeName> {
        self.announcers.get(&vip).cloned().unwrap_or_default()
    }

    /// What a node announces and withholds, as far as it was seen.
    pub(crate) fn plan(&self, node: &NodeName) -> Option<&Plan> {
        self.plans.get(node)
    }

    /// A speaker has ended, and its sockets with it.
    pub(crate) fn ended(&mut self, node: &NodeName) {
        self.plans.remove(node);
        for nodes in self.announcers.values_mut() {
            nodes.remove(node);
        }
        self.causes.ended(node);
        self.together
            .retain(|(_, one, other), _| one != node && other != node);
        self.unfit.retain(|(_, at), _| at != node);
    }

    /// One machine has taken a step.
    pub(crate) fn stepped(&mut self, step: &Step<'_>) -> Result<(), String> {
        let Step {
            now,
            node,
            boot,
            plan,
            moves,
        } = *step;
        for change in moves {
            if self.is_calm {
                return Err(format!("{node} reports {change:?} though all is at rest"));
            }
            self.check_report(node, boot, change)?;
            self.causes.reported(now, node, change, self.coexistence)?;
            self.moves.push((now, node.clone(), change.clone()));
        }
        let old = self.plan(node).cloned().unwrap_or_default();
        self.check_plan(node, plan)?;
        if old.announcements != plan.announcements {
            for vip in old.announcements.keys() {
                self.announcers.entry(*vip).or_default().remove(node);
            }
            for vip in plan.announcements.keys() {
                self.announcers.entry(*vip).or_default().insert(node.clone());
            }
        }
        self.plans.insert(node.clone(), plan.clone());
        Ok(())
    }

    /// What a node gains, loses or states anew, it reports once, at a rising epoch.
    fn check_report(&mut self, node: &NodeName, boot: u64, change: &Move) -> Result<(), String> {
        let Move { vip, epoch, .. } = *change;
        let before = self.causes.owned_by(node).get(&vip).copied();
        if change.to.as_ref() == Some(node) {
            if before.is_some_and(|before| before >= epoch.0) {
                return Err(format!("{node} does not rise: {change:?} after epoch {before:?}"));
            }
            if !self.stated.insert((vip, epoch.0, node.clone(), boot)) {
                return Err(format!("{node} states {vip} at epoch {} twice", epoch.0));
            }
        } else if before.is_none() {
            return Err(format!(
                "{node} reports to have lost what it did not own: {change:?}"
            ));
        }
        Ok(())
    }

    /// What is announced is what was reported.
    fn check_plan(&self, node: &NodeName, plan: &Plan) -> Result<(), String> {
        let owned = self.causes.owned_by(node);
        for (vip, announcement) in &plan.announcements {
            let reported = owned.get(vip);
            if reported != Some(&announcement.epoch) {
                let epoch = announcement.epoch;
                return Err(format!(
                    "{node} announces {vip} at epoch {epoch}, but reported {reported:?}"
                ));
            }
            if announcement.interfaces.is_empty() {
                return Err(format!("{node} announces {vip} on no interface"));
            }
            if plan.withheld.contains_key(vip) {
                return Err(format!("{node} both announces and withholds {vip}"));
            }
        }
        for (vip, epoch) in owned {
            if !plan.announcements.contains_key(&vip) && !plan.withheld.contains_key(&vip) {
                return Err(format!(
                    "{node} owns {vip} at epoch {epoch} and does not say why it is silent"
                ));
            }
        }
        Ok(())
    }

    /// O2: for every pair of announcers, whether they hear each other now.
    pub(crate) fn check_pairs(
        &mut self,
        now: Time,
        hears: impl Fn(&NodeName, &NodeName) -> bool,
    ) -> Result<(), String> {
        let mut pairs = BTreeSet::new();
        for (vip, nodes) in self.announcers.iter().filter(|(_, nodes)| nodes.len() > 1) {
            for one in nodes {
                for other in nodes.iter().filter(|other| *other > one) {
                    if hears(one, other) && hears(other, one) {
                        pairs.insert((*vip, one.clone(), other.clone()));
                    }
                }
            }
        }
        self.together.retain(|pair, _| pairs.contains(pair));
        for pair in pairs {
            let since = *self.together.entry(pair.clone()).or_insert(now);
            self.longest_together = self.longest_together.max(now - since);
            if now - since > self.coexistence {
                let (vip, one, other) = pair;
                return Err(format!(
                    "{one} and {other} hear each other and both announce {vip} for {:?}",
                    now - since
                ));
            }
        }
        Ok(())
    }

    /// O3: a node that is no candidate in its own view answers only during a handover.
    pub(crate) fn check_fitness(
        &mut self,
        now: Time,
        node: &NodeName,
        objections: &[(IpAddr, BTreeSet<MoveReason>)],
    ) -> Result<(), String> {
        let mut unfit = BTreeMap::new();
        for (vip, objections) in objections {
            for reason in objections {
                self.causes.object(now, *vip, node, *reason);
            }
            let is_answering = self
                .plan(node)
                .is_some_and(|plan| plan.announcements.contains_key(vip));
            if is_answering && !objections.is_empty() {
                let key = (*vip, node.clone());
                let since = self.unfit.get(&key).copied().unwrap_or(now);
                if now - since > HANDOVER_LIMIT {
                    return Err(format!(
                        "{node} answers for {vip} against {objections:?} since {since:?}"
                    ));
                }
                unfit.insert(key, since);
            }
        }
        self.unfit.retain(|(_, at), _| at != node);
        self.unfit.append(&mut unfit);
        Ok(())
    }
}
