//! The orderly exit.

use super::*;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

#[test]
fn a_leaver_offers_everything_at_once_and_leaves_when_all_is_taken() {
    let mut group = Group::settled(&NODES, 9);
    let before = group.moves.len();
    group.act("n1", Ownership::handle_drain);
    group.run(millis(50));
    assert!(group.machine("n1").is_drained());
    assert_eq!(group.shares().first(), Some(&0));
    for last in 0..9 {
        group.owner(vip(last));
        assert!(group.has_no_gap(vip(last)), "{:#?}", group.announced[&vip(last)]);
    }
    let moves = group.moves_since(before);
    assert_eq!(moves.len(), 6, "three are taken, and three are lost: {moves:#?}");
    assert!(
        moves.iter().all(|change| change.reason == MoveReason::Leave),
        "{moves:#?}"
    );
}

#[test]
fn nothing_is_offered_to_who_leaves_too() {
    let mut group = Group::settled(&NODES, 3);
    group.act("n2", Ownership::handle_drain);
    group.run(millis(5));
    let sent = group.sent.len();
    group.act("n1", Ownership::handle_drain);
    group.run(millis(20));
    let offered = group
        .sent_since(sent, "n1", "n2")
        .into_iter()
        .any(|(_, message)| matches!(message, Message::Offers(_)));
    assert!(!offered, "n2 is draining");
    assert_eq!(group.shares(), [0, 0, 3]);
}

#[test]
fn a_leaver_that_nobody_hears_leaves_after_it_has_asked_each() {
    let mut group = Group::settled(&NODES, 3);
    group.isolate("n1");
    group.act("n1", Ownership::handle_drain);
    group.run(millis(299));
    assert!(!group.machine("n1").is_drained());
    assert_eq!(group.machine("n1").plan().announcements.len(), 1);
    group.run(millis(40));
    assert!(group.machine("n1").is_drained());
    assert!(group.machine("n1").plan().announcements.is_empty());
}

#[test]
fn a_leaver_is_gone_after_a_second_whatever_is_not_taken() {
    let mut group = Group::settled(&NODES, 3);
    group.isolate("n1");
    group.act("n1", Ownership::handle_drain);
    // It did not get to run in between.
    group.now = group.now + millis(1_000);
    group.act("n1", Ownership::handle_timeout);
    assert!(group.machine("n1").plan().announcements.is_empty());
    let left = group
        .sent
        .iter()
        .filter(|(_, _, _, message)| matches!(message, Message::Leave { .. }));
    assert_eq!(left.count(), 2, "both others are told");
}

#[test]
fn what_a_leaver_could_not_hand_over_is_taken_when_it_says_goodbye() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    let left: Vec<_> = (0..2)
        .map(vip)
        .filter(|vip| group.owner(*vip).as_str() == "n1")
        .collect();
    let version = group.machine("n1").table.version();
    group.kill("n1");
    group.hand("n2", "n1", 1, Message::Leave { table: version });
    group.run(millis(1));
    for vip in left {
        assert_eq!(group.owner(vip).as_str(), "n2", "nobody waits for membership");
        assert_eq!(group.announcement(vip).reason, MoveReason::Leave);
    }
}
