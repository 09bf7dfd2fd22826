//! The subnets in which addresses are announced, as far as claims tell, and what of a pool these keep
//! for themselves.
//!
//! No Node tells its subnets, and the speakers that know them write nothing but claims. So the first
//! address of a subnet that is announced tells the subnet, and every pool is looked at with it: also
//! what was not lent yet.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::pool::layout::Share;
use crate::subnet::kept;

/// How many claims tell each subnet.
#[derive(Clone, Debug, Default)]
pub(super) struct Subnets {
    claims: BTreeMap<IpNet, usize>,
}

// === impl Subnets ===

impl Subnets {
    /// A claim tells another subnet than before, or none; answers whether there are others than
    /// before in all.
    fn replace(&mut self, before: Option<IpNet>, after: Option<IpNet>) -> bool {
        if before == after {
            return false;
        }
        let mut has_changed = false;
        if let Some(after) = after {
            let claims = self.claims.entry(after).or_default();
            *claims += 1;
            has_changed |= *claims == 1;
        }
        if let Some(before) = before
            && let Some(claims) = self.claims.get_mut(&before)
        {
            *claims -= 1;
            if *claims == 0 {
                self.claims.remove(&before);
                has_changed = true;
            }
        }
        has_changed
    }

    /// What a pool lends that a subnet keeps for itself, each as words.
    pub(super) fn kept_of(&self, share: &Share) -> Vec<String> {
        let each = self
            .claims
            .keys()
            .flat_map(|subnet| kept(*subnet).map(move |(address, keeping)| (address, keeping, subnet)));
        each.filter(|(address, ..)| share.covers(*address))
            .map(|(address, keeping, subnet)| format!("{address}, {} of {subnet}", keeping.as_str()))
            .collect()
    }
}

// === impl Allocator ===

impl Allocator {
    /// A claim tells another subnet than before: pools may say so.
    pub(super) fn note_subnet(&mut self, before: Option<IpNet>, after: Option<IpNet>) {
        if self.subnets.replace(before, after) {
            for pool in self.pools.names() {
                self.agenda.push(Task::Pool(pool.clone()));
            }
        }
    }
}
