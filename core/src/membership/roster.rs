//! The members that are Up, and the names behind the senders of datagrams.
//!
//! foca speaks of identities, which are renewed; this decides what of that is news: who rose, who fell
//! and why.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::identity::Identity;
use super::{Output, SenderId};
use crate::node::{Boot, NodeName};

/// Names remembered for senders; the bound is that of the senders themselves.
const MAX_NAMES: usize = 4096;

/// A member that is Up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its node.
    pub name: NodeName,
    /// Its run. A later one replaces an earlier one without a `Down` in between.
    pub boot: Boot,
    /// Where it is reached.
    pub address: SocketAddr,
}

/// Why a member is not Up any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It said so.
    Left,
    /// It was silent for too long.
    Silent,
}

/// Who is Up.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<NodeName, Member>,
    /// Members that said they leave, until foca says they are Down.
    leaving: BTreeSet<NodeName>,
    /// Names behind the senders of headers, of members Up or not.
    names: BTreeMap<SenderId, NodeName>,
}

// === impl Departure ===

impl Departure {
    /// The stable word: metric label and log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "Left",
            Self::Silent => "Silent",
        }
    }
}

// === impl Roster ===

impl Roster {
    /// The members that are Up, by name.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// A member that is Up.
    pub(super) fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// The node behind the sender of a header, if it was introduced.
    pub(super) fn name_of(&self, sender: SenderId) -> Option<&NodeName> {
        self.names.get(&sender)
    }

    /// A member said that it leaves.
    pub(super) fn note_leaving(&mut self, name: &NodeName) {
        if self.members.contains_key(name) {
            self.leaving.insert(name.clone());
        }
    }

    /// A member is Up; what of that is news.
    pub(super) fn rise(&mut self, identity: Identity) -> Option<Output> {
        self.remember(&identity);
        let Identity {
            name, boot, address, ..
        } = identity;
        self.leaving.remove(&name);
        let member = Member { name, boot, address };
        let before = self.members.insert(member.name.clone(), member.clone());
        // A renewal within the same run is foca's business alone.
        (before.as_ref() != Some(&member)).then_some(Output::Up(member))
    }

    /// A member has another identity; what of that is news. If it was not Up, it rises afterwards.
    pub(super) fn rename(&mut self, identity: Identity) -> Option<Output> {
        self.remember(&identity);
        if !self.members.contains_key(&identity.name) {
            return None;
        }
        self.rise(identity)
    }

    /// A member is Down; what of that is news.
    pub(super) fn fall(&mut self, identity: &Identity) -> Option<Output> {
        let departure = if self.leaving.remove(&identity.name) {
            Departure::Left
        } else {
            Departure::Silent
        };
        let Member { name, boot, .. } = self.members.remove(&identity.name)?;
        Some(Output::Down {
            name,
            boot,
            departure,
        })
    }

    fn remember(&mut self, identity: &Identity) {
        if self.names.len() >= MAX_NAMES {
            let members = &self.members;
            self.names.retain(|_, name| members.contains_key(name));
        }
        self.names
            .insert(SenderId::of(&identity.name), identity.name.clone());
    }
}
