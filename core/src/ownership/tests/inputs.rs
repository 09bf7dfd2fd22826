//! What follows from facts that change.

use super::*;
use crate::address::Family;

/// Endpoints of a Service are on these nodes.
fn host(group: &mut Group, service: ServiceKey, nodes: BTreeSet<NodeName>) {
    let endpoints = group.facts.local_endpoints.entry(Family::V4).or_default();
    endpoints.insert(service, nodes);
}

#[test]
fn a_vanished_pool_keeps_its_advertisements_for_ten_seconds() {
    let mut group = Group::settled(&["n1"], 1);
    let pools = std::mem::take(&mut group.facts.pools);
    group.tell_all();
    group.run(millis(9_999));
    assert_eq!(group.announcers(vip(0)), ["n1"]);
    group.facts.pools = pools;
    group.tell_all();
    group.run(millis(20_000));
    assert_eq!(
        group.moves.len(),
        1,
        "deleting and creating it again moves nothing: {:#?}",
        group.moves
    );
    group.facts.pools.clear();
    group.tell_all();
    group.run(millis(10_000));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
}

#[test]
fn an_owner_whose_interfaces_all_vanish_falls_silent_and_the_next_one_answers() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    let owner = group.owner(vip(0));
    group.unplugged.insert(owner.clone());
    group.tell(owner.as_str());
    group.run(millis(20));
    assert_ne!(group.owner(vip(0)), owner);
    assert_eq!(group.moves.last().unwrap().1.reason, MoveReason::Ineligible);
}

#[test]
fn a_claim_without_holders_is_withdrawn_by_its_owner() {
    let mut group = Group::settled(&["n1", "n2"], 1);
    group.facts.claims.clear();
    group.tell_all();
    assert!(group.announcers(vip(0)).is_empty());
    let change = &group.moves.last().unwrap().1;
    assert_eq!((change.reason, change.to.clone()), (MoveReason::Gone, None));
}

#[test]
fn under_policy_local_who_hosts_an_endpoint_owns_and_anybody_while_no_live_member_does() {
    let mut group = Group::settled(&["n1", "n2", "n3"], 0);
    let mut claim = mk_claim(vip(0));
    claim.holders[0].traffic_policy = TrafficPolicy::Local;
    group.facts.claims.insert(vip(0), claim);
    let hosts = BTreeSet::from(["n3".into()]);
    host(&mut group, mk_service(vip(0)), hosts);
    group.tell_all();
    group.run(millis(1_000));
    assert_eq!(group.announcers(vip(0)), ["n3"]);
    group.bury("n3");
    group.run(millis(1_000));
    let owner = group.owner(vip(0));
    assert_ne!(owner.as_str(), "n3", "a proxy that refuses quickly beats silence");
    group.boot("n3", 2);
    group.tell("n3");
    group.meet();
    group.run(millis(2_000));
    assert_eq!(group.announcers(vip(0)), ["n3"], "{:#?}", group.moves);
}

#[test]
fn an_owner_without_endpoint_gives_way_when_a_member_comes_that_hosts_one() {
    let mut group = Group::new(&["n1", "n2"], 1);
    group.kill("n2");
    group.facts.nodes.get_mut("n2").unwrap().ready = false;
    let claim = group.facts.claims.get_mut(&vip(0)).unwrap();
    claim.holders[0].traffic_policy = TrafficPolicy::Local;
    let hosts = BTreeSet::from(["n2".into()]);
    host(&mut group, mk_service(vip(0)), hosts);
    group.tell("n1");
    assert_eq!(group.announcers(vip(0)), ["n1"]);
    group.boot("n2", 1);
    group.tell("n2");
    group.meet();
    group.run(millis(500));
    assert_eq!(group.announcers(vip(0)), ["n2"], "{:#?}", group.moves);
}

#[test]
fn services_that_share_a_vip_share_its_owner() {
    let mut group = Group::new(&["n1", "n2", "n3"], 1);
    let other = HolderFacts {
        service: ServiceKey::new("default", "other"),
        traffic_policy: TrafficPolicy::Local,
        advertisements: vec!["all".to_owned()],
    };
    let hosts = |node: &str| BTreeSet::from([node.into()]);
    host(&mut group, other.service.clone(), hosts("n3"));
    let holders = &mut group.facts.claims.get_mut(&vip(0)).unwrap().holders;
    holders.push(other.clone());
    group.tell_all();
    group.meet();
    group.run(millis(4_000));
    assert_eq!(group.announcers(vip(0)), ["n3"], "{:#?}", group.moves);
    // What one of them asks for moves the VIP of both.
    host(&mut group, other.service, hosts("n1"));
    group.tell_all();
    group.run(millis(1_000));
    assert_eq!(group.announcers(vip(0)), ["n1"], "{:#?}", group.moves);
}

#[test]
fn a_new_vip_of_policy_local_waits_for_its_endpoints_to_be_listed() {
    let mut group = Group::settled(&["n1", "n2", "n3"], 0);
    let mut claim = mk_claim(vip(0));
    claim.holders[0].traffic_policy = TrafficPolicy::Local;
    group.facts.claims.insert(vip(0), claim.clone());
    group.tell_all();
    group.run(millis(500));
    assert_eq!(group.announcers(vip(0)), [""; 0]);
    host(&mut group, mk_service(vip(0)), BTreeSet::from(["n2".into()]));
    group.tell_all();
    group.run(millis(50));
    assert_eq!(group.announcers(vip(0)), ["n2"]);
    assert_eq!(group.moves.len(), 1, "{:#?}", group.moves);

    // Nobody lists endpoints of a Service without selector.
    claim.holders[0].service = ServiceKey::new("default", "without-selector");
    group.facts.claims.insert(vip(1), claim);
    group.tell_all();
    group.run(millis(1_100));
    group.owner(vip(1));
}
