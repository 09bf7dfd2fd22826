//! What is known from outside gossip, put together: the API's facts and the kernel's interfaces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_core::facts::Facts;
use ferrolb_core::node::NodeName;

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
}

// === impl World ===

impl World {
    /// The API has something new.
    pub(super) fn take_in_api(&mut self, api: ApiFacts) {
        let ApiFacts {
            mut facts,
            named_owners,
        } = api;
        facts.interfaces.clone_from(&self.interfaces.usable);
        self.facts = Arc::new(facts);
        self.named_owners = named_owners;
    }

    /// The kernel has something new; `None` before its first dump.
    pub(super) fn take_in_interfaces(&mut self, interfaces: Option<Arc<Interfaces>>) {
        let Some(interfaces) = interfaces else {
            return;
        };
        if self.facts.interfaces != interfaces.usable {
            Arc::make_mut(&mut self.facts)
                .interfaces
                .clone_from(&interfaces.usable);
        }
        self.interfaces = interfaces;
        self.has_interfaces = true;
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
}
