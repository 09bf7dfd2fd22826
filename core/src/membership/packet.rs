//! What can be inside a sealed datagram.

use serde::{Deserialize, Serialize};

use super::identity::{Identity, SenderId};
use crate::node::Boot;

/// The plaintext of one datagram.
///
/// Only what changes between versions of FerroLB may be appended here; the order is the wire
/// format. *Hello* and *Welcome* are where the nonce that proves an unknown boot will travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packet<'a> {
    /// A message of foca.
    Swim(&'a [u8]),
    /// A message of the ownership machine, opaque here.
    Ownership(&'a [u8]),
    /// "I look for members": changes nothing at the receiver, who answers with `Welcome`.
    Hello(Identity),
    /// "I am one": lets the receiver join through the sender.
    Welcome(Identity),
    /// The sender leaves the group on purpose.
    Leave,
    /// "I know a later run under your name": the clock went back, or two speakers share a name.
    Superseded {
        /// Whom this is for, so that it means nothing to anybody else.
        target: SenderId,
        /// The latest run known under that name.
        known: Boot,
    },
}

// === impl Packet ===

impl<'a> Packet<'a> {
    /// Reads a whole plaintext; `None` when it is malformed or longer than what it says.
    pub(super) fn decode(plaintext: &'a [u8]) -> Option<Self> {
        match postcard::take_from_bytes(plaintext) {
            Ok((packet, [])) => Some(packet),
            Ok(_) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_of_the_kinds_is_fixed() {
        for (packet, bytes) in [
            (Packet::Swim(b"x"), b"\x00\x01x".as_slice()),
            (Packet::Ownership(b"hello"), b"\x01\x05hello"),
            (Packet::Leave, b"\x04"),
            (
                Packet::Superseded {
                    target: SenderId(1),
                    known: Boot(2),
                },
                b"\x05\x01\x02",
            ),
        ] {
            assert_eq!(postcard::to_allocvec(&packet).expect("a small value"), bytes);
            assert_eq!(Packet::decode(bytes), Some(packet));
        }
    }

    #[test]
    fn trailing_bytes_and_unknown_kinds_are_malformed() {
        for bytes in [b"".as_slice(), b"\x04\x00", b"\x06", b"\xff", b"\x00\x05x"] {
            assert_eq!(Packet::decode(bytes), None, "{bytes:?}");
        }
    }
}
