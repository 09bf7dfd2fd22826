//! What counts as a revert, and what follows from so many.

use super::*;

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn revert(contest: &mut Contest, now: Time) -> Option<Time> {
    contest.write(Parts::NONE, now);
    contest.see(Parts::INGRESS);
    contest.judge(Parts::INGRESS, Some("rival"), now);
    contest.wait(now)
}

#[test]
fn the_first_revert_is_repaired_at_once_and_the_next_ever_later() {
    let mut contest = Contest::default();
    assert_eq!(contest.calm_at(), None);
    let waits: Vec<_> = (0..12).map(|_| revert(&mut contest, Time::ZERO)).collect();
    assert_eq!(
        waits[..5],
        [None, Some(at(1)), Some(at(2)), Some(at(4)), Some(at(8))]
    );
    assert_eq!(waits[11], Some(at(300)));
}

#[test]
fn the_third_revert_names_the_rival_and_a_calm_time_forgets_it() {
    let mut contest = Contest::default();
    for _ in 0..2 {
        revert(&mut contest, Time::ZERO);
    }
    assert_eq!(contest.complaint(), None);
    revert(&mut contest, Time::ZERO);
    let names = |contest: &Contest| {
        let said = contest.complaint();
        said.is_some_and(|said| said.starts_with("rival keeps changing status.loadBalancer back: "))
    };
    assert!(names(&contest));
    contest.write(Parts::NONE, at(10));
    let calm = contest.calm_at().expect("it was reverted");
    assert_eq!(calm, at(26));
    contest.calm_down(at(25));
    assert!(names(&contest));
    contest.calm_down(calm);
    assert_eq!((contest.complaint(), contest.wait(at(26))), (None, None));
}

#[test]
fn what_we_want_so_or_have_not_written_is_not_contested() {
    let mut contest = Contest::default();
    for _ in 0..5 {
        contest.see(Parts::INGRESS);
        assert!(contest.judge(Parts::INGRESS, None, Time::ZERO).is_empty());
    }
    for _ in 0..5 {
        contest.write(Parts::NONE, Time::ZERO);
        contest.see(Parts::ANNOTATION);
        assert!(contest.judge(Parts::INGRESS, None, Time::ZERO).is_empty());
    }
    for _ in 0..5 {
        contest.write(Parts::NONE, Time::ZERO);
        contest.lose();
        contest.see(Parts::INGRESS);
        assert!(contest.judge(Parts::INGRESS, None, Time::ZERO).is_empty());
    }
    assert_eq!((contest.calm_at(), contest.wait(Time::ZERO)), (None, None));
}

#[test]
fn a_write_is_reverted_once_and_who_changes_no_address_is_not_known() {
    let mut contest = Contest::default();
    contest.write(Parts::CONDITION, Time::ZERO);
    for _ in 0..5 {
        contest.judge(Parts::CONDITION, Some("rival"), Time::ZERO);
        contest.see(Parts::CONDITION);
    }
    assert!(!contest.is_contested());
    for _ in 0..2 {
        contest.write(Parts::CONDITION, Time::ZERO);
        contest.judge(Parts::CONDITION, Some("rival"), Time::ZERO);
    }
    assert!(contest.is_contested() && contest.has_just_begun());
    let said = contest.complaint().expect("it is contested");
    let what = "somebody keeps changing the condition ferrolb.io/AddressAssigned back: ";
    assert!(said.starts_with(what), "{said}");
}

#[test]
fn a_claim_is_repaired_every_15_s_at_least() {
    let mut contest = Contest::default();
    let waits: Vec<_> = (0..7)
        .map(|_| {
            contest.write(Parts::CLAIM, Time::ZERO);
            contest.judge(Parts::CLAIM, None, Time::ZERO);
            contest.wait(Time::ZERO)
        })
        .collect();
    let paused = [1, 2, 4, 8, 15, 15].map(|seconds| Some(at(seconds)));
    assert_eq!(waits, [[None].as_slice(), &paused].concat());
}

#[test]
fn of_several_rivals_one_is_named() {
    let mut contest = Contest::default();
    let mut said = std::collections::BTreeSet::new();
    for rival in ["a", "b"].into_iter().cycle().take(9) {
        contest.write(Parts::INGRESS, Time::ZERO);
        contest.judge(Parts::INGRESS, Some(rival), Time::ZERO);
        said.extend(contest.complaint());
    }
    assert_eq!(said.len(), 1, "{said:?}");
}
