//! How groups behave: joining, death, leaving, healing, restarting, and not dying by mistake.

use super::*;

const SIZES: [usize; 4] = [2, 3, 5, 10];

/// The value below which 99 of 100 lie.
fn p99(mut sample: Vec<Duration>) -> Duration {
    sample.sort();
    sample[sample.len() * 99 / 100]
}

#[test]
fn groups_of_all_sizes_find_each_other() {
    for n in SIZES {
        for seed in 0..20 {
            let mut lan = Lan::new(n, seed);
            lan.loss = 0.05;
            let since = lan.now;
            lan.converge();
            assert!(
                lan.now - since < ms(2000),
                "{n} members took {:?}",
                lan.now - since
            );
        }
    }
}

#[test]
fn one_seed_is_enough_for_everybody_to_find_everybody() {
    let mut lan = Lan::new(1, 1);
    for node in 1..10 {
        lan.start(node, 0);
        let now = lan.now;
        let state = lan.nodes.get_mut(&node).unwrap();
        state.membership.set_seeds(BTreeSet::from([address(0)]), now);
    }
    lan.converge();
}

#[test]
fn a_crash_is_known_to_all_within_800_ms_at_the_99th_percentile() {
    for n in SIZES {
        let mut lan = Lan::new(n, n as u64);
        lan.converge();
        let mut sample = Vec::new();
        for _ in 0..100 {
            let pause = lan.rng.random_range(500..1000);
            lan.run(ms(pause));
            let victim = lan.rng.random_range(0..n);
            let crash = lan.now;
            lan.nodes.remove(&victim);
            let survivors = lan.all();
            let known = lan
                .run_until(crash + ms(5000), |lan| lan.agree(&survivors))
                .expect("a crash was never noticed");
            sample.push(known - crash);
            assert!(
                lan.deaths(crash)
                    .iter()
                    .all(|(_, whom, departure)| *whom == victim && *departure == Departure::Silent),
                "somebody else was held Down: {:?}",
                lan.deaths(crash)
            );
            lan.start(victim, n);
            lan.converge();
        }
        let p99 = p99(sample);
        assert!(p99 < ms(800), "with {n} members the 99th percentile is {p99:?}");
    }
}

#[test]
fn nobody_is_held_down_in_minutes_of_loss() {
    for n in SIZES {
        let mut lan = Lan::new(n, 7 + n as u64);
        lan.converge();
        lan.loss = 0.01;
        let since = lan.now;
        lan.run(ms(120_000));
        assert_eq!(lan.deaths(since), [], "with {n} members at 1 % loss");
        lan.loss = 0.05;
        let since = lan.now;
        lan.run(ms(60_000));
        assert_eq!(lan.deaths(since), [], "with {n} members at 5 % loss");
    }
}

#[test]
fn leaving_is_known_to_all_at_once_even_with_loss() {
    let (mut deaths, mut on_purpose) = (0, 0);
    for n in SIZES {
        for seed in 0..20 {
            let mut lan = Lan::new(n, seed);
            lan.converge();
            lan.loss = 0.05;
            let leaver = lan.rng.random_range(0..n);
            let since = lan.now;
            for _ in 0..3 {
                lan.nodes.get_mut(&leaver).unwrap().membership.leave();
                lan.collect(leaver);
                lan.run(ms(5));
            }
            lan.nodes.remove(&leaver);
            let rest = lan.all();
            let known = lan.run_until(since + ms(1000), |lan| lan.agree(&rest));
            let known = known.expect("leaving was never noticed") - since;
            assert!(known < ms(100), "with {n} members leaving took {known:?}");
            for (_, whom, departure) in lan.deaths(since) {
                assert_eq!(whom, leaver);
                deaths += 1;
                on_purpose += usize::from(departure == Departure::Left);
            }
        }
    }
    // Whoever lost all copies hears it from another member, without the reason.
    assert!(
        on_purpose * 100 > deaths * 98,
        "{on_purpose} of {deaths} knew that it was on purpose"
    );
}

