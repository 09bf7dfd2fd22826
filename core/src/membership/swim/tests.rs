#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use foca::Timer;

use super::*;
use crate::node::Boot;

fn mk_identity(n: u8) -> Identity {
    Identity {
        name: format!("n{n}").into(),
        boot: Boot(1),
        renewal: 0,
        address: ([192, 0, 2, n], 7979).into(),
    }
}

/// Passes everything between two members, without loss or latency.
fn exchange(a: &mut Swim, b: &mut Swim, now: Time) {
    loop {
        let sends: Vec<_> = std::iter::from_fn(|| a.poll_send()).collect();
        let answers: Vec<_> = std::iter::from_fn(|| b.poll_send()).collect();
        if sends.is_empty() && answers.is_empty() {
            return;
        }
        for (_, bytes) in sends {
            b.handle_data(&bytes, now).unwrap();
        }
        for (_, bytes) in answers {
            a.handle_data(&bytes, now).unwrap();
        }
    }
}

/// Two members that know each other.
fn mk_pair() -> (Swim, Swim) {
    let (mut a, mut b) = (Swim::new(mk_identity(1), 1), Swim::new(mk_identity(2), 2));
    a.join(mk_identity(2), Time::ZERO).unwrap();
    exchange(&mut a, &mut b, Time::ZERO);
    assert_eq!((a.members().count(), b.members().count()), (1, 1));
    (a, b)
}

fn state(swim: &Swim) -> State {
    swim.members().next().expect("one other member").state()
}

/// Runs one member alone until it suspects the other. Gives the time.
fn suspect(swim: &mut Swim) -> Time {
    loop {
        let now = swim.poll_timeout().expect("a probe is scheduled");
        swim.handle_timeout(now).unwrap();
        while swim.poll_send().is_some() {}
        if state(swim) == State::Suspect {
            return now;
        }
        assert!(
            now < Time::from_millis(1000),
            "the silent member was never suspected"
        );
    }
}

#[test]
fn a_refuted_suspicion_is_not_held_against_the_member() {
    let (mut a, mut b) = mk_pair();
    let now = suspect(&mut a);
    // The suspicion reaches the suspect with the next message, and it refutes.
    while state(&a) != State::Alive {
        let at = a.poll_timeout().unwrap();
        a.handle_timeout(at).unwrap();
        exchange(&mut a, &mut b, at);
        assert!(at < now + SUSPICION, "the suspicion was never refuted");
    }

    let timer = a
        .timers
        .values()
        .find(|timer| matches!(timer, Timer::ChangeSuspectToDown { .. }))
        .expect("the end of the suspicion is still scheduled")
        .clone();
    assert!(a.is_refuted(&timer));

    // What foca does with it left to itself. When this fails, foca has been mended and the guard
    // can go.
    a.foca.handle_timer(timer, &mut a.runtime).unwrap();
    let (to, bytes) = a
        .poll_send()
        .expect("foca still tells a healthy member that it is Down");
    assert_eq!(to, mk_identity(2));
    let mut victim = b;
    victim.handle_data(&bytes, now).unwrap();
    assert_eq!(
        victim.identity().renewal,
        1,
        "and the member throws its identity away"
    );
}

#[test]
fn with_the_guard_a_refuted_member_keeps_its_identity() {
    let (mut a, mut b) = mk_pair();
    let start = suspect(&mut a);
    let mut now = start;
    while now < start + SUSPICION * 3 {
        now = a.poll_timeout().unwrap().min(b.poll_timeout().unwrap());
        for swim in [&mut a, &mut b] {
            if swim.poll_timeout().is_some_and(|at| at <= now) {
                swim.handle_timeout(now).unwrap();
            }
        }
        exchange(&mut a, &mut b, now);
    }
    assert_eq!((state(&a), state(&b)), (State::Alive, State::Alive));
    assert_eq!((a.identity().renewal, b.identity().renewal), (0, 0));
}

#[test]
fn a_suspicion_does_not_run_out_while_we_do_not_run() {
    let (mut a, _) = mk_pair();
    let now = suspect(&mut a);
    // Ten seconds in which this process did not run.
    let mut now = now + Duration::from_secs(10);
    a.handle_timeout(now).unwrap();
    assert_eq!(state(&a), State::Suspect, "the suspect had no chance to be heard");
    let resumed = now;
    while state(&a) == State::Suspect {
        now = a.poll_timeout().unwrap();
        a.handle_timeout(now).unwrap();
    }
    assert_eq!(state(&a), State::Down);
    assert!(
        now - resumed <= SUSPICION,
        "the rest of the suspicion took {:?}",
        now - resumed
    );
}

#[test]
fn timers_due_at_once_fire_in_the_order_of_foca() {
    let mut swim = Swim::new(mk_identity(1), 1);
    let kinds = [
        Timer::PeriodicAnnounceDown(0),
        Timer::RemoveDown(mk_identity(2)),
        Timer::ProbeRandomMember(0),
        Timer::SendIndirectProbe {
            probed_id: mk_identity(2),
            token: 0,
        },
    ];
    let mut sorted = kinds.to_vec();
    sorted.sort();
    for timer in kinds {
        use foca::Runtime as _;
        swim.runtime.submit_after(timer, Duration::from_millis(5));
    }
    swim.schedule(Time::ZERO);
    let ours: Vec<_> = swim.timers.values().cloned().collect();
    assert_eq!(ours, sorted);
}
