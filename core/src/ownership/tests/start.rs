//! A new boot answers and takes nothing before it knows enough.

use super::*;

#[test]
fn a_new_boot_waits_for_the_tables_and_floors_of_the_live() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    group.bury("n2");
    group.run(millis(1_000));
    group.boot("n2", 2);
    group.tell("n2");
    group.cut("n1", "n2");
    group.meet();
    group.run(millis(500));
    assert!(!group.machine("n2").is_synced(), "it knows nothing of n1");
    assert_eq!(group.machine("n2").awaited(), [NodeName::from("n1")]);
    group.heal();
    group.run(millis(150));
    assert!(group.machine("n2").is_synced());
    assert_eq!(group.machine("n2").view(vip(0)).owner, Some("n1".into()));
    assert_eq!(group.shares(), [2, 0], "{:#?}", group.moves);
}

#[test]
fn a_new_boot_waits_for_a_table_that_it_was_told_of() {
    let mut group = Group::new(&["n1", "n2"], 0);
    group.kill("n2");
    group.tell("n1");
    let profile = Profile {
        version: Version(1),
        stage: Stage::Ready,
        interfaces: Vec::new(),
    };
    let floors = FloorsPage {
        after: None,
        floors: Vec::new(),
        is_last: true,
    };
    let digest = Digest {
        profile: Version(1),
        table: Version(1),
        have: Have {
            boot: Boot(1),
            profile: Version(9),
            table: Version(9),
        },
    };
    group.hand("n1", "n2", 1, Message::Digest(digest));
    group.hand("n1", "n2", 1, Message::Profile(profile));
    group.hand("n1", "n2", 1, Message::Floors(floors));
    assert!(!group.machine("n1").is_synced(), "what n2 owns is not known");
    group.hand("n1", "n2", 1, mk_record(vip(0), 1, 0));
    assert!(group.machine("n1").is_synced());
}

#[test]
fn a_new_boot_waits_a_second_at_most_once_it_has_met_a_ready_member() {
    let mut group = Group::settled(&["n1", "n2", "n3"], 0);
    group.boot("n2", 2);
    group.tell("n2");
    group.cut("n3", "n2");
    group.meet();
    group.run(millis(900));
    assert!(!group.machine("n2").is_synced(), "n3 is up, and was not heard");
    group.run(millis(110));
    assert!(group.machine("n2").is_synced());
}

#[test]
fn before_its_start_is_over_a_speaker_takes_no_offer_and_no_orphan() {
    let mut group = Group::new(&["n1", "n2"], 1);
    group.tell("n1");
    let offer = Offer {
        vip: vip(0),
        epoch: Epoch(4),
        reason: MoveReason::Drain,
    };
    group.hand("n1", "n2", 1, Message::Offers(vec![offer]));
    group.run(millis(1_000));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    assert_eq!(
        group.machine("n1").view(vip(0)).withheld,
        Some(crate::reason::Withheld::NotSynced)
    );
}

#[test]
fn facts_of_incomplete_lists_are_not_looked_at() {
    let mut group = Group::new(&["n1"], 1);
    group.facts.complete = false;
    group.tell("n1");
    group.run(millis(10_000));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    assert!(!group.machine("n1").is_synced());

    let mut group = Group::settled(&["n1"], 1);
    group.facts = Facts::default();
    group.tell("n1");
    group.run(millis(10_000));
    assert_eq!(
        group.moves.len(),
        1,
        "the last complete ones stay: {:#?}",
        group.moves
    );
}

#[test]
fn a_cold_start_waits_for_the_speaker_of_every_ready_node() {
    let mut group = Group::new(&["n1", "n2", "n3"], 6);
    group.kill("n3");
    group.tell_all();
    group.meet();
    group.run(millis(2_000));
    assert_eq!(group.shares(), [0, 0], "n3 is awaited");
    group.boot("n3", 1);
    group.tell("n3");
    group.meet();
    group.run(millis(200));
    assert_eq!(group.shares(), [2, 2, 2], "they begin together");
}

