//! The shared secrets, and the keys derived from them.
//!
//! The key file holds one secret a line: the first seals, and up to one more is accepted. To
//! rotate, put the new secret second everywhere, then first everywhere, then drop the old one.
//! A secret is never used as a key itself: HKDF-SHA256 with a label per purpose gives the key and
//! the one-byte id by which a receiver picks it.

use std::fmt;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;

/// Shorter secrets can be guessed offline from one recorded datagram.
const MIN_SECRET: usize = 32;

/// Separates this protocol from any other that might be given the same secret.
const SALT: &[u8] = b"ferrolb.io";
const KEY_LABEL: &[u8] = b"ferrolb gossip v1 xchacha20poly1305 key";
const ID_LABEL: &[u8] = b"ferrolb gossip v1 key id";

/// The key that seals, and those that open.
#[derive(Clone)]
pub struct Keys {
    pub(super) sealing: Key,
    /// A second secret, accepted during rotation.
    accepted: Option<Key>,
}

/// One derived key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: u8,
    pub(super) cipher: XChaCha20Poly1305,
}

/// Why a key file cannot be used. Waiting does not help: an operator has to change the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no secret in it.
    #[error("it holds no secret; write one secret of at least {MIN_SECRET} characters on a line")]
    Empty,
    /// A secret is too short.
    #[error(
        "the secret on line {line} has {length} characters; use at least {MIN_SECRET}, for example from `openssl rand -hex 32`"
    )]
    TooShort {
        /// The line, counted from 1.
        line: usize,
        /// Its length.
        length: usize,
    },
    /// More than two secrets.
    #[error(
        "it holds {0} secrets; at most two are accepted (the one that seals, and one more during rotation)"
    )]
    TooMany(usize),
    /// Bytes that are no text, whose line ends would be accidents.
    #[error("it is not text; write the secret as text, for example from `openssl rand -hex 32`")]
    NotText,
}

// === impl Keys ===

impl Keys {
    /// The keys of a key file's contents.
    pub fn parse(contents: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(contents).map_err(|_| KeyError::NotText)?;
        if text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        {
            return Err(KeyError::NotText);
        }
        let secrets = || {
            text.lines()
                .enumerate()
                .map(|(index, line)| (index + 1, line.trim()))
                .filter(|(_, secret)| !secret.is_empty())
        };
        for (line, secret) in secrets() {
            let length = secret.chars().count();
            if length < MIN_SECRET {
                return Err(KeyError::TooShort { line, length });
            }
        }
        let mut keys = secrets().map(|(_, secret)| Key::derive(secret.as_bytes()));
        let sealing = keys.next().ok_or(KeyError::Empty)?;
        let accepted = keys.next();
        match keys.count() {
            0 => Ok(Self { sealing, accepted }),
            more => Err(KeyError::TooMany(more + 2)),
        }
    }

    /// The keys that a datagram with this key id may have been sealed with: ids are one byte, so
    /// that both can have the same.
    pub(super) fn by_id(&self, id: u8) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.sealing)
            .chain(&self.accepted)
            .filter(move |key| key.id == id)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ids only: a key must never reach a log.
        f.debug_struct("Keys")
            .field("sealing", &self.sealing.id)
            .field("accepted", &self.accepted.as_ref().map(|key| key.id))
            .finish()
    }
}

// === impl Key ===

impl Key {
    fn derive(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        let mut id = [0; 1];
        expand(secret, KEY_LABEL, &mut key);
        expand(secret, ID_LABEL, &mut id);
        Self {
            id: u8::from_be_bytes(id),
            cipher: XChaCha20Poly1305::new(&key.into()),
        }
    }
}

/// HKDF-SHA256 (RFC 5869).
#[allow(clippy::expect_used)]
fn expand(secret: &[u8], label: &[u8], output: &mut [u8]) {
    Hkdf::<Sha256>::new(Some(SALT), secret)
        .expand(label, output)
        .expect("HKDF-SHA256 gives up to 8160 bytes, and at most 32 are asked for");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_are_hkdf_sha256_under_our_labels() {
        let mut key = [0; 32];
        expand(ONE.as_bytes(), KEY_LABEL, &mut key);
        assert_eq!(
            hex(&key),
            "13c81b2cee28ad5abf09b479783e7e7d0350b2fd61ef343e1f8b852f19c03384",
            "as Python's hmac module computes RFC 5869"
        );
        assert_eq!(Key::derive(ONE.as_bytes()).id, 0x70);
    }

    #[test]
    fn the_first_line_seals_and_both_open() {
        let keys = Keys::parse(format!("\n  {ONE} \r\n\n{TWO}").as_bytes()).expect("two secrets");
        let [one, two] = [ONE, TWO].map(|secret| Key::derive(secret.as_bytes()).id);
        assert_eq!(keys.sealing.id, one);
        assert_eq!(keys.by_id(one).count(), 1);
        assert_eq!(keys.by_id(two).count(), 1);
        assert_eq!(keys.by_id(one ^ two ^ 0xff).count(), 0);
    }

    #[test]
    fn bad_files_are_refused_with_the_reason() {
        let three = [ONE, TWO, ONE].join("\n");
        for (contents, expected) in [
            (b"".as_slice(), KeyError::Empty),
            (b"\n \n", KeyError::Empty),
            (b"changeme", KeyError::TooShort { line: 1, length: 8 }),
            (
                b"\n0123456789abcdef0123456789abcde\n",
                KeyError::TooShort { line: 2, length: 31 },
            ),
            (three.as_bytes(), KeyError::TooMany(3)),
            (&[0xff; 40], KeyError::NotText),
            (&[0x01; 40], KeyError::NotText),
        ] {
            assert_eq!(Keys::parse(contents).expect_err("a bad file"), expected);
        }
    }

    #[test]
    fn a_short_second_secret_is_named_by_its_line() {
        let error = Keys::parse(format!("{ONE}\nshort\n").as_bytes()).expect_err("a short secret");
        assert_eq!(error, KeyError::TooShort { line: 2, length: 5 });
    }
}
