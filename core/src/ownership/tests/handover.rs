//! Planned moves: make before break.

use super::*;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn exclude(group: &mut Group, node: &NodeName) {
    let labels = &mut group.facts.nodes.get_mut(node).unwrap().labels;
    labels.insert(crate::candidate::EXCLUDE_LABEL.to_owned(), String::new());
}

fn offers(group: &Group, since: usize, from: &NodeName) -> Vec<(Time, NodeName, Offer)> {
    let sent = group.sent[since..].iter().filter(|(_, one, _, _)| one == from);
    sent.filter_map(|(at, _, to, message)| match message {
        Message::Offers(offers) => Some(
            offers
                .iter()
                .map(|offer| (*at, to.clone(), *offer))
                .collect::<Vec<_>>(),
        ),
        _ => None,
    })
    .flatten()
    .collect()
}

#[test]
fn an_excluded_owner_hands_over_and_somebody_answers_all_the_time() {
    let mut group = Group::settled(&NODES, 3);
    let owner = group.owner(vip(0));
    let before = group.moves.len();
    exclude(&mut group, &owner);
    group.tell_all();
    group.run(millis(20));
    assert_ne!(group.owner(vip(0)), owner);
    assert!(group.has_no_gap(vip(0)), "{:#?}", group.announced);
    for change in group.moves_since(before) {
        assert_eq!(
            (change.reason, change.epoch, change.from.clone()),
            (MoveReason::Drain, Epoch(2), Some(owner.clone()))
        );
    }
}

#[test]
fn the_exclude_label_is_ignored_when_every_node_carries_it() {
    let mut group = Group::settled(&NODES, 3);
    let before = group.moves.len();
    for node in group.names() {
        exclude(&mut group, &node);
    }
    group.tell_all();
    group.run(millis(1_000));
    assert_eq!(group.moves.len(), before, "{:#?}", group.moves);
}

#[test]
fn an_owner_that_is_no_candidate_any_more_hands_over() {
    let mut group = Group::settled(&NODES, 1);
    let owner = group.owner(vip(0));
    group.facts.nodes.get_mut(&owner).unwrap().network_unavailable = true;
    group.tell_all();
    group.run(millis(20));
    assert_ne!(group.owner(vip(0)), owner);
    assert!(group.has_no_gap(vip(0)));
    assert_eq!(group.moves.last().unwrap().1.reason, MoveReason::Ineligible);
}

#[test]
fn without_another_candidate_an_owner_that_is_none_falls_silent() {
    let mut group = Group::settled(&["n1"], 1);
    group.facts.nodes.get_mut("n1").unwrap().network_unavailable = true;
    group.tell_all();
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    let change = &group.moves.last().unwrap().1;
    assert_eq!((change.reason, change.to.clone()), (MoveReason::Ineligible, None));
}

#[test]
fn an_offer_is_repeated_every_15_ms_and_ends_after_150_ms_two_epochs_higher() {
    let mut group = Group::settled(&NODES, 1);
    let owner = group.owner(vip(0));
    exclude(&mut group, &owner);
    group.isolate(owner.as_str());
    let (start, sent) = (group.now, group.sent.len());
    group.tell(owner.as_str());
    group.run(millis(149));
    let made = offers(&group, sent, &owner);
    assert_eq!(made.len(), 10, "{made:#?}");
    assert!(
        made.iter()
            .all(|(_, to, offer)| *to == made[0].1 && offer.epoch == Epoch(2)),
        "{made:#?}"
    );
    assert_eq!(group.owner(vip(0)), owner, "it answers until somebody has taken");
    group.run(millis(1));
    assert_eq!(group.announcement(vip(0)).epoch, 3, "which voids the offer");
    let (at, to, offer) = offers(&group, sent, &owner).pop().unwrap();
    assert_eq!((at, offer.epoch), (start + millis(150), Epoch(4)));
    assert_ne!(to, made[0].1, "the next is asked");
}

#[test]
fn a_refused_offer_goes_to_the_next_at_once() {
    let mut group = Group::settled(&NODES, 1);
    let owner = group.owner(vip(0));
    let mut probe = Group::settled(&NODES, 1);
    exclude(&mut probe, &owner);
    probe.tell_all();
    probe.run(millis(20));
    let target = probe.owner(vip(0));
    // The target is no candidate in its own view, which the owner does not know.
    group.unplugged.insert(target.clone());
    let view = group.facts.clone();
    group.facts.nodes.get_mut(&target).unwrap().network_unavailable = true;
    group.tell(target.as_str());
    group.facts = view;
    group.unplugged.clear();
    exclude(&mut group, &owner);
    let before = group.moves.len();
    group.tell(owner.as_str());
    group.run(millis(10));
    let heir = group.owner(vip(0));
    assert!(heir != owner && heir != target, "{heir} owns it");
    let moves: Vec<_> = group
        .moves_since(before)
        .into_iter()
        .map(|change| (change.reason, change.epoch.0))
        .collect();
    assert_eq!(
        moves,
        [
            (MoveReason::OfferFailed, 3),
            (MoveReason::Drain, 4),
            (MoveReason::Drain, 4)
        ]
    );
    assert!(group.has_no_gap(vip(0)));
}

#[test]
fn an_offer_that_was_overtaken_is_refused() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let other = other_than(&["n1", "n2"], &owner);
    let sent = group.sent.len();
    let offer = Offer {
        vip: vip(0),
        epoch: Epoch(1),
        reason: MoveReason::Drain,
    };
    group.hand(other.as_str(), owner.as_str(), 1, Message::Offers(vec![offer]));
    assert_eq!(group.owner(vip(0)), owner);
    let refusal = Refusal {
        vip: vip(0),
        epoch: Epoch(1),
    };
    let answers = group.sent_since(sent, other.as_str(), owner.as_str());
    assert!(
        answers
            .iter()
            .any(|(_, message)| **message == Message::Refusals(vec![refusal])),
        "{answers:#?}"
    );
}

#[test]
fn a_target_that_leaves_is_not_waited_for() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    let target = other_than(&["n1", "n2"], &owner);
    exclude(&mut group, &owner);
    group.kill(target.as_str());
    group.tell(owner.as_str());
    group.run(millis(5));
    assert_eq!(group.owner(vip(0)), owner);
    let version = Version(1_000);
    group.hand(
        owner.as_str(),
        target.as_str(),
        1,
        Message::Leave { table: version },
    );
    let reasons: Vec<_> = group.moves.iter().map(|(_, change)| change.reason).collect();
    assert_eq!(
        reasons,
        [MoveReason::Unowned, MoveReason::OfferFailed, MoveReason::Drain],
        "nobody is left"
    );
}