#[test]
fn partitions_of_all_shapes_heal_within_a_second() {
    for (n, left) in [(2, 1), (3, 1), (5, 2), (10, 1), (10, 5)] {
        let mut sample = Vec::new();
        for seed in 0..8 {
            let mut lan = Lan::new(n, seed);
            lan.converge();
            let pairs: Vec<_> = (0..left).flat_map(|a| (left..n).map(move |b| (a, b))).collect();
            for (a, b) in &pairs {
                lan.cut(*a, *b, true);
            }
            let split = lan.run_until(lan.now + ms(5000), |lan| {
                lan.agree(&(0..left).collect()) && lan.agree(&(left..n).collect())
            });
            assert!(split.is_some(), "the cut {left}|{} was never noticed", n - left);
            let pause = lan.rng.random_range(0..3000);
            lan.run(ms(pause));

            for (a, b) in &pairs {
                lan.cut(*a, *b, false);
            }
            let since = lan.now;
            lan.converge();
            sample.push(lan.now - since);
            // And stays so: foca's news about former lives must not bury anybody again.
            let since = lan.now + ms(500);
            lan.run(ms(2000));
            assert_eq!(
                lan.deaths(since),
                [],
                "after {left}|{} had healed (seed {seed})",
                n - left
            );
        }
        let slowest = *sample.iter().max().unwrap();
        assert!(
            slowest < ms(1000),
            "{left}|{} took up to {slowest:?} to heal",
            n - left
        );
    }
}

#[test]
fn groups_that_formed_apart_find_each_other() {
    for seed in 0..10 {
        let mut lan = Lan::new(0, seed);
        let pairs: Vec<_> = (0..3).flat_map(|a| (3..6).map(move |b| (a, b))).collect();
        for (a, b) in &pairs {
            lan.cut(*a, *b, true);
        }
        for node in 0..6 {
            lan.start(node, 6);
        }
        lan.run(ms(5000));
        assert!(lan.agree(&(0..3).collect()) && lan.agree(&(3..6).collect()));
        for (a, b) in &pairs {
            lan.cut(*a, *b, false);
        }
        let since = lan.now;
        lan.converge();
        assert!(lan.now - since < ms(1500), "took {:?}", lan.now - since);
    }
}

#[test]
fn a_quick_restart_shows_as_a_new_boot_and_not_as_a_death() {
    for n in SIZES {
        for seed in 0..10 {
            let mut lan = Lan::new(n, seed);
            lan.converge();
            let since = lan.now;
            lan.start(0, n);
            let boot = lan.nodes[&0].membership.boot();
            lan.converge();
            let end = lan.now + ms(1000);
            for node in 1..n {
                let up = lan.run_until(end, |lan| {
                    let said = &lan.nodes[&node].said;
                    said.iter()
                        .any(|(at, said)| *at >= since && *said == Said::Up(0, boot))
                });
                assert!(up.is_some(), "member {node} of {n} has not seen the new boot");
            }
            assert_eq!(
                lan.deaths(since),
                [],
                "a restart within the detection time is no death"
            );
        }
    }
}

#[test]
fn a_pause_of_one_process_buries_nobody_else() {
    for n in SIZES {
        for seed in 0..4 {
            let mut lan = Lan::new(n, seed);
            lan.loss = 0.01;
            lan.converge();
            for _ in 0..6 {
                let since = lan.now;
                let pause = lan.rng.random_range(20..3000);
                lan.pause(0, ms(pause));
                lan.run(ms(pause + 1000));
                for (node, whom, _) in lan.deaths(since) {
                    assert!(
                        node != 0 && whom == 0,
                        "{node} buried {whom} after a pause of {pause} ms"
                    );
                }
                lan.converge();
            }
        }
    }
}

#[test]
fn held_down_by_mistake_a_member_comes_back_with_the_same_boot() {
    let mut lan = Lan::new(3, 5);
    lan.converge();
    let boot = lan.nodes[&0].membership.boot();
    lan.pause(0, ms(2000));
    lan.run(ms(2000));
    let since = lan.now;
    lan.converge();
    for node in 1..3 {
        let said = &lan.nodes[&node].said;
        assert!(
            said.iter()
                .any(|(at, said)| *at >= since && *said == Said::Up(0, boot)),
            "member {node} should have seen the same run come back: {said:?}"
        );
    }
}

