//! Only the owner starts a move: whoever comes, recovers or thinks otherwise takes nothing.

use super::*;

#[test]
fn a_member_that_joins_takes_nothing() {
    let mut group = Group::new(&["n1", "n2", "n3"], 6);
    group.kill("n3");
    group.facts.nodes.remove("n3");
    group.tell_all();
    group.meet();
    group.run(millis(1_000));
    assert_eq!(group.shares(), [3, 3]);
    let before = group.moves.len();
    group.boot("n3", 1);
    group.facts.nodes.insert(
        "n3".into(),
        NodeFacts {
            ready: true,
            ..NodeFacts::default()
        },
    );
    group.tell_all();
    group.meet();
    group.run(millis(5_000));
    assert_eq!(group.shares(), [3, 3, 0]);
    assert_eq!(group.moves.len(), before, "nothing moves: {:#?}", group.moves);
}

#[test]
fn a_node_that_recovers_does_not_take_back() {
    let mut group = Group::settled(&["n1", "n2"], 4);
    group.bury("n1");
    group.run(millis(1_000));
    assert_eq!(group.shares(), [4]);
    let before = group.moves.len();
    group.boot("n1", 2);
    group.tell("n1");
    group.meet();
    group.run(millis(5_000));
    assert_eq!(group.shares(), [0, 4]);
    assert_eq!(group.moves.len(), before, "nothing moves: {:#?}", group.moves);
}

#[test]
fn what_others_think_of_an_owner_takes_nothing_from_it() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    let before = group.moves.len();
    group.facts.nodes.get_mut(&owner).unwrap().network_unavailable = true;
    group.tell(other.as_str());
    group.run(millis(5_000));
    assert_eq!(group.owner(vip(0)), owner);
    assert_eq!(group.moves.len(), before, "nothing moves: {:#?}", group.moves);
}

#[test]
fn a_live_owner_stays_when_its_selector_cannot_be_understood() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let invalid = crate::selector::Selector {
        requirements: vec![crate::selector::Requirement::Invalid],
    };
    group.facts.pools.get_mut("home").unwrap()[0].node_selectors = vec![invalid];
    group.facts.claims.insert(vip(1), mk_claim(vip(1)));
    group.tell_all();
    group.run(millis(5_000));
    assert_eq!(group.owner(vip(0)), owner);
    assert_eq!(group.announcers(vip(1)), [""; 0], "it selects nobody new");
}
