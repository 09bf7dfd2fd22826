//! The oracle must find what is forged into an innocent story, and nothing in the innocent one.

use super::*;
use crate::oracle::frame::tests::hex;
use crate::oracle::logs::saying;
use crate::oracle::{Cause, Happening, Told, Watched};

const VIP4: &str = "192.0.2.200";
const VIP6: &str = "2001:db8::200";

/// 2026-11-21T12:00:00Z.
const NOON: u64 = 1_795_262_400;

fn at(millis: u64) -> Instant {
    Duration::from_secs(NOON) + Duration::from_millis(millis)
}

fn arp(millis: u64, port: &str, operation: &str, target_mac: &str) -> Frame {
    frame(
        millis,
        port,
        &format!(
            "ffffffffffff 020000000011 0806 0001 0800 0604 {operation} 020000000011 c00002c8 {target_mac} c00002c8"
        ),
    )
}

fn gratuitous(millis: u64, port: &str) -> [Frame; 2] {
    [
        arp(millis, port, "0001", "000000000000"),
        arp(millis, port, "0002", "020000000011"),
    ]
}

fn advertisement(millis: u64, port: &str) -> Frame {
    frame(
        millis,
        port,
        "333300000001 020000000011 86dd 60000000 0020 3a ff
         20010db8000000000000000000000200 ff020000000000000000000000000001
         8800 f51c 20000000 20010db8000000000000000000000200 0201 020000000011",
    )
}

/// A multicast report: kind 4 joins, 3 leaves.
fn report(millis: u64, port: &str, kind: u8) -> Frame {
    frame(
        millis,
        port,
        &format!(
            "333300000016 020000000011 86dd 60000000 0024 00 01
             fe80000000000000000000fffe000011 ff020000000000000000000000000016 3a00 05020000 0100
             8f00 0000 0000 0001 0{kind}000000 ff0200000000000000000001ff000200"
        ),
    )
}

fn frame(millis: u64, port: &str, text: &str) -> Frame {
    Frame {
        at: at(millis),
        port: port.to_owned(),
        bytes: hex(text),
    }
}

fn line(millis: u64, message: &str, vip: &str) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!(
        r#"{{"timestamp":"2026-11-21T12:00:{seconds:02}.{millis:03}000Z","level":"INFO","message":"{message}","vip":"{vip}","epoch":1}}"#
    )
}

fn history(node: &str, lines: &[String], told: &[(u64, Happening)]) -> History {
    let watched = Watched {
        node: node.to_owned(),
        port: node.to_owned(),
        own: vec!["192.0.2.11".parse().expect("an address")],
        log: "unused".into(),
    };
    let told: Vec<_> = told
        .iter()
        .map(|&(millis, happening)| Told {
            node: node.to_owned(),
            at: at(millis),
            happening,
        })
        .collect();
    let sayings = lines.iter().filter_map(|line| saying(line)).collect();
    History::new(watched, sayings, &told)
}

/// n1 owns both VIPs from 1 s, n2 takes the IPv4 one over at 10 s.
fn innocent_frames() -> Vec<Frame> {
    let mut frames = vec![report(1_011, "n1", 4), advertisement(1_000, "n1")];
    frames.sort_by_key(|frame| frame.at);
    frames.extend(gratuitous(1_001, "n1"));
    frames.push(frame(
        5_000,
        "n1",
        "020000000064 020000000011 0806 0001 0800 0604 0002 020000000011 c000020b 020000000064 c0000264",
    ));
    frames.extend(gratuitous(10_001, "n2"));
    frames
}

fn innocent_histories() -> [History; 2] {
    let n1 = [
        line(1_000, "Announcing VIP", VIP4),
        line(1_000, "Announcing VIP", VIP6),
        line(10_020, "Withdrew VIP", VIP4),
    ];
    let n2 = [line(10_000, "Announcing VIP", VIP4)];
    [history("n1", &n1, &[]), history("n2", &n2, &[])]
}

fn seen(frames: &[Frame]) -> Seen {
    Seen {
        frames: frames.to_vec(),
        until: at(30_000),
        ..Seen::default()
    }
}

fn verdict(frames: &[Frame], histories: &[History]) -> Vec<Violation> {
    let case = Case {
        seen: &seen(frames),
        histories,
        served: &BTreeSet::new(),
    };
    case.judge().1
}

