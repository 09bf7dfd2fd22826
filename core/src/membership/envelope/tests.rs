#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;
use crate::node::NodeName;

const ONE: &str = "0123456789abcdef0123456789abcdef";
const TWO: &str = "fedcba9876543210fedcba9876543210";

fn mk_keys(secrets: &[&str]) -> Keys {
    Keys::parse(secrets.join("\n").as_bytes()).expect("valid secrets")
}

fn id(name: &str) -> SenderId {
    SenderId::of(&NodeName::from(name))
}

fn mk_pair() -> (Sealer, Opener) {
    (Sealer::new(id("n1"), Boot(7)), Opener::new(id("n2")))
}

fn seal(sealer: &mut Sealer, keys: &Keys, payload: &[u8]) -> Vec<u8> {
    sealer
        .seal(keys, &Packet::Ownership(payload))
        .expect("a small payload")
}

/// Opens a copy, so that the datagram can be tried again.
fn open(opener: &mut Opener, keys: &Keys, datagram: &[u8]) -> Result<Vec<u8>, Rejected> {
    let mut copy = datagram.to_vec();
    opener
        .open(keys, &mut copy, Time::ZERO)
        .map(|opened| match opened.packet {
            Packet::Ownership(payload) => payload.to_vec(),
            other => panic!("expected an ownership message, got {other:?}"),
        })
}

#[test]
fn a_datagram_has_exactly_the_documented_bytes() {
    let (mut sealer, _) = mk_pair();
    let datagram = seal(&mut sealer, &mk_keys(&[ONE]), b"hello");
    let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    // From an independent implementation that reproduces draft-irtf-cfrg-xchacha, A.3.1.
    assert_eq!(
        hex,
        "0170e134dca4fbe381b1000000000000000700000000000000013105d9196dc65b48bfefb1edd51c73ecc139be02d72e97"
    );
}

#[test]
fn a_datagram_is_accepted_once() {
    let (mut sealer, mut opener) = mk_pair();
    let keys = mk_keys(&[ONE]);
    let datagram = seal(&mut sealer, &keys, b"hello");
    assert_eq!(open(&mut opener, &keys, &datagram), Ok(b"hello".to_vec()));
    assert_eq!(open(&mut opener, &keys, &datagram), Err(Rejected::Replayed));
}

#[test]
fn a_later_run_replaces_an_earlier_one_for_good() {
    let (mut old, mut opener) = mk_pair();
    let mut new = Sealer::new(id("n1"), Boot(8));
    let keys = mk_keys(&[ONE]);
    let (first, second) = (seal(&mut old, &keys, b"1"), seal(&mut old, &keys, b"2"));
    assert!(open(&mut opener, &keys, &first).is_ok());
    assert!(open(&mut opener, &keys, &seal(&mut new, &keys, b"3")).is_ok());
    assert_eq!(
        open(&mut opener, &keys, &second),
        Err(Rejected::StaleBoot {
            sender: id("n1"),
            known: Boot(8)
        })
    );
}

#[test]
fn our_own_datagrams_coming_back_are_told_apart() {
    let keys = mk_keys(&[ONE]);
    let (mut sealer, _) = mk_pair();
    let mut opener = Opener::new(id("n1"));
    let datagram = seal(&mut sealer, &keys, b"hello");
    assert_eq!(
        open(&mut opener, &keys, &datagram),
        Err(Rejected::FromOurselves { boot: Boot(7) })
    );
}

#[test]
fn secrets_can_be_rotated_without_a_gap() {
    let (mut sealer, mut opener) = mk_pair();
    for (sending, receiving) in [
        (&[ONE][..], &[ONE, TWO][..]),
        (&[TWO, ONE], &[ONE, TWO]),
        (&[ONE, TWO], &[TWO, ONE]),
        (&[TWO], &[TWO, ONE]),
    ] {
        let datagram = seal(&mut sealer, &mk_keys(sending), b"hello");
        assert_eq!(
            open(&mut opener, &mk_keys(receiving), &datagram),
            Ok(b"hello".to_vec())
        );
    }
    let datagram = seal(&mut sealer, &mk_keys(&[ONE]), b"hello");
    assert!(matches!(
        open(&mut opener, &mk_keys(&[TWO]), &datagram),
        Err(Rejected::UnknownKey(_))
    ));
}

