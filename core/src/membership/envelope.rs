//! The sealed envelope around every datagram: who sent it, and that nobody else did, and not twice.
//!
//! ```text
//!  0        1        2        10       18       26                 n-16        n
//!  +--------+--------+--------+--------+--------+-------------------+----------+
//!  | version| key id | sender | boot   | counter| sealed payload    | tag      |
//!  +--------+--------+--------+--------+--------+-------------------+----------+
//!                    |<---------- nonce ------->|
//!  |<-------------- associated data ----------->|
//! ```
//!
//! XChaCha20-Poly1305 has room in its nonce for sender, boot and counter, so the nonce is also
//! what replays are recognized by, and it cannot repeat while no two runs of one node share a
//! boot (G4). A datagram is opened in place: until it has proven to come from a holder of the
//! secret nothing is stored and nothing allocated (G1, G3).

use std::collections::BTreeMap;

use chacha20poly1305::{AeadInOut, Tag, XNonce};

use super::Rejected;
use super::identity::SenderId;
use super::keys::{Key, Keys};
use super::packet::Packet;
use super::replay::Window;
use crate::node::Boot;
use crate::time::Time;

/// The layout above. A receiver that finds another version drops the datagram.
const VERSION: u8 = 1;

const SENDER_AT: usize = 2;
const BOOT_AT: usize = 10;
const COUNTER_AT: usize = 18;
const HEADER: usize = 26;
const TAG: usize = 16;

/// The longest datagram sent: the IPv6 minimum MTU of 1280 less the IPv6 and UDP headers, so that
/// no path needs to fragment it.
pub const MAX_DATAGRAM: usize = 1232;

/// What the envelope adds to a packet.
pub(super) const OVERHEAD: usize = HEADER + TAG;

/// Senders remembered. Only holders of the secret get here; beyond this number the one that was
/// silent longest is forgotten, and its next datagram starts a new window.
const MAX_SENDERS: usize = 4096;

/// Seals what this run sends.
#[derive(Debug)]
pub(super) struct Sealer {
    sender: SenderId,
    boot: Boot,
    /// The counter of the last sealed datagram. At a million a second it lasts half a million
    /// years.
    counter: u64,
}

/// Opens what arrives.
#[derive(Debug)]
pub(super) struct Opener {
    own: SenderId,
    senders: BTreeMap<SenderId, Known>,
}

/// What is remembered of a sender.
#[derive(Debug)]
struct Known {
    /// Its latest run.
    boot: Boot,
    /// The counters accepted from that run.
    window: Window,
    /// When it was last heard, to forget the right one.
    heard: Time,
}

/// An authentic, fresh datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened<'a> {
    pub(super) sender: SenderId,
    pub(super) boot: Boot,
    pub(super) packet: Packet<'a>,
}

// === impl Sealer ===

impl Sealer {
    pub(super) const fn new(sender: SenderId, boot: Boot) -> Self {
        Self {
            sender,
            boot,
            counter: 0,
        }
    }

    /// Seals a packet; `None` when it is larger than a datagram may be.
    pub(super) fn seal(&mut self, keys: &Keys, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let Key { id, cipher } = &keys.sealing;
        // Never reused, not even when sealing fails below.
        self.counter = self.counter.checked_add(1)?;
        let mut datagram = Vec::with_capacity(256);
        datagram.extend([VERSION, *id]);
        datagram.extend(self.sender.0.to_be_bytes());
        datagram.extend(self.boot.0.to_be_bytes());
        datagram.extend(self.counter.to_be_bytes());
        let mut datagram = postcard::to_extend(packet, datagram).ok()?;
        if datagram.len() + TAG > MAX_DATAGRAM {
            return None;
        }
        let (header, payload) = datagram.split_at_mut_checked(HEADER)?;
        let nonce = nonce(header)?;
        let tag = cipher
            .encrypt_inout_detached(&nonce, header, payload.into())
            .ok()?;
        datagram.extend(tag);
        Some(datagram)
    }
}

