//! Orphans: who takes, when, at which epoch, and what must be known before.

use super::*;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Three speakers that met a dead owner: its VIP is known at epoch 4, and is owned by nobody. The
/// name of the first candidate comes with them, and those of the others.
fn mk_orphaned() -> (Group, String, Vec<String>) {
    let mut probe = Group::settled(&NODES, 1);
    let first = probe.owner(vip(0));
    let others = NODES
        .into_iter()
        .filter(|node| *node != first.as_str())
        .map(str::to_owned)
        .collect();
    probe.moves.clear();
    (probe, first.as_str().to_owned(), others)
}

#[test]
fn the_first_candidate_takes_an_orphan_at_once() {
    let mut group = Group::settled(&NODES, 0);
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    let start = group.now;
    group.tell_all();
    assert_eq!(
        group.announced[&vip(0)].last().map(|(at, _)| *at),
        Some(start),
        "{:?}",
        group.moves
    );
    group.run(millis(1_000));
    group.owner(vip(0));
    let [(_, change)] = group.moves.as_slice() else {
        panic!("it is taken once: {:#?}", group.moves);
    };
    assert_eq!(
        (change.epoch, change.reason, change.from.clone()),
        (Epoch(1), MoveReason::Unowned, None)
    );
}

#[test]
fn an_orphan_is_taken_above_the_highest_epoch_that_is_remembered() {
    let (mut group, owner, others) = mk_orphaned();
    let floor = Floor {
        vip: vip(0),
        epoch: Epoch(7),
        gone_version: 0,
    };
    for node in &others {
        group.hand(node, &owner, 1, Message::HigherFloors(vec![floor]));
    }
    group.bury(&owner);
    group.run(millis(1_000));
    assert_eq!(group.announcement(vip(0)).epoch, 8);
}

#[test]
fn an_orphan_is_taken_above_the_epoch_of_its_claims_status() {
    let mut group = Group::settled(&NODES, 0);
    let mut claim = mk_claim(vip(0));
    claim.status_epoch = 41;
    group.facts.claims.insert(vip(0), claim);
    group.tell_all();
    group.run(millis(200));
    assert_eq!(group.announcement(vip(0)).epoch, 42, "and not only later");
}

#[test]
fn who_is_ranked_behind_waits_a_slot_and_says_so_in_its_record() {
    let mut group = Group::settled(&NODES, 0);
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    // The first candidate is alive, and does not learn of the claim.
    let mut probe = Group::settled(&NODES, 1);
    let first = probe.owner(vip(0));
    probe.bury(first.as_str());
    probe.run(millis(1_000));
    let second = probe.owner(vip(0));
    for node in NODES.into_iter().filter(|node| *node != first.as_str()) {
        group.tell(node);
    }
    group.run(millis(49));
    assert_eq!(
        group.announcers(vip(0)),
        [""; 0],
        "the second takes only after 50 ms"
    );
    group.run(millis(1));
    assert_eq!(group.owner(vip(0)), second);
    let entry = *group.machine(second.as_str()).table.get(vip(0)).unwrap();
    assert_eq!(entry.standing, Standing::Held { slot: 1 });
    group.run(millis(1_000));
    assert_eq!(group.owner(vip(0)), second, "the third has seen that it is taken");
}

#[test]
fn no_candidate_takes_what_it_is_no_candidate_for() {
    let mut group = Group::new(&NODES, 1);
    for node in NODES {
        group.facts.nodes.get_mut(node).unwrap().network_unavailable = true;
    }
    group.tell_all();
    group.meet();
    group.run(millis(5_000));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
}

#[test]
fn orphans_are_shared_out_evenly_each_counted_before_the_next() {
    let mut group = Group::settled(&NODES, 9);
    assert_eq!(group.shares(), [3, 3, 3]);
    let before = group.moves.len();
    group.bury("n1");
    group.run(millis(1_000));
    let mut shares = group.shares();
    shares.sort_unstable();
    assert_eq!(shares, [4, 5]);
    let moves = group.moves_since(before);
    assert_eq!(
        moves.len(),
        3,
        "only what the dead node had moves, and once each: {moves:#?}"
    );
    for change in moves {
        assert_eq!((change.reason, change.epoch), (MoveReason::NodeDown, Epoch(2)));
        assert_eq!(change.from, Some("n1".into()));
    }
}