/// What is found when n1 owns the IPv4 VIP from 1 s until it withdraws, and n2 from 10 s on.
fn overlapping(withdrew: u64, told: &[(u64, Happening)]) -> Vec<Violation> {
    let n1 = [
        line(1_000, "Announcing VIP", VIP4),
        line(withdrew, "Withdrew VIP", VIP4),
    ];
    let n2 = [line(10_000, "Announcing VIP", VIP4)];
    let histories = [history("n1", &n1, told), history("n2", &n2, &[])];
    let frames = [gratuitous(1_000, "n1"), gratuitous(10_000, "n2")].concat();
    verdict(&frames, &histories)
}

#[test]
fn an_innocent_story_has_no_violation_and_is_counted() {
    let case = Case {
        seen: &seen(&innocent_frames()),
        histories: &innocent_histories(),
        served: &BTreeSet::from([VIP4, VIP6].map(|vip| vip.parse().expect("an address"))),
    };
    let (judged, violations) = case.judge();
    assert_eq!(violations, []);
    assert_eq!(
        judged.to_string(),
        "the packet oracle judged 7 frames: 5 for 2 VIPs, which were taken 3 times"
    );
}

#[test]
fn a_verdict_about_nothing_is_no_acquittal() {
    let [n1, n2] = innocent_histories();
    let served = BTreeSet::from([VIP4.parse().expect("an address")]);
    // Neither frames nor a log, and frames of others only.
    for (frames, histories) in [
        (Vec::new(), Vec::new()),
        (Vec::new(), vec![history("n1", &[], &[]), history("n2", &[], &[])]),
        (
            vec![advertisement(1_000, "n1"), report(1_001, "n1", 4)],
            vec![n1, n2],
        ),
    ] {
        let case = Case {
            seen: &seen(&frames),
            histories: &histories,
            served: &served,
        };
        let found: Vec<_> = case.judge().1.iter().map(ToString::to_string).collect();
        let text =
            "a client was answered for 192.0.2.200, but no frame of its owner was seen: nothing was judged";
        assert!(found.iter().any(|found| found == text), "{found:?}");
    }
}

#[test]
fn a_verdict_without_some_frames_is_no_acquittal() {
    let seen = Seen {
        dropped: 3,
        ..seen(&innocent_frames())
    };
    let case = Case {
        seen: &seen,
        histories: &innocent_histories(),
        served: &BTreeSet::new(),
    };
    assert_eq!(case.judge().1, [Violation::Dropped { frames: 3 }]);
}

#[test]
fn a_forged_frame_of_a_node_that_never_owned_it_is_caught() {
    let mut frames = innocent_frames();
    frames.extend(gratuitous(5_000, "n3"));
    let [n1, n2] = innocent_histories();
    let violations = verdict(&frames, &[n1, n2, history("n3", &[], &[])]);
    assert_eq!(violations.len(), 2, "{violations:?}");
    let text = violations[0].to_string();
    assert!(
        text.starts_with(
            "n3 spoke for 192.0.2.200, which it owned never; at 1795262405.000000 by port n3: ffff ffff"
        ),
        "{text}"
    );
}

#[test]
fn a_frame_just_outside_of_ownership_is_caught() {
    for (millis, port, is_caught) in [
        (994, "n1", true),
        (996, "n1", false),
        (10_024, "n1", false),
        (10_026, "n1", true),
    ] {
        let mut frames = innocent_frames();
        frames.push(arp(millis, port, "0002", "020000000064"));
        let violations = verdict(&frames, &innocent_histories());
        assert_eq!(!violations.is_empty(), is_caught, "{millis}: {violations:?}");
    }
}

#[test]
fn an_answer_of_an_ended_speaker_is_caught() {
    let lines = [line(1_000, "Announcing VIP", VIP4)];
    let n1 = history("n1", &lines, &[(5_000, Happening::Ended)]);
    let mut frames = gratuitous(1_000, "n1").to_vec();
    assert_eq!(verdict(&frames, std::slice::from_ref(&n1)), []);
    frames.push(arp(5_100, "n1", "0002", "020000000064"));
    assert_eq!(verdict(&frames, &[n1]).len(), 1);
}

