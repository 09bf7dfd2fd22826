//! Two records of one VIP: the greater stays, the smaller falls silent at once.

use super::*;

/// One speaker that owns a VIP at epoch 1, and another that is heard.
fn mk_owner() -> Group {
    let mut group = Group::settled(&["n1", "n2"], 1);
    if group.owner(vip(0)).as_str() == "n2" {
        group.bury("n2");
        group.run(millis(1_000));
    } else {
        group.kill("n2");
    }
    group
}

#[test]
fn an_owner_falls_silent_at_once_before_a_greater_record() {
    let mut group = mk_owner();
    let epoch = group.announcement(vip(0)).epoch;
    group.hand("n1", "n2", 2, mk_record(vip(0), epoch + 1, 8));
    assert_eq!(group.announcers(vip(0)), [""; 0], "in the same step");
    let change = &group.moves.last().unwrap().1;
    assert_eq!(
        (change.reason, change.to.clone()),
        (MoveReason::Healed, Some("n2".into()))
    );
    assert_eq!(group.machine("n1").view(vip(0)).owner, Some("n2".into()));
}

#[test]
fn a_smaller_record_is_answered_with_the_own_and_a_burst_once() {
    let mut group = mk_owner();
    let epoch = group.announcement(vip(0)).epoch;
    group.hand("n1", "n2", 2, mk_record(vip(0), epoch - 1, 0));
    let (burst, before) = (group.announcement(vip(0)).burst, group.sent.len());
    // Another one, higher, and still smaller.
    let mut table = Table::default();
    table.set(vip(1), Epoch(1), Standing::Silent);
    table.set(vip(0), Epoch(epoch), Standing::Held { slot: 8 });
    let rival = Message::Changes(table.change_of(vip(0)).unwrap());
    group.hand("n1", "n2", 2, rival.clone());
    assert_eq!(group.owner(vip(0)).as_str(), "n1");
    let answers = |group: &Group, since| {
        let sent = group.sent_since(since, "n1", "n2");
        let is_record = |message: &Message| matches!(message, Message::Changes(changes) if changes.entries.iter().any(|entry| entry.vip == vip(0)));
        sent.into_iter().filter(|(_, message)| is_record(message)).count()
    };
    assert_eq!(
        answers(&group, before),
        1,
        "{:#?}",
        group.sent_since(before, "n1", "n2")
    );
    let after = group.announcement(vip(0)).burst;
    assert_ne!(after, burst, "its last frames may have poisoned caches");
    let before = group.sent.len();
    group.hand("n1", "n2", 2, rival);
    // Whatever makes it look at the VIP again.
    group.facts.claims.get_mut(&vip(0)).unwrap().version += 1;
    group.tell("n1");
    assert_eq!(answers(&group, before), 0, "it was answered");
    assert_eq!(group.announcement(vip(0)).burst, after);
}

#[test]
fn two_owners_that_meet_are_one_within_50_ms_and_the_winner_bursts_last() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    group.isolate("n1");
    group.down("n1", "n2");
    group.down("n2", "n1");
    group.run(millis(500));
    assert_eq!(group.announcers(vip(0)), ["n1", "n2"], "each side serves");
    let bursts: Vec<_> = NODES_2
        .map(|node| group.machine(node).plan().announcements[&vip(0)].burst)
        .into();
    group.heal();
    group.meet();
    group.run(millis(50));
    for last in 0..2 {
        group.owner(vip(last));
    }
    let owner = group.owner(vip(0));
    let index = NODES_2.iter().position(|node| *node == owner.as_str()).unwrap();
    assert!(group.announcement(vip(0)).burst > bursts[index]);
    assert_eq!(group.moves.last().unwrap().1.reason, MoveReason::Healed);
}

const NODES_2: [&str; 2] = ["n1", "n2"];
