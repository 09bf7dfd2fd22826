//! Which speakers exist and which of them are alive, and the sealed datagrams between them.
//!
//! [`Membership`] is a machine without I/O: datagrams, time and seeds go in; datagrams and events
//! come out. Inside, foca (SWIM) decides who is Up and Down; a join loop beside it finds the
//! others; every datagram travels in a sealed envelope (`envelope.rs`). It decides nothing about
//! VIPs: messages of the ownership machine pass through unread.
//!
//! Duties of the driver:
//!
//! - After every call, take all outputs with [`Membership::poll_output`].
//! - Call [`Membership::handle_timeout`] at [`Membership::poll_timeout`], but **read the socket
//!   until it is empty first**: an answer that waits in the socket must not count as silence.
//! - Use one [`Boot`] for one run only, also after a crash: it is part of every nonce.
//! - On [`Output::Superseded`], start anew with a boot above the one it names.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use foca::{OwnedNotification, State};

use crate::node::{Boot, NodeName};
use crate::time::Time;

mod envelope;
mod identity;
mod join;
mod keys;
mod packet;
mod rejected;
mod replay;
mod roster;
#[cfg(test)]
mod simulation;
mod swim;

pub use envelope::MAX_DATAGRAM;
pub use identity::SenderId;
pub use keys::{KeyError, Keys};
pub use rejected::Rejected;
pub use roster::{Departure, Member};

use envelope::{OVERHEAD, Opener, Sealer};
use identity::Identity;
use join::Join;
use packet::Packet;
use roster::Roster;
use swim::Swim;

/// The longest message of the ownership machine: what is left of a datagram without the envelope,
/// the kind and the length.
pub const MAX_MESSAGE: usize = MAX_DATAGRAM - OVERHEAD - 3;

/// What one run of a speaker brings to the group.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub name: NodeName,
    /// This run.
    pub boot: Boot,
    /// Where the others reach this speaker.
    pub advertise: SocketAddr,
    /// The shared secrets.
    pub keys: Keys,
    /// For the choice of whom to probe and to tell; any value that differs between runs.
    pub seed: u64,
}

/// What the machine wants done, or has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The sealed bytes.
        datagram: Vec<u8>,
    },
    /// A member is Up, or a later run of it is.
    Up(Member),
    /// A member is not Up any more.
    Down {
        /// Its node.
        name: NodeName,
        /// The run that ended, or cannot be heard.
        boot: Boot,
        /// Why.
        departure: Departure,
    },
    /// A message for the ownership machine. The sender need not be Up.
    Message {
        /// The node that sent it.
        from: NodeName,
        /// The run that sent it.
        boot: Boot,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Others know a later run under our name, so they ignore this one.
    Superseded {
        /// The run that they know.
        known: Boot,
    },
}

/// The membership of one run of a speaker.
pub struct Membership {
    keys: Keys,
    boot: Boot,
    own: SenderId,
    sealer: Sealer,
    opener: Opener,
    swim: Swim,
    join: Join,
    has_left: bool,
    roster: Roster,
    outputs: VecDeque<Output>,
}

// === impl Membership ===

impl Membership {
    /// A member that knows nobody yet.
    pub fn new(config: Config, now: Time) -> Self {
        let Config {
            name,
            boot,
            advertise,
            keys,
            seed,
        } = config;
        let own = SenderId::of(&name);
        let identity = Identity {
            name,
            boot,
            renewal: 0,
            address: advertise,
        };
        Self {
            keys,
            boot,
            own,
            sealer: Sealer::new(own, boot),
            opener: Opener::new(own),
            swim: Swim::new(identity, seed),
            join: Join::new(now),
            has_left: false,
            roster: Roster::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Replaces the addresses where members may be found.
    pub fn set_seeds(&mut self, mut seeds: BTreeSet<SocketAddr>, now: Time) {
        seeds.remove(&self.swim.identity().address);
        self.join.set_seeds(seeds, now);
    }

    /// Takes a datagram as it came from the socket; it is opened in place.
    pub fn handle_datagram(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        now: Time,
    ) -> Result<(), Rejected> {
        let opened = self
            .opener
            .open(&self.keys, datagram, now)
            .inspect_err(|rejected| {
                if let Rejected::FromOurselves { boot } = rejected
                    && *boot > self.boot
                {
                    self.outputs.push_back(Output::Superseded { known: *boot });
                }
            });
        let opened = match opened {
            Ok(opened) => opened,
            Err(rejected) => {
                if let Rejected::StaleBoot { sender, known } = rejected {
                    // Only a holder of the secret gets this answer, one for one.
                    let packet = Packet::Superseded {
                        target: sender,
                        known,
                    };
                    self.seal_to(from, &packet);
                }
                return Err(rejected);
            }
        };
        if self.has_left {
            return Ok(());
        }
        let (sender, boot) = (opened.sender, opened.boot);
        let result = match opened.packet {
            Packet::Swim(bytes) => self.swim.handle_data(bytes, now),
            Packet::Ownership(bytes) => {
                // Without a name there is nobody to answer; foca will introduce the sender.
                if let Some(from) = self.roster.name_of(sender).cloned() {
                    let bytes = bytes.to_vec();
                    self.outputs.push_back(Output::Message { from, boot, bytes });
                }
                Ok(())
            }
            Packet::Hello(identity) => {
                let welcome = Packet::Welcome(self.swim.identity().clone());
                self.seal_to(identity.address, &welcome);
                Ok(())
            }
            Packet::Welcome(identity) => {
                let known = self.roster.get(&identity.name);
                if known.is_some_and(|member| member.boot == identity.boot) {
                    Ok(())
                } else {
                    self.swim.join(identity, now)
                }
            }
            Packet::Leave => self.handle_leave(sender, boot, now),
            Packet::Superseded { target, known } => {
                if target == self.own && known >= self.boot {
                    self.outputs.push_back(Output::Superseded { known });
                }
                Ok(())
            }
        };
        self.settle(now);
        result.map_err(|_| Rejected::Malformed)
    }

    /// Does what is due. The socket must have been read until it was empty.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.has_left {
            return;
        }
        // foca reports bugs of its own probe cycle here and goes on by itself.
        let _recovered = self.swim.handle_timeout(now);
        let known = self.swim.members().map(|member| {
            let is_active = member.state() != State::Down;
            (member.id().address, is_active)
        });
        let greetings = self.join.poll_greetings(known, now);
        let hello = Packet::Hello(self.swim.identity().clone());
        for address in greetings {
            self.seal_to(address, &hello);
        }
        self.settle(now);
    }

