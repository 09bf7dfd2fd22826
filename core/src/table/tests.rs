use super::*;

fn mk_vip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

const HELD: Standing = Standing::Held { slot: 0 };
const GONE: Standing = Standing::Released {
    reason: MoveReason::Gone,
    claim_version: u64::MAX,
};

/// All changes after a version as single-entry messages.
fn mk_singles(table: &Table, after: Version) -> Vec<Changes> {
    let mut messages = Vec::new();
    let mut from = after;
    while let Some(changes) = table.changes_after(from, 1) {
        from = changes.upto;
        messages.push(changes);
    }
    messages
}

fn owned(replica: &Replica) -> Vec<IpAddr> {
    replica.vips().collect()
}

#[test]
fn a_replica_follows_changes_in_order() {
    let mut table = Table::default();
    let mut replica = Replica::default();
    table.set(mk_vip(1), Epoch(1), HELD);
    table.set(mk_vip(2), Epoch(1), HELD);
    table.set(mk_vip(1), Epoch(2), Standing::Silent);
    let changes = table
        .changes_after(Version::NONE, 1_000)
        .expect("there are changes");
    assert_eq!(
        changes.entries.len(),
        2,
        "the first change is overtaken by the third"
    );
    replica.apply(&changes);
    assert_eq!(owned(&replica), [mk_vip(2)]);
    assert_eq!(replica.version(), table.version());
    assert_eq!((replica.held(), table.held()), (1, 1));
}

#[test]
fn a_gap_is_applied_but_not_counted_as_held() {
    let mut table = Table::default();
    for last in 1..=3 {
        table.set(mk_vip(last), Epoch(1), HELD);
    }
    let messages = mk_singles(&table, Version::NONE);
    let mut replica = Replica::default();
    replica.apply(&messages[0]);
    replica.apply(&messages[2]);
    assert_eq!(replica.version(), Version(1));
    assert_eq!(owned(&replica), [mk_vip(1), mk_vip(3)]);
    replica.apply(&messages[1]);
    assert_eq!(
        replica.version(),
        Version(2),
        "what lies behind the gap is asked for again"
    );
}

#[test]
fn a_late_datagram_does_not_bring_back_what_was_given_up() {
    let mut table = Table::default();
    table.set(mk_vip(1), Epoch(1), HELD);
    let first = table.changes_after(Version::NONE, 1_000).expect("a change");
    table.set(mk_vip(1), Epoch(1), GONE);
    let second = table.changes_after(Version(1), 1_000).expect("a change");

    let mut in_order = Replica::default();
    for message in [&first, &second, &first] {
        in_order.apply(message);
    }
    assert!(owned(&in_order).is_empty());

    let mut reordered = Replica::default();
    assert_eq!(reordered.apply(&second), second.entries);
    assert_eq!(reordered.apply(&first), [], "an older change is no news");
    assert!(owned(&reordered).is_empty());
}

#[test]
fn nothing_is_news_twice() {
    let mut table = Table::default();
    table.set(mk_vip(1), Epoch(1), HELD);
    let changes = table.changes_after(Version::NONE, 1_000).expect("a change");
    let mut replica = Replica::default();
    assert_eq!(replica.apply(&changes).len(), 1);
    assert_eq!(replica.apply(&changes), []);
}

#[test]
fn the_change_of_one_vip_stands_alone() {
    let mut table = Table::default();
    table.set(mk_vip(1), Epoch(1), HELD);
    table.set(mk_vip(2), Epoch(5), HELD);
    table.set(mk_vip(3), Epoch(1), HELD);
    let mut replica = Replica::default();
    replica.apply(&table.change_of(mk_vip(2)).expect("it is in the table"));
    assert_eq!(owned(&replica), [mk_vip(2)]);
    assert_eq!(replica.version(), Version::NONE);
}

#[test]
fn the_size_estimate_is_never_below_the_wire() {
    for vip in [mk_vip(1), "2001:db8::1".parse().expect("a literal address")] {
        for number in [0, 1, 127, 128, 1 << 20, u64::MAX] {
            for standing in [
                HELD,
                Standing::Held { slot: 8 },
                GONE,
                Standing::Silent,
                Standing::Released {
                    reason: MoveReason::Ineligible,
                    claim_version: number,
                },
            ] {
                let entry = Entry {
                    vip,
                    version: Version(number),
                    epoch: Epoch(number),
                    standing,
                };
                let size = postcard::to_allocvec(&entry).expect("it is plain data").len();
                assert!(entry.wire_size() >= size, "{entry:?} takes {size} bytes");
            }
        }
    }
}

#[test]
fn changes_stay_within_the_budget() {
    let mut table = Table::default();
    for last in 0..=255 {
        table.set(mk_vip(last), Epoch(u64::MAX), GONE);
    }
    let mut replica = Replica::default();
    let mut messages = 0;
    while let Some(changes) = table.changes_after(replica.version(), 1_100) {
        let size = postcard::to_allocvec(&changes).expect("it is plain data").len();
        assert!(size <= 1_130, "{size} bytes");
        replica.apply(&changes);
        messages += 1;
    }
    assert!(messages > 5, "the table takes several messages, not {messages}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is lost, repeated or reordered: a replica never counts as held what it has not
        /// got, and equals the table once it holds the table's version.
        #[test]
        fn a_replica_at_the_tables_version_equals_the_table(
            steps in proptest::collection::vec((0u8..4, 0u8..3, any::<u16>(), any::<bool>()), 1..200),
        ) {
            let mut table = Table::default();
            let mut replica = Replica::default();
            let mut sent: Vec<Changes> = Vec::new();
            for (last, action, pick, is_big) in steps {
                match action {
                    0 => table.set(mk_vip(last), Epoch(1), HELD),
                    1 => table.set(mk_vip(last), Epoch(1), if is_big { GONE } else { Standing::Silent }),
                    _ => {
                        let budget = if is_big { 1_000 } else { 1 };
                        let after = Version(u64::from(pick) % (table.version().0 + 1));
                        sent.extend(table.changes_after(after, budget));
                        sent.extend(table.change_of(mk_vip(last)));
                    }
                }
                if !sent.is_empty() {
                    replica.apply(&sent[usize::from(pick) % sent.len()]);
                }
                prop_assert!(replica.version() <= table.version());
                if replica.version() == table.version() {
                    let expected: Vec<_> = table
                        .iter()
                        .filter(|entry| entry.standing.is_held())
                        .map(|entry| entry.vip)
                        .collect();
                    prop_assert_eq!(owned(&replica), expected);
                }
            }
        }
    }
}
