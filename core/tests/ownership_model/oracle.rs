//! What must be true of several machines at once, checked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::node::NodeName;
use ferrolb_core::ownership::Move;
use ferrolb_core::plan::Plan;
use ferrolb_core::reason::MoveReason;
use ferrolb_core::time::Time;

/// How long a node that is no candidate in its own view may go on answering: three offers.
const HANDOVER_LIMIT: Duration = Duration::from_millis(3 * 150 + 50);

/// For how long after a disturbance something may still move because of it.
const AFTERMATH: Duration = Duration::from_millis(4_000);

/// The observer of all machines.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    plans: BTreeMap<NodeName, Plan>,
    announcers: BTreeMap<IpAddr, BTreeSet<NodeName>>,
    /// Pairs of announcers that hear each other: since when.
    together: BTreeMap<(IpAddr, NodeName, NodeName), Time>,
    /// Nodes that announce what they are no candidate for: since when.
    unfit: BTreeMap<(IpAddr, NodeName), Time>,
    /// What nodes have reported to own, at which epoch.
    owned: BTreeMap<(IpAddr, NodeName), u64>,
    /// Records that were stated, by VIP, epoch, node: at which boot's tenure.
    stated: BTreeSet<(IpAddr, u64, NodeName, u64)>,
    /// When something last happened that may move something.
    pub(crate) disturbed: Option<Time>,
    /// When a node last gave cause to be held dead.
    pub(crate) suspicious: BTreeMap<NodeName, Time>,
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

    pub(crate) fn disturb(&mut self, now: Time) {
        self.disturbed = Some(now);
    }

    pub(crate) fn suspect(&mut self, now: Time, node: &NodeName) {
        self.disturb(now);
        self.suspicious.insert(node.clone(), now);
    }

    /// A speaker has ended, and its sockets with it.
    pub(crate) fn ended(&mut self, node: &NodeName) {
        self.plans.remove(node);
        for nodes in self.announcers.values_mut() {
            nodes.remove(node);
        }
        self.owned.retain(|(_, at), _| at != node);
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
            self.check_report(node, boot, change)?;
            self.check_cause(now, node, change)?;
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

    /// O5: what a node gains, loses or states anew, it reports once, with one reason.
    fn check_report(&mut self, node: &NodeName, boot: u64, change: &Move) -> Result<(), String> {
        let Move { vip, epoch, .. } = *change;
        let key = (vip, node.clone());
        if change.to.as_ref() == Some(node) {
            let before = self.owned.insert(key, epoch.0);
            if before.is_some_and(|before| before >= epoch.0) {
                return Err(format!("{node} does not rise: {change:?} after epoch {before:?}"));
            }
            if !self.stated.insert((vip, epoch.0, node.clone(), boot)) {
                return Err(format!("{node} states {vip} at epoch {} twice", epoch.0));
            }
        } else if self.owned.remove(&key).is_none() {
            return Err(format!(
                "{node} reports to have lost what it did not own: {change:?}"
            ));
        }
        Ok(())
    }

    /// What is announced is what was reported.
    fn check_plan(&self, node: &NodeName, plan: &Plan) -> Result<(), String> {
        for (vip, announcement) in &plan.announcements {
            let reported = self.owned.get(&(*vip, node.clone()));
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
        for ((vip, _), epoch) in self.owned.iter().filter(|((_, at), _)| at == node) {
            if !plan.announcements.contains_key(vip) && !plan.withheld.contains_key(vip) {
                return Err(format!(
                    "{node} owns {vip} at epoch {epoch} and does not say why it is silent"
                ));
            }
        }
        Ok(())
    }

    /// Nothing moves without a cause, and a death is not claimed of who gave no cause for it.
    fn check_cause(&self, now: Time, node: &NodeName, change: &Move) -> Result<(), String> {
        if self.disturbed.is_none_or(|at| now > at + AFTERMATH) {
            return Err(format!(
                "{node} reports {change:?} though nothing has happened for long"
            ));
        }
        let Some(from) = change
            .from
            .as_ref()
            .filter(|_| change.reason == MoveReason::NodeDown)
        else {
            return Ok(());
        };
        // One that is down for longer is no mistake either.
        let is_known = self.suspicious.contains_key(from);
        if !is_known {
            return Err(format!("{node} reports {change:?} though {from} was always well"));
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
        is_candidate: impl Fn(IpAddr) -> bool,
    ) -> Result<(), String> {
        let Some(plan) = self.plans.get(node) else {
            return Ok(());
        };
        for vip in plan.announcements.keys() {
            let key = (*vip, node.clone());
            if is_candidate(*vip) {
                self.unfit.remove(&key);
            } else if now - *self.unfit.entry(key).or_insert(now) > HANDOVER_LIMIT {
                return Err(format!("{node} answers for {vip} without being a candidate"));
            }
        }
        self.unfit
            .retain(|(vip, at), _| at != node || plan.announcements.contains_key(vip));
        Ok(())
    }
}
