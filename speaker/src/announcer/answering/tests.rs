use ferrolb_core::plan::Announcement;
use ferrolb_core::reason::{MoveReason, Withheld};

use super::*;

const ETH0: IfIndex = IfIndex(2);
const ETH1: IfIndex = IfIndex(3);

fn vip() -> IpAddr {
    "192.0.2.200".parse().expect("a literal address")
}

fn mk_plan(epoch: u64) -> Arc<Plan> {
    let announcement = Announcement {
        interfaces: BTreeSet::from([ETH0, ETH1]),
        burst: 1,
        epoch,
        reason: MoveReason::NodeDown,
        from: Some("n1".into()),
    };
    Arc::new(Plan {
        announcements: BTreeMap::from([(vip(), announcement)]),
        ..Plan::default()
    })
}

fn answered(ledger: &Ledger) -> Option<(u64, Vec<IfIndex>)> {
    let answering = ledger.subscribe().borrow().clone();
    let answered = answering.get(&vip())?;
    Some((answered.epoch, answered.interfaces.iter().copied().collect()))
}

#[test]
fn a_vip_is_answered_from_its_first_interface_to_its_last() {
    let ledger = Ledger::default();
    let (_plan, watch) = watch::channel(mk_plan(7));
    let (eth0, eth1) = (ledger.page(ETH0, watch.clone()), ledger.page(ETH1, watch));
    eth0.begin(&mk_plan(7), [vip()]);
    assert_eq!(answered(&ledger), Some((7, vec![ETH0])));
    eth1.begin(&mk_plan(7), [vip()]);
    assert_eq!(answered(&ledger), Some((7, vec![ETH0, ETH1])));
    eth0.end_all_but(&mk_plan(7), |_| false);
    assert_eq!(answered(&ledger), Some((7, vec![ETH1])));
    drop(eth1);
    assert_eq!(
        answered(&ledger),
        None,
        "an interface that is gone answers nothing"
    );
}

#[test]
fn a_new_epoch_shows_and_nothing_else_wakes_anybody() {
    let ledger = Ledger::default();
    let (_plan, watch) = watch::channel(mk_plan(7));
    let page = ledger.page(ETH0, watch);
    let mut woken = ledger.subscribe();
    page.begin(&mk_plan(7), [vip()]);
    assert!(woken.has_changed().expect("the ledger is there"));
    woken.mark_unchanged();
    page.begin(&mk_plan(7), [vip()]);
    page.end_all_but(&mk_plan(7), |_| true);
    assert!(!woken.has_changed().expect("the ledger is there"));
    page.begin(&mk_plan(8), [vip()]);
    assert_eq!(answered(&ledger), Some((8, vec![ETH0])));
}

#[test]
fn a_withdrawal_says_what_the_plan_says() {
    let mut plan = Plan::default();
    assert_eq!(withdrawn_for(&plan, &vip()), "NoClaim");
    plan.withheld.insert(vip(), Withheld::OtherOwner);
    assert_eq!(withdrawn_for(&plan, &vip()), "OtherOwner");
    assert_eq!(withdrawn_for(&mk_plan(7), &vip()), "NoInterface");
}