#[test]
fn a_run_with_an_older_boot_learns_which_boot_to_exceed() {
    let mut lan = Lan::new(3, 5);
    lan.converge();
    let latest = lan.nodes[&0].membership.boot();
    // The clock went back while the node restarted.
    lan.start_as(0, 3, Boot(5));
    let told = lan.run_until(lan.now + ms(1000), |lan| {
        let said = &lan.nodes[&0].said;
        said.iter().any(|(_, said)| *said == Said::Superseded(latest))
    });
    assert!(told.is_some(), "nobody told the new run about {latest:?}");
    assert!(
        lan.view(0).len() == 1,
        "until then nobody may have listened to it"
    );
    lan.start_as(0, 3, Boot(latest.0 + 1));
    lan.converge();
}

#[test]
fn messages_reach_members_with_their_sender_and_only_those_that_are_up() {
    let mut lan = Lan::new(2, 3);
    let early = lan.nodes.get_mut(&0).unwrap().membership.send(&name(7), b"x");
    assert!(!early, "there is no such member");
    lan.converge();
    let membership = &mut lan.nodes.get_mut(&0).unwrap().membership;
    assert!(membership.send(&name(1), b"hello"));
    assert!(!membership.send(&name(1), &[0; MAX_MESSAGE + 1]), "too long");
    lan.collect(0);
    lan.run(ms(2));
    assert_eq!(
        lan.nodes[&1].said.last().map(|(_, said)| said.clone()),
        Some(Said::Message(0, b"hello".to_vec()))
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut lan = Lan::new(5, seed);
        lan.loss = 0.05;
        lan.run(ms(5000));
        lan.nodes.remove(&2);
        lan.run(ms(3000));
        let said: Vec<_> = lan.nodes.values().map(|node| node.said.clone()).collect();
        (said, lan.sent)
    };
    assert_eq!(history(11), history(11));
    assert_ne!(history(11), history(12), "the seed must matter");
}

#[test]
fn members_speak_at_the_expected_rate() {
    let mut lan = Lan::new(5, 2);
    lan.converge();
    // Until the news of joining has been told often enough.
    lan.run(ms(10_000));
    let before = lan.sent;
    lan.run(ms(10_000));
    let rate = (lan.sent - before) as f64 / 10.0 / 5.0;
    assert!(
        (15.0..30.0).contains(&rate),
        "{rate} datagrams per second and member"
    );
}

#[test]
fn replays_and_forgeries_change_nothing() {
    let mut lan = Lan::new(3, 9);
    lan.converge();
    let mut recorded = Vec::new();
    for _ in 0..2000 {
        let end = lan.now + ms(1);
        lan.run_until(end, |_| false);
        recorded.extend(lan.flying.values().filter(|(to, ..)| *to == 0).cloned());
    }
    lan.run(ms(5));
    recorded.dedup();
    assert!(
        recorded.len() > 20,
        "only {} datagrams were recorded",
        recorded.len()
    );

    let state = |lan: &Lan| {
        let membership = &lan.nodes[&0].membership;
        format!(
            "{membership:?} {:?} {:?}",
            membership.opener,
            membership.poll_timeout()
        )
    };
    let before = state(&lan);
    let now = lan.now;
    for (_, from, datagram) in recorded {
        let membership = &mut lan.nodes.get_mut(&0).unwrap().membership;
        let mut replay = datagram.clone();
        let rejected = membership.handle_datagram(from, &mut replay, now);
        assert!(
            matches!(rejected, Err(Rejected::Replayed | Rejected::Stale)),
            "{rejected:?}"
        );
        for at in 0..datagram.len() {
            let mut forged = datagram.clone();
            forged[at] ^= 1;
            assert!(membership.handle_datagram(from, &mut forged, now).is_err());
            assert!(
                membership
                    .handle_datagram(from, &mut datagram.clone()[..at], now)
                    .is_err()
            );
        }
        assert_eq!(membership.poll_output(), None, "a forgery was answered");
        assert_eq!(state(&lan), before);
    }
}
