//! Nobody falls below what is remembered.

use super::*;

fn higher(epoch: u64) -> Message {
    Message::HigherFloors(vec![Floor {
        vip: vip(0),
        epoch: Epoch(epoch),
        gone_version: 0,
    }])
}

#[test]
fn an_owner_rises_above_a_higher_floor_and_nothing_moves() {
    let mut group = Group::settled(&["n1"], 1);
    group.hand("n1", "n2", 1, higher(5));
    assert_eq!(group.announcement(vip(0)).epoch, 6);
    let change = &group.moves.last().unwrap().1;
    assert_eq!(
        (change.reason, change.from.clone(), change.to.clone()),
        (MoveReason::FloorRaised, Some("n1".into()), Some("n1".into()))
    );
}

#[test]
fn an_owner_rises_once_a_second_at_first_and_then_ever_more_slowly() {
    let mut group = Group::settled(&["n1"], 1);
    let mut rises = Vec::new();
    for _ in 0..20_000 {
        let epoch = group.announcement(vip(0)).epoch;
        let before = group.moves.len();
        // Whenever it rises, somebody is above it.
        group.hand("n1", "n2", 1, higher(epoch + 1));
        group.run(millis(1));
        if group.moves.len() > before {
            rises.push(group.now);
        }
    }
    let pauses: Vec<_> = rises
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64().round())
        .collect();
    assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0], "{rises:?}");
}

#[test]
fn an_owner_is_told_of_a_higher_floor_than_its_epoch() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    group.hand(other.as_str(), "n9", 1, higher(5));
    group.run(millis(150));
    assert_eq!(group.owner(vip(0)), owner);
    assert_eq!(group.announcement(vip(0)).epoch, 6);
}

#[test]
fn a_new_boot_asks_for_every_floor_page_by_page() {
    // More floors than fit into one message.
    let mut group = Group::new(&["n1", "n2"], 150);
    group.kill("n2");
    group.facts.nodes.get_mut("n2").unwrap().ready = false;
    for claim in group.facts.claims.values_mut() {
        claim.status_epoch = 1_000_000;
    }
    group.tell("n1");
    group.run(millis(1_000));
    let before = group.sent.len();
    group.boot("n2", 1);
    for claim in group.facts.claims.values_mut() {
        claim.status_epoch = 0;
    }
    group.tell("n2");
    group.meet();
    group.run(millis(1_000));
    let pages = group
        .sent_since(before, "n1", "n2")
        .into_iter()
        .filter(|(_, message)| matches!(message, Message::Floors(_)))
        .count();
    assert!(pages > 1, "{pages} pages");
    for last in 0..150 {
        assert_eq!(group.machine("n2").view(vip(last)).floor, 1_000_001);
    }
}
