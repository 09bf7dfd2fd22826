//! What is known from outside gossip, put together: the API's facts and the kernel's interfaces.
//!
//! An interface that the announcer cannot serve is none for ownership: who owns a VIP answers for
//! it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_core::candidate::{EXCLUDE_LABEL, Judge};
use ferrolb_core::facts::Facts;
use ferrolb_core::interface::Interface;
use ferrolb_core::node::NodeName;
use ipnet::IpNet;

use crate::announcer::Unserved;
use crate::api::ApiFacts;
use crate::netlink::Interfaces;

/// The world outside gossip. It outlives a boot.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Both put together.
    facts: Arc<Facts>,
    named_owners: BTreeMap<IpAddr, NodeName>,
    interfaces: Arc<Interfaces>,
    has_interfaces: bool,
    unserved: Unserved,
    /// Every Node carries the exclude label, so it says nothing.
    is_exclusion_ignored: bool,
}

// === impl World ===

impl World {
    /// The API has something new.
    pub(super) fn take_in_api(&mut self, api: ApiFacts) {
        let ApiFacts {
            mut facts,
            named_owners,
        } = api;
        (facts.interfaces, facts.away) = self.links();
        self.note_exclusion(&facts);
        self.facts = Arc::new(facts);
        self.named_owners = named_owners;
    }

    /// The kernel has something new, `None` before its first dump, or the announcer can serve other
    /// interfaces than before.
    pub(super) fn take_in_interfaces(&mut self, interfaces: Option<Arc<Interfaces>>, unserved: Unserved) {
        let Some(interfaces) = interfaces else {
            return;
        };
        self.interfaces = interfaces;
        self.unserved = unserved;
        self.has_interfaces = true;
        let (interfaces, away) = self.links();
        if self.facts.interfaces != interfaces || self.facts.away != away {
            let facts = Arc::make_mut(&mut self.facts);
            (facts.interfaces, facts.away) = (interfaces, away);
        }
    }

    pub(super) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Whether the kernel was asked once.
    pub(super) const fn has_interfaces(&self) -> bool {
        self.has_interfaces
    }

    pub(super) const fn named_owners(&self) -> &BTreeMap<IpAddr, NodeName> {
        &self.named_owners
    }

    fn note_exclusion(&mut self, facts: &Facts) {
        let is_ignored = Judge::new(facts, |_| true).is_exclusion_ignored();
        if is_ignored && !self.is_exclusion_ignored {
            tracing::warn!(
                label = EXCLUDE_LABEL,
                "Every Node carries the label that excludes it from load balancers, so it is ignored"
            );
        }
        self.is_exclusion_ignored = is_ignored;
    }

    /// What can be answered on, and the subnets of what cannot.
    fn links(&self) -> (Vec<Interface>, Vec<IpNet>) {
        let Interfaces { usable, away, .. } = &*self.interfaces;
        let (unserved, served): (Vec<_>, Vec<_>) = usable
            .iter()
            .cloned()
            .partition(|interface| self.unserved.contains(&interface.index));
        let subnets = unserved.into_iter().flat_map(|interface| interface.addresses);
        (served, away.iter().copied().chain(subnets).collect())
    }
}

#[cfg(test)]
mod tests;
