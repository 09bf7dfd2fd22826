//! What a pool's status says, and when it is written.
//!
//! Counts change with every address lent, so they are written at most once a second for each
//! pool; the last change is always written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::{Call, PoolPatch};
use crate::allocator::event::{Notice, Regarding};
use crate::allocator::subnets::Subnets;
use crate::condition::Condition;
use crate::pool::allocation::Allocation;
use crate::pool::layout::Share;
use crate::pool::{Pool, PoolName, PoolStatus};
use crate::time::{Now, Timestamp};

/// The least time between two writes of one pool's status: 10,000 Services created at once cost
/// a handful of them.
const PACE: Duration = Duration::from_secs(1);
/// How many entries or pools a condition names before it only counts the rest.
const NAMED: usize = 4;

// === impl Allocator ===

impl Allocator {
    /// The next call for a pool, if its status is not what it should be.
    pub(super) fn converge_pool(&mut self, name: &PoolName, now: Now) -> Option<Call> {
        let (v4, v6) = self.ledger.capacity(name);
        let share = self.ledger.layout().share(name)?;
        let entry = self.pools.get_mut(name)?;
        if entry.call.is_some() {
            return None;
        }
        let before = entry.pool.status.as_ref();
        let paced = entry.next_write.filter(|time| *time > now.time);
        let pause = paced.max(entry.retry.wait(now.time));
        let counts_the_same = before.is_some_and(|before| before.v4 == v4 && before.v6 == v6);
        if let Some(time) = pause.filter(|_| !counts_the_same) {
            // It will be written, whatever the rest says, which costs a look at every Node.
            self.agenda.set_alarm(Task::Pool(name.clone()), time);
            return None;
        }
        let status = PoolStatus {
            v4,
            v6,
            ready: Some(keep_since(
                ready(share, &entry.pool.spec.allocation),
                before.and_then(|status| status.ready.as_ref()),
                now.wall,
            )),
            overlap: Some(keep_since(
                overlap(share, &self.nodes, &self.subnets),
                before.and_then(|status| status.overlap.as_ref()),
                now.wall,
            )),
        };
        if before.is_some_and(|before| says_same(before, &status)) {
            return None;
        }
        if let Some(time) = pause {
            self.agenda.set_alarm(Task::Pool(name.clone()), time);
            return None;
        }
        entry.next_write = Some(now.time + PACE);
        entry.told.get_or_insert_with(|| entry.pool.status.clone());
        Some(Call::PatchPool(PoolPatch {
            name: name.clone(),
            uid: entry.pool.uid.clone(),
            status,
        }))
    }

    /// Tells people about the conditions of a pool that have changed.
    pub(super) fn notice_pool(&mut self, before: Option<&PoolStatus>, pool: &Pool) {
        let Some(after) = &pool.status else { return };
        let pairs = [
            (
                before.and_then(|status| status.ready.as_ref()),
                &after.ready,
                true,
            ),
            (
                before.and_then(|status| status.overlap.as_ref()),
                &after.overlap,
                false,
            ),
        ];
        for (before, after, good) in pairs {
            let Some(after) = after else { continue };
            let is_same = before.is_some_and(|before| {
                before.status == after.status && (after.status == good || before.message == after.message)
            });
            // A pool that was always well is no news.
            if is_same || (before.is_none() && after.status == good) {
                continue;
            }
            self.notices.push_back(Notice {
                regarding: Regarding::Pool {
                    name: pool.name.clone(),
                    uid: pool.uid.clone(),
                },
                is_warning: after.status != good,
                reason: after.reason.clone(),
                message: after.message.clone(),
            });
        }
    }
}

