//! Ownership messages as bytes: what membership carries without looking at it.

use super::Message;

// === impl Message ===

impl Message {
    /// The bytes of this message.
    pub fn encode(&self) -> Vec<u8> {
        // Plain data into a growing buffer: postcard has nothing to refuse.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The message that these bytes are; `None` when they are malformed or longer than it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Some(message),
            Ok(_) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::Boot;
    use crate::ownership::{Digest, Have};
    use crate::table::Version;

    #[test]
    fn messages_come_back_as_they_were() {
        let have = Have {
            boot: Boot(7),
            profile: Version(1),
            table: Version(300),
        };
        for message in [
            Message::Have(have),
            Message::Digest(Digest {
                profile: Version(2),
                table: Version(3),
                have,
            }),
            Message::Leave { table: Version(4) },
        ] {
            let mut bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            bytes.push(0);
            assert_eq!(Message::decode(&bytes), None, "a byte too many");
        }
        assert_eq!(Message::decode(&[]), None, "no message is empty");
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(message) = Message::decode(&bytes) {
                prop_assert_eq!(Message::decode(&message.encode()), Some(message));
            }
        }
    }
}
