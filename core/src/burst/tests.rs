use super::*;

const VIP4: &str = "192.0.2.200";
const VIP6: &str = "2001:db8::200";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a literal address")
}

fn mk_schedule() -> BurstSchedule {
    BurstSchedule::new(DEFAULT_RATE, 7)
}

/// Sends everything that is due until `end`, and returns milliseconds, VIP and form.
fn run(schedule: &mut BurstSchedule, end: Time) -> Vec<(u128, IpAddr, Form)> {
    let mut sent = Vec::new();
    while let Some(now) = schedule.poll_timeout().filter(|&at| at <= end) {
        let (vip, form) = schedule
            .poll(now)
            .expect("a frame is due when the schedule says so");
        sent.push((now.since_origin().as_millis(), vip, form));
    }
    sent
}

#[test]
fn an_ipv4_burst_is_both_forms_five_times() {
    let mut schedule = mk_schedule();
    schedule.start(Time::ZERO, ip(VIP4));
    let expected: Vec<_> = [0, 1100, 2200, 3300, 4400]
        .into_iter()
        .flat_map(|at| {
            [
                (at, ip(VIP4), Form::GratuitousRequest),
                (at, ip(VIP4), Form::GratuitousReply),
            ]
        })
        .collect();
    assert_eq!(run(&mut schedule, Time::from_millis(50_000)), expected);
}

#[test]
fn an_ipv6_burst_is_three_advertisements() {
    let mut schedule = mk_schedule();
    schedule.start(Time::from_millis(500), ip(VIP6));
    let expected = [500, 1500, 2500].map(|at| (at, ip(VIP6), Form::Unsolicited));
    assert_eq!(run(&mut schedule, Time::from_millis(50_000)), expected);
}

#[test]
fn a_late_timer_moves_the_rest_of_the_burst() {
    let mut schedule = mk_schedule();
    schedule.start(Time::ZERO, ip(VIP6));
    assert!(schedule.poll(Time::from_millis(300)).is_some());
    assert_eq!(
        schedule.poll_timeout(),
        Some(Time::from_millis(1300)),
        "never two within a second"
    );
}

#[test]
fn each_vip_is_announced_again_within_60_to_100_seconds_by_one_frame() {
    let mut schedule = mk_schedule();
    schedule.start(Time::ZERO, ip(VIP4));
    schedule.start(Time::ZERO, ip(VIP6));
    let sent = run(&mut schedule, Time::from_millis(3_600_000));
    let mut pauses = BTreeSet::new();
    for (vip, form) in [(ip(VIP4), Form::GratuitousRequest), (ip(VIP6), Form::Unsolicited)] {
        let refreshes: Vec<_> = sent
            .iter()
            .filter(|frame| frame.1 == vip && frame.0 > 5_000)
            .collect();
        assert!(
            refreshes.len() >= 35,
            "{vip} was announced {} times in an hour",
            refreshes.len()
        );
        for pair in refreshes.windows(2) {
            let pause = pair[1].0 - pair[0].0;
            assert!((60_000..=100_000).contains(&pause), "{vip} paused for {pause} ms");
            assert_eq!(pair[1].2, form);
            pauses.insert(pause);
        }
    }
    assert!(pauses.len() > 30, "the pauses are jittered: {pauses:?}");
}

#[test]
fn a_stopped_vip_sends_nothing_more() {
    let mut schedule = mk_schedule();
    schedule.start(Time::ZERO, ip(VIP4));
    assert_eq!(
        schedule.poll(Time::ZERO),
        Some((ip(VIP4), Form::GratuitousRequest))
    );
    schedule.stop(ip(VIP4));
    assert_eq!(schedule.poll(Time::from_millis(10_000)), None);
    assert_eq!(schedule.poll_timeout(), None);
}

#[test]
fn a_second_start_begins_the_burst_anew() {
    let mut schedule = mk_schedule();
    schedule.start(Time::ZERO, ip(VIP6));
    run(&mut schedule, Time::from_millis(10_000));
    schedule.start(Time::from_millis(10_000), ip(VIP6));
    assert_eq!(run(&mut schedule, Time::from_millis(20_000)).len(), 3);
}

#[test]
fn ten_thousand_vips_stay_within_the_pace_and_each_gets_its_first_frame_first() {
    let mut schedule = mk_schedule();
    let vips: Vec<IpAddr> = (0..10_000_u32)
        .map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).into())
        .collect();
    for &vip in &vips {
        schedule.start(Time::ZERO, vip);
    }
    let sent = run(&mut schedule, Time::from_millis(400_000));

    for window in sent.windows(51) {
        assert!(
            window[50].0 - window[0].0 >= 1_000,
            "51 frames within a second at {} ms",
            window[0].0
        );
    }
    let firsts: Vec<_> = sent.iter().take(10_000).map(|frame| (frame.1, frame.2)).collect();
    let expected: Vec<_> = vips.iter().map(|&vip| (vip, Form::GratuitousRequest)).collect();
    assert_eq!(firsts, expected, "in the order of addresses");
    assert_eq!(sent[9_999].0, 199_000, "the pace is used in full");
}
