//! What must be written into the status of claims, and by whom.

use super::*;

fn say(group: &mut Group, epoch: u64, owner: Option<&str>) {
    let claim = group.facts.claims.get_mut(&vip(0)).unwrap();
    claim.version += 1;
    (claim.status_epoch, claim.status_owner) = (epoch, owner.map(NodeName::from));
    group.tell_all();
}

fn duty(group: &mut Group, node: &str, named: Option<&str>) -> Option<Duty> {
    group
        .machine(node)
        .duty(vip(0), named.map(NodeName::from).as_ref())
}

#[test]
fn an_owner_does_not_write_over_one_at_its_own_epoch_that_it_cannot_hear() {
    let mut group = Group::settled(&["n1"], 1);
    say(&mut group, 1, Some("n2"));
    assert_eq!(
        duty(&mut group, "n1", Some("n2")),
        None,
        "each would write its own name by turns"
    );
    group.run(millis(999));
    assert_eq!(group.announcement(vip(0)).epoch, 1);
    group.run(millis(1));
    assert_eq!(group.announcement(vip(0)).epoch, 2, "it rises above it");
    assert!(matches!(
        duty(&mut group, "n1", Some("n2")),
        Some(Duty::Own { epoch: 2, .. })
    ));
}

#[test]
fn an_owner_writes_over_one_that_it_hears() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    say(&mut group, 1, Some(other.as_str()));
    assert!(matches!(
        duty(&mut group, owner.as_str(), Some(other.as_str())),
        Some(Duty::Own { epoch: 1, .. })
    ));
    group.run(millis(3_000));
    assert_eq!(group.announcement(vip(0)).epoch, 1, "their records were compared");
}

#[test]
fn an_owner_rises_above_a_higher_epoch_of_the_status_after_a_second() {
    let mut group = Group::settled(&["n1"], 1);
    say(&mut group, 4, None);
    group.run(millis(999));
    assert_eq!(
        group.announcement(vip(0)).epoch,
        1,
        "its record may still come by gossip"
    );
    group.run(millis(1));
    assert_eq!(group.announcement(vip(0)).epoch, 5);
}

#[test]
fn a_dead_owner_is_cleared_by_the_lowest_name_after_a_second_without_successor() {
    let mut group = Group::settled(&["n1", "n2", "n3"], 1);
    for node in ["n1", "n2", "n3"] {
        group.facts.nodes.get_mut(node).unwrap().network_unavailable = node != "n3";
    }
    group.tell_all();
    group.run(millis(100));
    say(&mut group, 2, Some("n3"));
    assert_eq!(group.owner(vip(0)).as_str(), "n3");
    group.bury("n3");
    group.run(millis(999));
    assert_eq!(
        duty(&mut group, "n1", Some("n3")),
        None,
        "a successor would write its own name"
    );
    // Beside the second, it counts as live for a moment after it was heard.
    group.run(millis(260));
    assert!(matches!(
        duty(&mut group, "n1", Some("n3")),
        Some(Duty::Clear { .. })
    ));
    assert_eq!(duty(&mut group, "n2", Some("n3")), None, "n1 does");
}

#[test]
fn who_released_a_vip_clears_its_own_name_at_once() {
    let mut group = Group::settled(&["n1"], 1);
    group.facts.claims.clear();
    group.tell_all();
    assert!(matches!(
        duty(&mut group, "n1", Some("n1")),
        Some(Duty::Clear { .. })
    ));
}

#[test]
fn everything_that_changes_a_duty_changes_the_revision() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    group.isolate(other.as_str());
    group.down(owner.as_str(), other.as_str());
    group.run(millis(260));
    say(&mut group, 1, Some(other.as_str()));
    assert_eq!(duty(&mut group, owner.as_str(), Some(other.as_str())), None);
    let before = group.machine(owner.as_str()).revision();
    group.up(owner.as_str(), other.as_str());
    assert!(duty(&mut group, owner.as_str(), Some(other.as_str())).is_some());
    assert_ne!(group.machine(owner.as_str()).revision(), before);
}

/// A speaker whose node is no candidate.
fn mk_bystander() -> Group {
    let mut group = Group::new(&["n1"], 1);
    group.facts.nodes.get_mut("n1").unwrap().network_unavailable = true;
    group.tell_all();
    group
}

#[test]
fn an_owner_that_writes_itself_back_is_not_cleared_again_for_ten_minutes() {
    let mut group = mk_bystander();
    say(&mut group, 1, Some("n2"));
    group.run(millis(1_000));
    assert_eq!(duty(&mut group, "n1", Some("n2")), Some(Duty::Clear { epoch: 1 }));
    say(&mut group, 1, None);
    say(&mut group, 1, Some("n2"));
    assert_eq!(
        duty(&mut group, "n1", Some("n2")),
        None,
        "it lives beyond a partition"
    );
    group.run(millis(599_999));
    assert_eq!(duty(&mut group, "n1", Some("n2")), None);
    group.run(millis(1));
    assert_eq!(duty(&mut group, "n1", Some("n2")), Some(Duty::Clear { epoch: 1 }));
}

#[test]
fn an_owner_that_came_and_went_while_the_api_was_away_is_cleared() {
    let mut group = mk_bystander();
    say(&mut group, 0, None);
    // For long, the last view is one from before that owner.
    group.run(millis(10_000));
    say(&mut group, 0, None);
    say(&mut group, 1, Some("n2"));
    assert_eq!(duty(&mut group, "n1", Some("n2")), Some(Duty::Clear { epoch: 1 }));
}