    /// When to call `handle_timeout`; `None` after leaving.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.has_left {
            return None;
        }
        let join = self.join.poll_timeout();
        Some(self.swim.poll_timeout().map_or(join, |swim| swim.min(join)))
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a message of the ownership machine to a member that is Up, also while leaving.
    ///
    /// False when it is not Up or the message is longer than [`MAX_MESSAGE`]: nothing is sent.
    pub fn send(&mut self, to: &NodeName, message: &[u8]) -> bool {
        match self.roster.get(to).map(|member| member.address) {
            Some(address) => self.seal_to(address, &Packet::Ownership(message)),
            None => false,
        }
    }

    /// Tells every member that this run ends, so that nobody waits for it to fall silent.
    ///
    /// Datagrams get lost: call it a few times, some milliseconds apart. Nothing but that is sent
    /// afterwards.
    pub fn leave(&mut self) {
        // Straight to everybody: foca's own way tells three members and lets them pass it on, and
        // whoever hears it from them cannot tell it from a death.
        self.has_left = true;
        let addresses: Vec<_> = self.roster.members().map(|member| member.address).collect();
        for address in addresses {
            self.seal_to(address, &Packet::Leave);
        }
    }

    /// Members that are Up, without this one.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.members()
    }

    /// This run.
    pub const fn boot(&self) -> Boot {
        self.boot
    }

    /// Whether others were found once, or looked for long enough: the readiness of this part.
    pub fn has_joined(&self, now: Time) -> bool {
        self.join.is_attempted(now)
    }

    fn handle_leave(&mut self, sender: SenderId, boot: Boot, now: Time) -> Result<(), foca::Error> {
        let name = self.roster.name_of(sender);
        let Some(identity) = self
            .swim
            .members()
            .map(foca::Member::id)
            .find(|identity| Some(&identity.name) == name && identity.boot == boot)
            .cloned()
        else {
            return Ok(());
        };
        self.roster.note_leaving(&identity.name);
        self.swim.bury(identity, now)
    }

    /// Turns what foca wants and says into outputs.
    fn settle(&mut self, now: Time) {
        self.flush_swim();
        while let Some(notification) = self.swim.poll_notification() {
            let news = match notification {
                OwnedNotification::MemberUp(identity) => self.roster.rise(identity),
                OwnedNotification::MemberDown(identity) => self.roster.fall(&identity),
                OwnedNotification::Rename(_, new) => self.roster.rename(new),
                OwnedNotification::Active => {
                    self.join.set_settled(true, now);
                    None
                }
                OwnedNotification::Idle | OwnedNotification::Defunct | OwnedNotification::Rejoin(_) => {
                    self.join.set_settled(false, now);
                    None
                }
            };
            self.outputs.extend(news);
        }
    }

    fn flush_swim(&mut self) {
        while let Some((to, bytes)) = self.swim.poll_send() {
            self.seal_to(to.address, &Packet::Swim(&bytes));
        }
    }

    fn seal_to(&mut self, to: SocketAddr, packet: &Packet<'_>) -> bool {
        let Some(datagram) = self.sealer.seal(&self.keys, packet) else {
            return false;
        };
        self.outputs.push_back(Output::Send { to, datagram });
        true
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("identity", self.swim.identity())
            .field("roster", &self.roster)
            .finish_non_exhaustive()
    }
}
