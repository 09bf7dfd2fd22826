//! Which VIPs are really answered now. The two log lines that say so are written here, before the
//! first frame can go out and after the last one has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_core::interface::IfIndex;
use ferrolb_core::plan::Plan;
use tokio::sync::watch;

/// The answered VIPs, by address.
pub type Answering = BTreeMap<IpAddr, Answered>;

/// One VIP that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The epoch of the record by which this node answers.
    pub epoch: u64,
    /// Where; never empty.
    pub interfaces: BTreeSet<IfIndex>,
}

/// Where the tasks of all interfaces write what they answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// Also the lock: it is held for one update, never across an await.
    answering: Arc<watch::Sender<Answering>>,
}

/// The part of the ledger that one interface's task writes. Dropping it withdraws everything.
#[derive(Debug)]
pub(super) struct Page {
    index: IfIndex,
    ledger: Ledger,
    plan: watch::Receiver<Arc<Plan>>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn subscribe(&self) -> watch::Receiver<Answering> {
        self.answering.subscribe()
    }

    pub(super) fn page(&self, index: IfIndex, plan: watch::Receiver<Arc<Plan>>) -> Page {
        Page {
            index,
            ledger: self.clone(),
            plan,
        }
    }
}

// === impl Page ===

impl Page {
    /// Writes down that these VIPs are about to be answered here. Call it before the responder
    /// may answer.
    pub(super) fn begin(&self, plan: &Plan, vips: impl IntoIterator<Item = IpAddr>) {
        self.ledger.answering.send_if_modified(|answering| {
            let mut has_changed = false;
            for vip in vips {
                let Some(announcement) = plan.announcements.get(&vip) else {
                    continue;
                };
                let epoch = announcement.epoch;
                let answered = answering.entry(vip).or_insert_with(|| {
                    has_changed = true;
                    let from = announcement.from.as_ref().map(tracing::field::display);
                    let reason = announcement.reason.as_str();
                    tracing::info!(%vip, epoch, reason, from, "Announcing VIP");
                    Answered {
                        epoch,
                        interfaces: BTreeSet::new(),
                    }
                });
                has_changed |= answered.interfaces.insert(self.index) || answered.epoch != epoch;
                answered.epoch = epoch;
            }
            has_changed
        });
    }

    /// Writes down that nothing but these VIPs is answered here any more. Call it after the
    /// responder has stopped.
    pub(super) fn end_all_but(&self, plan: &Plan, is_kept: impl Fn(&IpAddr) -> bool) {
        self.ledger.answering.send_if_modified(|answering| {
            let mut has_changed = false;
            answering.retain(|vip, answered| {
                if is_kept(vip) || !answered.interfaces.remove(&self.index) {
                    return true;
                }
                has_changed = true;
                if answered.interfaces.is_empty() {
                    let (epoch, reason) = (answered.epoch, withdrawn_for(plan, vip));
                    tracing::info!(%vip, epoch, reason, "Withdrew VIP");
                }
                !answered.interfaces.is_empty()
            });
            has_changed
        });
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let plan = self.plan.borrow().clone();
        self.end_all_but(&plan, |_| false);
    }
}

/// The reason for which a VIP is not answered any more, as the plan tells it.
fn withdrawn_for(plan: &Plan, vip: &IpAddr) -> &'static str {
    match plan.withheld.get(vip) {
        Some(withheld) => withheld.as_str(),
        // The plan still wants it: the interface is what is missing.
        None if plan.announcements.contains_key(vip) => "NoInterface",
        None => "NoClaim",
    }
}

#[cfg(test)]
mod tests;
