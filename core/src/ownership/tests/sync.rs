//! What members publish comes to be held everywhere.

use super::*;

fn has_record(message: &Message) -> bool {
    matches!(message, Message::Changes(changes) if !changes.entries.is_empty())
}

#[test]
fn a_record_is_pushed_at_once_and_every_15_ms_until_it_is_acknowledged() {
    let mut group = Group::settled(&["n1", "n2"], 0);
    group.cut("n1", "n2");
    group.cut("n2", "n1");
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    let (start, before) = (group.now, group.sent.len());
    group.tell("n1");
    group.tell("n2");
    group.run(millis(120));
    let owner = if group.machine("n1").table.held() == 1 {
        "n1"
    } else {
        "n2"
    };
    let other = if owner == "n1" { "n2" } else { "n1" };
    let pushes = |group: &Group| -> Vec<_> {
        let sent = group.sent_since(before, owner, other).into_iter();
        sent.filter(|(_, message)| has_record(message))
            .map(|(at, _)| (at - start).as_millis())
            .collect()
    };
    let pushed = pushes(&group);
    let gaps: BTreeSet<_> = pushed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, BTreeSet::from([15]), "{pushed:?}");
    group.heal();
    group.run(millis(30));
    let pushed = pushes(&group);
    group.run(millis(300));
    assert_eq!(pushes(&group), pushed, "it was acknowledged");
}

#[test]
fn what_is_missing_is_pulled_by_version_when_pushing_has_ended() {
    let mut group = Group::settled(&["n1", "n2", "n3"], 0);
    for node in ["n1", "n2"] {
        group.cut(node, "n3");
    }
    group
        .facts
        .claims
        .extend((0..4).map(|last| (vip(last), mk_claim(vip(last)))));
    group.tell("n1");
    group.tell("n2");
    group.run(millis(2_000));
    group.heal();
    group.run(millis(150));
    group.tell("n3");
    for last in 0..4 {
        let owner = group.owner(vip(last));
        assert_eq!(group.machine("n3").view(vip(last)).owner, Some(owner));
    }
}

#[test]
fn a_digest_is_answered_with_what_either_side_lacks() {
    let mut group = Group::settled(&["n1"], 1);
    let digest = |table, held| {
        Message::Digest(Digest {
            profile: Version::NONE,
            table: Version(table),
            have: Have {
                boot: Boot(1),
                profile: Version(9),
                table: Version(held),
            },
        })
    };
    group.hand("n1", "n2", 1, digest(0, 1));
    let before = group.sent.len();
    group.hand("n1", "n2", 1, digest(0, 1));
    assert_eq!(group.sent.len(), before, "nobody lacks anything");
    group.hand("n1", "n2", 1, digest(5, 1));
    let asked = Have {
        boot: Boot(1),
        profile: Version::NONE,
        table: Version::NONE,
    };
    let sent: Vec<_> = group.sent_since(before, "n1", "n2");
    assert_eq!(
        sent.last().map(|(_, message)| *message),
        Some(&Message::Have(asked))
    );
    let before = group.sent.len();
    group.hand("n1", "n2", 1, digest(0, 0));
    let sent = group.sent_since(before, "n1", "n2");
    assert!(sent.iter().any(|(_, message)| has_record(message)), "{sent:#?}");
}

#[test]
fn who_asks_is_pushed_to_again() {
    let mut group = Group::settled(&["n1", "n2"], 0);
    group.isolate("n2");
    group.kill("n2");
    group.facts.nodes.get_mut("n2").unwrap().network_unavailable = true;
    group.facts.claims.insert(vip(0), mk_claim(vip(0)));
    let before = group.sent.len();
    group.tell("n1");
    let pushes = |group: &Group| {
        let sent = group.sent_since(before, "n1", "n2").into_iter();
        sent.filter(|(_, message)| has_record(message)).count()
    };
    group.run(millis(310));
    let pushed = pushes(&group);
    assert_eq!(pushed, 21, "at once, and twenty times more");
    let asked = Have {
        boot: Boot(1),
        profile: Version(9),
        table: Version::NONE,
    };
    group.hand("n1", "n2", 1, Message::Have(asked));
    group.run(millis(50));
    assert_eq!(pushes(&group), pushed + 4, "every 15 ms");
}

#[test]
fn what_was_said_while_a_member_could_not_be_sent_to_is_said_anew() {
    let mut group = Group::settled(&["n1", "n2"], 2);
    group.isolate("n1");
    group.down("n1", "n2");
    group.down("n2", "n1");
    group.run(millis(2_000));
    group.heal();
    // n1 hears n2 before membership knows the way back: what it says until then is not sent.
    group.cut("n1", "n2");
    group.up("n2", "n1");
    // The next digests are 90 ms away.
    group.run(millis(1_010));
    group.heal();
    group.up("n1", "n2");
    group.run(millis(10));
    for last in 0..2 {
        group.owner(vip(last));
    }
}

#[test]
fn a_table_of_ten_thousand_entries_comes_over_in_datagrams_that_fit() {
    let mut group = Group::new(&["n1", "n2"], 0);
    for index in 0..10_000_u32 {
        let vip = IpAddr::from((0x0a00_0000 + index).to_be_bytes());
        group.facts.claims.insert(vip, mk_claim(vip));
    }
    group.facts.nodes.get_mut("n2").unwrap().network_unavailable = true;
    for claim in group.facts.claims.values_mut() {
        claim.status_epoch = u64::MAX / 2;
    }
    group.facts.pools.get_mut("home").unwrap()[0].interfaces = vec!["eth0".to_owned()];
    for node in ["n1", "n2"] {
        group.tell(node);
    }
    group.meet();
    group.run(millis(500));
    assert_eq!(group.machine("n1").table.held(), 10_000);
    let replica = &group.machine("n2").members[&NodeName::from("n1")].inbound.replica;
    assert_eq!(replica.held(), 10_000);
    for (_, _, _, message) in &group.sent {
        assert!(message.encode().len() <= crate::membership::MAX_MESSAGE);
    }
}