#[test]
fn a_key_id_shared_by_both_secrets_opens_with_either() {
    // Two secrets whose one-byte ids collide, found by search.
    let first = mk_keys(&[ONE]).sealing.id;
    let twin = (0..)
        .map(|n| format!("{n:032}"))
        .find(|secret| mk_keys(&[secret]).sealing.id == first)
        .expect("one in 256 has the same id");
    let (mut sealer, mut opener) = mk_pair();
    for sending in [ONE, &twin] {
        let datagram = seal(&mut sealer, &mk_keys(&[sending]), b"hello");
        for receiving in [[ONE, &twin], [&twin, ONE]] {
            let mut fresh = Opener::new(id("n2"));
            assert_eq!(
                open(&mut fresh, &mk_keys(&receiving), &datagram),
                Ok(b"hello".to_vec())
            );
        }
        assert_eq!(
            open(&mut opener, &mk_keys(&[ONE, &twin]), &datagram),
            Ok(b"hello".to_vec())
        );
    }
}

#[test]
fn nonces_never_repeat_within_and_between_runs() {
    let keys = mk_keys(&[ONE]);
    let mut nonces = std::collections::BTreeSet::new();
    for (name, boot) in [("n1", 1), ("n1", 2), ("n2", 1)] {
        let mut sealer = Sealer::new(id(name), Boot(boot));
        for _ in 0..1000 {
            let datagram = seal(&mut sealer, &keys, b"same");
            assert!(
                nonces.insert(nonce(&datagram).unwrap().to_vec()),
                "a nonce was used twice"
            );
        }
    }
    // What does not fit must not give its counter to the next one.
    let mut sealer = Sealer::new(id("n3"), Boot(1));
    assert_eq!(sealer.seal(&keys, &Packet::Ownership(&[0; MAX_DATAGRAM])), None);
    assert_eq!(number(&seal(&mut sealer, &keys, b"x"), COUNTER_AT), Some(2));
}

#[test]
fn the_largest_packet_fills_a_datagram_exactly() {
    let (mut sealer, mut opener) = mk_pair();
    let keys = mk_keys(&[ONE]);
    let largest = vec![0xab; super::super::MAX_MESSAGE];
    let datagram = seal(&mut sealer, &keys, &largest);
    assert_eq!(datagram.len(), MAX_DATAGRAM);
    assert_eq!(open(&mut opener, &keys, &datagram), Ok(largest.clone()));
    let larger = [largest, vec![0]].concat();
    assert_eq!(sealer.seal(&keys, &Packet::Ownership(&larger)), None);
}

#[test]
fn the_most_silent_sender_makes_room() {
    let keys = mk_keys(&[ONE]);
    let mut opener = Opener::new(id("us"));
    let mut first = Sealer::new(id("sender-0"), Boot(1));
    let datagram = seal(&mut first, &keys, b"x");
    for n in 0..=MAX_SENDERS {
        let now = Time::from_millis(n as u64);
        let mut sealer = Sealer::new(id(&format!("sender-{n}")), Boot(1));
        let mut datagram = seal(&mut sealer, &keys, b"x");
        opener.open(&keys, &mut datagram, now).expect("authentic");
        assert!(opener.senders.len() <= MAX_SENDERS);
    }
    assert!(!opener.senders.contains_key(&id("sender-0")));
    assert!(
        open(&mut opener, &keys, &datagram).is_ok(),
        "a forgotten sender can come back"
    );
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn anything_altered_truncated_or_extended_is_refused_and_changes_nothing(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
            cut in any::<prop::sample::Index>(),
            tail in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let (mut sealer, mut opener) = mk_pair();
            let keys = mk_keys(&[ONE, TWO]);
            let datagram = seal(&mut sealer, &keys, &payload);

            let mut altered = datagram.clone();
            altered[at.index(datagram.len())] ^= flip;
            prop_assert!(open(&mut opener, &keys, &altered).is_err());
            prop_assert!(open(&mut opener, &keys, &datagram[..cut.index(datagram.len())]).is_err());
            prop_assert!(open(&mut opener, &keys, &[&*datagram, &*tail].concat()).is_err());
            prop_assert!(opener.senders.is_empty(), "a refused datagram was remembered");

            prop_assert_eq!(open(&mut opener, &keys, &datagram), Ok(payload));
            prop_assert!(open(&mut opener, &keys, &altered).is_err());
            prop_assert_eq!(open(&mut opener, &keys, &datagram), Err(Rejected::Replayed));
        }

        #[test]
        fn opening_is_total(bytes in prop::collection::vec(any::<u8>(), 0..200), known in any::<bool>()) {
            let keys = mk_keys(&[ONE, TWO]);
            let mut bytes = bytes;
            // Half of the inputs get past the first checks.
            if known && bytes.len() > 1 {
                bytes[0] = VERSION;
                bytes[1] = keys.sealing.id;
            }
            let mut opener = Opener::new(id("n2"));
            prop_assert!(open(&mut opener, &keys, &bytes).is_err());
            prop_assert!(opener.senders.is_empty());
        }

        #[test]
        fn packets_of_any_bytes_decode_or_are_malformed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Packet::decode(&bytes);
        }
    }
}