#[test]
fn nothing_is_taken_while_the_table_of_a_live_member_is_not_held() {
    let mut group = Group::settled(&["n1", "n2"], 0);
    let digest = Message::Digest(Digest {
        profile: Version(1),
        table: Version(9),
        have: Have {
            boot: Boot(1),
            profile: Version(9),
            table: Version(9),
        },
    });
    group.isolate("n2");
    group.hand("n1", "n2", 1, digest);
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    group.tell("n1");
    group.run(millis(999));
    assert_eq!(group.announcers(vip(0)), [""; 0], "what n2 owns is not known");
    group.run(millis(60));
    assert_eq!(
        group.announcers(vip(0)),
        ["n1"],
        "nobody is waited for longer than a second"
    );
}

#[test]
fn what_was_found_gone_is_not_taken_on_an_older_view_of_its_claim() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    let old = group.facts.claims.remove(&vip(0)).unwrap();
    // Only the owner has learned that the Service is gone.
    group.tell(owner.as_str());
    group.run(millis(3_000));
    assert_eq!(group.announcers(vip(0)), [""; 0], "{:#?}", group.moves);
    assert_eq!(
        group.machine(other.as_str()).view(vip(0)).withheld,
        Some(crate::reason::Withheld::ViewOutdated)
    );
    // Lent again, which is a newer version.
    group.facts.claims.insert(
        vip(0),
        ClaimFacts {
            version: old.version + 1,
            ..old
        },
    );
    group.tell_all();
    group.run(millis(1_000));
    assert_eq!(group.announcement(vip(0)).epoch, 2);
}

#[test]
fn a_newer_boot_voids_the_records_of_the_older() {
    let mut group = Group::settled(&NODES, 1);
    let owner = group.owner(vip(0));
    group.kill(owner.as_str());
    group.run(millis(50));
    group.boot(owner.as_str(), 2);
    group.tell(owner.as_str());
    for node in group.names().into_iter().filter(|node| *node != owner) {
        group.up(node.as_str(), owner.as_str());
        group.up(owner.as_str(), node.as_str());
    }
    group.run(millis(300));
    assert_ne!(
        group.owner(vip(0)),
        owner,
        "it is taken before the new boot may take"
    );
    assert_eq!(group.announcement(vip(0)).epoch, 2);
}

#[test]
fn the_record_that_somebody_fell_silent_before_is_waited_for_and_nobody_else_called_down() {
    let mut group = Group::settled(&["n1", "n2"], 0);
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    let mut table = Table::default();
    for (epoch, standing) in [(1, Standing::Held { slot: 0 }), (2, Standing::Silent)] {
        table.set(vip(0), Epoch(epoch), standing);
        let change = table.change_of(vip(0)).expect("one change");
        for node in ["n1", "n2"] {
            group.hand(node, "n3", 1, Message::Changes(change.clone()));
        }
    }
    group.tell_all();
    group.run(millis(999));
    assert_eq!(group.announcers(vip(0)), [""; 0], "its owner is about to be met");
    group.run(millis(500));
    let [(_, change)] = group.moves.as_slice() else {
        panic!("it is taken once: {:#?}", group.moves);
    };
    assert_eq!(
        (change.epoch, change.reason, change.from.clone()),
        (Epoch(3), MoveReason::NodeDown, None)
    );
}

#[test]
fn a_live_member_that_the_status_names_is_not_called_down() {
    for (named, reason) in [
        ("n1", MoveReason::Unowned),
        ("n2", MoveReason::Unowned),
        ("n9", MoveReason::NodeDown),
    ] {
        let mut group = Group::settled(&["n1", "n2"], 0);
        let mut claim = mk_claim(vip(0));
        claim.status_owner = Some(named.into());
        group.facts.claims.insert(vip(0), claim);
        group.tell("n1");
        group.run(millis(500));
        let [(_, change)] = group.moves.as_slice() else {
            panic!("it is taken once: {:#?}", group.moves);
        };
        assert_eq!((change.reason, change.from.clone()), (reason, Some(named.into())));
    }
}
