//! Who a member is: to foca, and in the header of a sealed datagram.
//!
//! foca keys its members by name, so a node that comes back with another address replaces itself
//! instead of leaving a ghost. The boot tells runs apart; the renewal tells apart the lives that
//! foca gives one run when it was held Down by mistake, and never reaches ownership.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::node::{Boot, NodeName};

/// Separates this use of SHA-256 from any other.
const SENDER_LABEL: &[u8] = b"ferrolb gossip v1 sender\0";

/// One life of one run of a speaker, as it circulates in gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The node, which is the key: one member per node.
    pub(super) name: NodeName,
    /// The run.
    pub(super) boot: Boot,
    /// Raised by foca when the others held this run Down; nothing else may read a meaning into it.
    pub(super) renewal: u32,
    /// Where its datagrams go.
    pub(super) address: SocketAddr,
}

/// The eight bytes that stand for a node's name in a header, and in the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SenderId(pub(super) u64);

// === impl Identity ===

impl Identity {
    /// What decides between two identities of one node: the later run, then the later life.
    const fn precedence(&self) -> (u64, u32) {
        (self.boot.0, self.renewal)
    }
}

impl foca::Identity for Identity {
    type Addr = NodeName;

    fn renew(&self) -> Option<Self> {
        // `None` after four billion renewals of one run: foca then reports Defunct, and joining
        // begins anew.
        let renewal = self.renewal.checked_add(1)?;
        Some(Self {
            renewal,
            ..self.clone()
        })
    }

    fn addr(&self) -> NodeName {
        self.name.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.precedence() > adversary.precedence()
    }
}

// === impl SenderId ===

impl SenderId {
    /// The sender that stands for a node's name.
    pub fn of(name: &NodeName) -> Self {
        let digest = Sha256::new()
            .chain_update(SENDER_LABEL)
            .chain_update(name.as_str().as_bytes())
            .finalize();
        let mut id = [0; 8];
        for (byte, from) in id.iter_mut().zip(digest) {
            *byte = from;
        }
        Self(u64::from_be_bytes(id))
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::*;

    fn mk_identity(boot: u64, renewal: u32) -> Identity {
        Identity {
            name: "n1".into(),
            boot: Boot(boot),
            renewal,
            address: "192.0.2.1:7979".parse().expect("a literal address"),
        }
    }

    #[test]
    fn a_later_run_wins_over_any_number_of_renewals() {
        assert!(mk_identity(2, 0).win_addr_conflict(&mk_identity(1, 9)));
        assert!(!mk_identity(1, 9).win_addr_conflict(&mk_identity(2, 0)));
    }

    #[test]
    fn a_renewal_wins_and_keeps_the_boot() {
        let old = mk_identity(7, 0);
        let new = old.renew().expect("renewals are left");
        assert_eq!(new, mk_identity(7, 1));
        assert!(new.win_addr_conflict(&old));
        assert_eq!(mk_identity(7, u32::MAX).renew(), None);
    }
}