#[test]
fn no_fault_lets_a_node_speak_that_never_owned() {
    let [n1, n2] = innocent_histories();
    for cause in [Cause::Cable, Cause::Power, Cause::Freeze, Cause::Partition] {
        let told = [
            (4_000, Happening::Isolated(cause)),
            (6_000, Happening::Reachable(cause)),
        ];
        for millis in [5_000, 6_100] {
            let mut frames = innocent_frames();
            frames.push(arp(millis, "n3", "0002", "020000000064"));
            let histories = [n1.clone(), n2.clone(), history("n3", &[], &told)];
            let violations = verdict(&frames, &histories);
            assert!(
                matches!(violations.as_slice(), [Violation::NotOwner { .. }]),
                "{cause:?}: {violations:?}"
            );
        }
    }
}

#[test]
fn two_owners_at_once_are_caught_after_50_ms() {
    assert_eq!(overlapping(10_050, &[]), []);
    let violations = overlapping(10_051, &[]);
    assert!(
        matches!(violations.as_slice(), [Violation::Overlap { .. }]),
        "{violations:?}"
    );
}

#[test]
fn each_fault_excuses_two_owners_for_a_time_of_its_own() {
    for (cause, healed, last) in [
        (Cause::Power, 20_000, 20_050),
        (Cause::Cable, 20_000, 21_050),
        (Cause::Freeze, 20_000, 21_050),
        (Cause::Partition, 20_000, 21_050),
    ] {
        let told = [
            (9_500, Happening::Isolated(cause)),
            (healed, Happening::Reachable(cause)),
        ];
        assert_eq!(overlapping(last, &told), [], "{cause:?}");
        assert_eq!(overlapping(last + 1, &told).len(), 1, "{cause:?}");
    }
}

#[test]
fn a_fault_excuses_neither_before_it_nor_because_another_is_over() {
    let told = [
        (10_060, Happening::Isolated(Cause::Partition)),
        (10_070, Happening::Reachable(Cause::Partition)),
    ];
    assert_eq!(
        overlapping(10_080, &told).len(),
        1,
        "it came after 60 ms of overlap"
    );
    let told = [
        (9_500, Happening::Isolated(Cause::Partition)),
        (9_600, Happening::Isolated(Cause::Freeze)),
        (9_700, Happening::Reachable(Cause::Freeze)),
        (20_000, Happening::Reachable(Cause::Partition)),
    ];
    assert_eq!(overlapping(21_050, &told), [], "it is partitioned still");
    assert_eq!(overlapping(21_051, &told).len(), 1);
}

#[test]
fn a_take_without_either_form_is_caught() {
    for (form, missing) in [(0, "a gratuitous ARP reply"), (1, "a gratuitous ARP request")] {
        let frames: Vec<_> = innocent_frames()
            .into_iter()
            .filter(|frame| frame.port != "n2")
            .chain([gratuitous(10_001, "n2")[form].clone()])
            .collect();
        let violations = verdict(&frames, &innocent_histories());
        let expected = Violation::NotAnnounced {
            vip: VIP4.parse().expect("an address"),
            node: "n2".to_owned(),
            missing,
            from: format!("{}.000000", NOON + 10),
        };
        assert_eq!(violations, [expected]);
    }
}

#[test]
fn an_advertisement_without_a_membership_is_caught() {
    let without: Vec<_> = innocent_frames()
        .into_iter()
        .filter(|frame| frame.at != at(1_011))
        .collect();
    let mut left = without.clone();
    left.extend([report(500, "n1", 4), report(900, "n1", 3)]);
    let mut late = without.clone();
    late.push(report(11_001, "n1", 4));
    let mut left_too_early = innocent_frames();
    left_too_early.extend([report(5_000, "n1", 3), advertisement(6_000, "n1")]);
    for mut frames in [without, left, late, left_too_early] {
        frames.sort_by_key(|frame| frame.at);
        let violations = verdict(&frames, &innocent_histories());
        assert!(
            matches!(violations.as_slice(), [Violation::NotMember { .. }]),
            "{violations:?}"
        );
    }
}

#[test]
fn an_ipv6_take_without_an_advertisement_is_caught() {
    let frames: Vec<_> = innocent_frames()
        .into_iter()
        .filter(|frame| *frame != advertisement(1_000, "n1"))
        .collect();
    let expected = Violation::NotAnnounced {
        vip: VIP6.parse().expect("an address"),
        node: "n1".to_owned(),
        missing: "an unsolicited neighbor advertisement",
        from: format!("{}.000000", NOON + 1),
    };
    assert_eq!(verdict(&frames, &innocent_histories()), [expected]);
}