fn ready(share: &Share, allocation: &Allocation) -> Condition {
    let problems: Vec<String> = share.invalid.iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return match allocation.invalid_selector() {
            None => mk_condition(true, "Valid", "Every entry is understood".to_owned()),
            Some((list, index)) => mk_condition(
                false,
                "InvalidSelector",
                format!(
                    "spec.allocation.{list}[{index}]: an operator is unknown, or has too many or too few values; it \
                     admits nobody new until it is corrected"
                ),
            ),
        };
    }
    let consequence = if share.is_frozen() {
        "the pool lends nothing new until this is corrected"
    } else {
        "these entries lend nothing until they are corrected"
    };
    let message = format!("{}; {consequence}", name_some(&problems, "; "));
    let reason = if share.is_unreadable() {
        "Unreadable"
    } else {
        "InvalidEntry"
    };
    mk_condition(false, reason, message)
}

/// What a pool lists that is somebody else's too: another pool's, a Node's own, or a subnet's. Of
/// several the first gives the reason.
fn overlap(share: &Share, nodes: &BTreeMap<String, BTreeSet<IpAddr>>, subnets: &Subnets) -> Condition {
    let each = [
        ("Overlap", overlap_of_pools(share)),
        ("NodeAddress", overlap_of_nodes(share, nodes)),
        ("SubnetAddress", overlap_of_subnets(share, subnets)),
    ];
    let found = each
        .into_iter()
        .filter_map(|(reason, message)| Some((reason, message?)));
    let (reasons, messages): (Vec<_>, Vec<_>) = found.unzip();
    match reasons.first() {
        Some(reason) => mk_condition(true, reason, messages.join(". ")),
        None => mk_condition(
            false,
            "NoOverlap",
            "No other pool lists these addresses, and no Node has one".to_owned(),
        ),
    }
}

fn overlap_of_subnets(share: &Share, subnets: &Subnets) -> Option<String> {
    let kept = subnets.kept_of(share);
    if kept.is_empty() {
        return None;
    }
    Some(format!(
        "The pool lists {}: exclude what a subnet keeps for itself, or its hosts may not reach the Service that \
         gets it",
        name_some(&kept, "; ")
    ))
}

fn overlap_of_nodes(share: &Share, nodes: &BTreeMap<String, BTreeSet<IpAddr>>) -> Option<String> {
    let each = nodes.iter().flat_map(|(node, addresses)| {
        let listed = addresses.iter().filter(|address| share.covers(**address));
        listed.map(move |address| format!("{address}, the address of Node {node}"))
    });
    let listed: Vec<String> = each.collect();
    if listed.is_empty() {
        return None;
    }
    Some(format!(
        "The pool lists {}: exclude what is a Node's own, or two hosts answer for it",
        name_some(&listed, "; ")
    ))
}

fn overlap_of_pools(share: &Share) -> Option<String> {
    if share.overlaps.is_empty() {
        return None;
    }
    let others: Vec<String> = share
        .overlaps
        .iter()
        .map(|(other, overlap)| {
            let whose = if overlap.has { "here" } else { "there" };
            format!("pool {other} (from {}, lent {whose})", overlap.range)
        })
        .collect();
    Some(format!(
        "Addresses are also listed by {}: of two pools the older has them",
        name_some(&others, ", ")
    ))
}

fn mk_condition(status: bool, reason: &str, message: String) -> Condition {
    Condition {
        status,
        reason: reason.to_owned(),
        message,
        since: Timestamp::default(),
    }
}

/// Sets since when a condition has its status: as before, else since now.
pub(super) fn keep_since(mut condition: Condition, before: Option<&Condition>, now: Timestamp) -> Condition {
    condition.since = before
        .filter(|before| before.status == condition.status)
        .map_or(now, |before| before.since);
    condition
}

fn says_same(before: &PoolStatus, after: &PoolStatus) -> bool {
    let same = |before: &Option<Condition>, after: &Option<Condition>| match (before, after) {
        (Some(before), Some(after)) => before.says_same(after),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    before.v4 == after.v4
        && before.v6 == after.v6
        && same(&before.ready, &after.ready)
        && same(&before.overlap, &after.overlap)
}

fn name_some(items: &[String], separator: &str) -> String {
    let shown: Vec<&str> = items.iter().take(NAMED).map(String::as_str).collect();
    let more = match items.len() - shown.len() {
        0 => String::new(),
        count => format!("{separator}and {count} more"),
    };
    format!("{}{more}", shown.join(separator))
}
