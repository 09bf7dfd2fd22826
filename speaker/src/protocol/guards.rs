//! What of the protocol side is missing before this speaker is ready.

use ferrolb_core::membership::Membership;
use ferrolb_core::ownership::Ownership;
use ferrolb_core::time::Time;
use ferrolb_runtime::readiness::{Guard, Readiness};

/// The protocol side's readiness.
#[derive(Debug)]
pub(crate) struct ProtocolGuards {
    interfaces: Guard,
    joined: Guard,
    synced: Guard,
    is_shown: bool,
}

// === impl ProtocolGuards ===

impl ProtocolGuards {
    pub(crate) fn new(readiness: &Readiness) -> Self {
        Self {
            interfaces: readiness.guard("interfaces from the kernel"),
            joined: readiness.guard("other speakers, or two seconds without an answer"),
            synced: readiness.guard("what the other speakers own"),
            is_shown: false,
        }
    }

    /// The address of this speaker is not known yet.
    pub(super) fn without_address(&self) {
        self.joined.explain(
            "the Node's InternalIP is not known; wait for the API server, or set --gossip-advertise",
        );
    }

    /// The kernel has said which interfaces there are.
    pub(super) fn netlink(&self) {
        self.interfaces.ready();
    }

    /// A new boot has to join and sync again.
    pub(super) fn begin(&mut self) {
        self.is_shown = false;
    }

    /// Shows how far joining and syncing have come.
    pub(super) fn show(&mut self, membership: &Membership, ownership: &Ownership, now: Time) {
        if self.is_shown {
            return;
        }
        let has_joined = membership.has_joined(now);
        if has_joined {
            self.joined.ready();
        } else {
            self.joined.missing("greeting the seeds");
        }
        if ownership.is_synced() {
            self.synced.ready();
        } else {
            let awaited: Vec<_> = ownership.awaited().iter().map(ToString::to_string).collect();
            self.synced.missing(format!("waiting for {}", awaited.join(", ")));
        }
        self.is_shown = has_joined && ownership.is_synced();
    }
}