// === impl Opener ===

impl Opener {
    pub(super) const fn new(own: SenderId) -> Self {
        Self {
            own,
            senders: BTreeMap::new(),
        }
    }

    /// Opens a datagram in place. On an error nothing has changed but the bytes handed in.
    pub(super) fn open<'a>(
        &mut self,
        keys: &Keys,
        datagram: &'a mut [u8],
        now: Time,
    ) -> Result<Opened<'a>, Rejected> {
        let (header, sealed) = datagram.split_at_mut_checked(HEADER).ok_or(Rejected::Truncated)?;
        let length = sealed.len().checked_sub(TAG).ok_or(Rejected::Truncated)?;
        let (payload, tag) = sealed.split_at_mut_checked(length).ok_or(Rejected::Truncated)?;
        let &[version, key_id, ..] = &*header else {
            return Err(Rejected::Truncated);
        };
        if version != VERSION {
            return Err(Rejected::Version(version));
        }
        unseal(keys, key_id, header, payload, tag)?;

        let number = |at| number(header, at).ok_or(Rejected::Truncated);
        let (sender, boot, counter) = (
            SenderId(number(SENDER_AT)?),
            Boot(number(BOOT_AT)?),
            number(COUNTER_AT)?,
        );
        // The packet is judged before the window moves, so that an error changes nothing at all.
        let packet = Packet::decode(payload).ok_or(Rejected::Malformed)?;
        if sender == self.own {
            return Err(Rejected::FromOurselves { boot });
        }
        self.admit(sender, boot, counter, now)?;
        Ok(Opened { sender, boot, packet })
    }

    /// Accepts a counter of a run once, and a later run instead of an earlier one.
    fn admit(&mut self, sender: SenderId, boot: Boot, counter: u64, now: Time) -> Result<(), Rejected> {
        if let Some(known) = self.senders.get_mut(&sender) {
            if boot < known.boot {
                return Err(Rejected::StaleBoot {
                    sender,
                    known: known.boot,
                });
            }
            if boot == known.boot {
                known.window.accept(counter)?;
                known.heard = now;
                return Ok(());
            }
        } else if self.senders.len() >= MAX_SENDERS {
            self.forget_the_most_silent();
        }
        self.senders.insert(
            sender,
            Known {
                boot,
                window: Window::starting_at(counter),
                heard: now,
            },
        );
        Ok(())
    }

    fn forget_the_most_silent(&mut self) {
        let silent = self.senders.iter().min_by_key(|(_, known)| known.heard);
        if let Some(sender) = silent.map(|(sender, _)| *sender) {
            self.senders.remove(&sender);
        }
    }
}

/// Decrypts a payload in place with the key that it was sealed with.
fn unseal(keys: &Keys, id: u8, header: &[u8], payload: &mut [u8], tag: &[u8]) -> Result<(), Rejected> {
    let nonce = nonce(header).ok_or(Rejected::Truncated)?;
    let tag = Tag::try_from(tag).map_err(|_| Rejected::Truncated)?;
    let mut known = false;
    for key in keys.by_id(id) {
        known = true;
        // The tag is checked before a byte is decrypted, so a second key finds the payload intact.
        if key
            .cipher
            .decrypt_inout_detached(&nonce, header, (&mut *payload).into(), &tag)
            .is_ok()
        {
            return Ok(());
        }
    }
    Err(if known {
        Rejected::Unauthentic
    } else {
        Rejected::UnknownKey(id)
    })
}

/// Sender, boot and counter as they stand in the header.
fn nonce(header: &[u8]) -> Option<XNonce> {
    XNonce::try_from(header.get(SENDER_AT..HEADER)?).ok()
}

fn number(header: &[u8], at: usize) -> Option<u64> {
    let bytes = header.get(at..at + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