#[test]
fn a_cold_start_waits_three_seconds_at_most() {
    let mut group = Group::new(&["n1", "n2"], 1);
    group.kill("n2");
    group.tell("n1");
    group.run(millis(2_999));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    group.run(millis(1));
    assert_eq!(group.announcers(vip(0)), ["n1"]);
}

#[test]
fn a_cold_start_does_not_wait_for_nodes_that_are_not_ready() {
    let mut group = Group::new(&["n1", "n2"], 1);
    group.kill("n2");
    group.facts.nodes.get_mut("n2").unwrap().ready = false;
    group.tell("n1");
    assert_eq!(group.announcers(vip(0)), ["n1"]);
}

#[test]
fn a_node_that_was_cut_off_takes_nothing_before_it_has_heard_the_others_again() {
    let nodes = ["n1", "n2", "n3"];
    let mut group = Group::settled(&nodes, 3);
    let cut_off = group.owner(vip(0));
    let name = cut_off.as_str();
    group.isolate(name);
    group.unplugged.insert(cut_off.clone());
    group.tell(name);
    group.run(millis(300));
    for other in group.names().into_iter().filter(|other| *other != cut_off) {
        group.down(other.as_str(), name);
        group.down(name, other.as_str());
    }
    group.run(millis(1_000));
    let before = group.owner(vip(0));
    assert_ne!(before, cut_off);

    // The interface is back, and membership has yet to find anybody.
    let moves = group.moves.len();
    group.heal();
    group.unplugged.clear();
    group.tell(name);
    group.run(millis(900));
    assert_eq!(
        group.owner(vip(0)),
        before,
        "it would have taken what it cannot know of"
    );
    group.meet();
    group.run(millis(1_000));
    assert_eq!(group.owner(vip(0)), before);
    assert!(group.machine(name).is_synced());
    let mut moved = group.moves_since(moves);
    moved.retain(|change| change.from != change.to);
    assert!(moved.is_empty(), "nothing moves when it comes back: {moved:?}");
}

#[test]
fn what_is_owned_is_answered_as_soon_as_its_interface_is_back() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    let owner = group.owner(vip(0));
    let name = owner.as_str();
    group.isolate(name);
    group.unplugged.insert(owner.clone());
    group.tell(name);
    group.run(millis(50));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    group.heal();
    group.unplugged.clear();
    group.tell(name);
    assert_eq!(group.announcers(vip(0)), [name]);
    // What was offered meanwhile may still be taken, but by one.
    group.run(millis(1_000));
    group.owner(vip(0));
}

/// A pod starts on a node, and its link is the only one besides the LAN's.
fn start_pod(group: &mut Group, node: &str, index: u32) {
    let mut facts = group.facts.clone();
    let pod = Interface {
        index: IfIndex(index),
        name: format!("cali{index}"),
        addresses: Vec::new(),
        ..mk_interface(node)
    };
    facts.interfaces = vec![mk_interface(node), pod];
    group.act(node, |machine, now| machine.handle_facts(now, Arc::new(facts)));
}

#[test]
fn the_link_of_a_pod_says_nothing() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    let sent = group.sent.len();
    start_pod(&mut group, "n2", 77);
    assert!(group.machine("n2").is_synced());
    group.run(millis(100));
    let is_profile = |message: &Message| matches!(message, Message::Profile(_));
    let told = group
        .sent
        .iter()
        .skip(sent)
        .any(|(.., message)| is_profile(message));
    assert!(!told, "{:?}", &group.sent[sent..]);
}

#[test]
fn an_owner_is_replaced_while_pods_come_and_go_and_a_ready_node_has_no_speaker() {
    let mut group = Group::new(&["n1", "n2", "n3", "n4"], 2);
    group.kill("n4");
    group.tell_all();
    group.meet();
    group.run(millis(5_000));
    let owner = group.owner(vip(0));
    group.bury(owner.as_str());
    for round in 0..4 {
        for node in group.names() {
            start_pod(&mut group, node.as_str(), 100 + round);
        }
        group.run(millis(900));
    }
    assert_ne!(group.owner(vip(0)), owner);
}
