use std::collections::BTreeMap;

use super::*;
use crate::address::Family;
use crate::facts::HolderFacts;
use crate::interface::{Interface, Links, MacAddress};
use crate::selector::{Requirement, Selector};
use crate::service::ServiceKey;

const ALPHA: &str = "alpha";

fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 10])
}

fn mk_interface(index: u32, name: &str, address: &str) -> Interface {
    Interface {
        index: IfIndex(index),
        name: name.to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        addresses: vec![address.parse().expect("a literal subnet")],
        default_routes: Vec::new(),
    }
}

fn mk_advertisement(name: &str, interfaces: &[&str]) -> Advertisement {
    Advertisement {
        name: name.to_owned(),
        node_selectors: Vec::new(),
        interfaces: interfaces.iter().map(|pattern| (*pattern).to_owned()).collect(),
    }
}

fn mk_holder(name: &str, traffic_policy: TrafficPolicy, advertisements: &[&str]) -> HolderFacts {
    HolderFacts {
        service: ServiceKey::new("default", name),
        traffic_policy,
        advertisements: advertisements.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// One claim with one holder, one advertisement for every node, one node.
fn mk_facts() -> Facts {
    let claim = ClaimFacts {
        version: 1,
        pool: "home".to_owned(),
        holders: vec![mk_holder("web", TrafficPolicy::Cluster, &["default"])],
        status_epoch: 0,
        status_owner: None,
    };
    Facts {
        complete: true,
        claims: BTreeMap::from([(vip(), claim)]),
        pools: BTreeMap::from([("home".to_owned(), vec![mk_advertisement("default", &[])])]),
        nodes: BTreeMap::from([(ALPHA.into(), NodeFacts::default())]),
        ..Facts::default()
    }
}

fn judge(facts: &Facts) -> Result<Vec<u32>, Withheld> {
    let interfaces = [
        mk_interface(1, "eth0", "192.0.2.1/24"),
        mk_interface(2, "eth1", "198.51.100.1/24"),
    ];
    Judge::new(facts, |member| member.as_str() != "dead")
        .interfaces_of(
            vip(),
            &ALPHA.into(),
            Links {
                usable: &interfaces,
                away: &[],
            },
        )
        .map(|allowed| allowed.into_iter().map(|index| index.0).collect())
}

fn node(facts: &mut Facts) -> &mut NodeFacts {
    facts.nodes.get_mut(ALPHA).expect("the node is there")
}

fn pool(facts: &mut Facts) -> &mut Vec<Advertisement> {
    facts.pools.get_mut("home").expect("the pool is there")
}

fn holders(facts: &mut Facts) -> &mut Vec<HolderFacts> {
    &mut facts.claims.get_mut(&vip()).expect("the claim is there").holders
}

fn mk_selector(requirement: Requirement) -> Selector {
    Selector {
        requirements: vec![requirement],
    }
}

#[test]
fn a_node_with_an_interface_in_the_subnet_is_a_candidate_there() {
    assert_eq!(judge(&mk_facts()), Ok(vec![1]));
}

#[test]
fn without_holders_there_is_no_candidate() {
    let mut facts = mk_facts();
    facts.claims.clear();
    assert_eq!(judge(&facts), Err(Withheld::NoHolder));
}

#[test]
fn a_node_without_node_object_is_no_candidate() {
    let mut facts = mk_facts();
    facts.nodes.clear();
    assert_eq!(judge(&facts), Err(Withheld::NodeUnknown));
}

#[test]
fn an_excluded_node_is_no_candidate_unless_every_node_is_excluded() {
    let mut facts = mk_facts();
    node(&mut facts)
        .labels
        .insert(EXCLUDE_LABEL.to_owned(), String::new());
    assert_eq!(judge(&facts), Ok(vec![1]));
    assert!(Judge::new(&facts, |_| true).is_exclusion_ignored());

    facts.nodes.insert("beta".into(), NodeFacts::default());
    assert_eq!(judge(&facts), Err(Withheld::NodeExcluded));
    assert!(!Judge::new(&facts, |_| true).is_exclusion_ignored());
}

#[test]
fn a_node_without_network_is_no_candidate() {
    let mut facts = mk_facts();
    node(&mut facts).network_unavailable = true;
    assert_eq!(judge(&facts), Err(Withheld::NetworkUnavailable));
}

#[test]
fn a_pool_without_advertisement_for_the_holder_is_announced_nowhere() {
    let mut facts = mk_facts();
    holders(&mut facts)[0].advertisements = vec!["unknown".to_owned()];
    assert_eq!(judge(&facts), Err(Withheld::NoAdvertisement));

    let mut facts = mk_facts();
    pool(&mut facts).clear();
    assert_eq!(judge(&facts), Err(Withheld::NoAdvertisement));

    let mut facts = mk_facts();
    facts.pools.clear();
    assert_eq!(judge(&facts), Err(Withheld::NoAdvertisement));
}

#[test]
fn selectors_choose_nodes_and_any_of_them_is_enough() {
    let mut facts = mk_facts();
    let lan = Requirement::In("zone".to_owned(), BTreeSet::from(["lan".to_owned()]));
    pool(&mut facts)[0].node_selectors = vec![mk_selector(lan)];
    assert_eq!(judge(&facts), Err(Withheld::NodeNotSelected));

    pool(&mut facts)[0]
        .node_selectors
        .push(mk_selector(Requirement::DoesNotExist("zone".to_owned())));
    assert_eq!(judge(&facts), Ok(vec![1]));
}

#[test]
fn an_invalid_selector_is_told_apart_from_one_that_does_not_match() {
    let mut facts = mk_facts();
    pool(&mut facts)[0].node_selectors = vec![mk_selector(Requirement::Invalid)];
    assert_eq!(judge(&facts), Err(Withheld::InvalidSelector));
}

#[test]
fn interfaces_of_several_advertisements_and_holders_unite() {
    let mut facts = mk_facts();
    pool(&mut facts).push(mk_advertisement("second", &["eth1"]));
    assert_eq!(judge(&facts), Ok(vec![1]), "no holder uses the second one");
    holders(&mut facts).push(mk_holder("api", TrafficPolicy::Cluster, &["second"]));
    assert_eq!(judge(&facts), Ok(vec![1, 2]));
}

#[test]
fn without_an_allowed_interface_a_node_is_no_candidate() {
    let mut facts = mk_facts();
    pool(&mut facts)[0].interfaces = vec!["bond*".to_owned()];
    assert_eq!(judge(&facts), Err(Withheld::NoInterface));
}

fn hosts(facts: &mut Facts, family: Family) -> &mut BTreeMap<ServiceKey, BTreeSet<NodeName>> {
    facts.local_endpoints.entry(family).or_default()
}

#[test]
fn policy_local_asks_for_an_endpoint_of_every_local_holder() {
    let mut facts = mk_facts();
    holders(&mut facts)[0].traffic_policy = TrafficPolicy::Local;
    holders(&mut facts).push(mk_holder("api", TrafficPolicy::Local, &["default"]));
    let there = BTreeSet::from([NodeName::from("beta")]);
    for service in ["web", "api"] {
        let service = ServiceKey::new("default", service);
        hosts(&mut facts, Family::V4).insert(service, there.clone());
    }
    assert_eq!(judge(&facts), Err(Withheld::NoLocalEndpoint));

    for (service, expected) in [("web", Err(Withheld::NoLocalEndpoint)), ("api", Ok(vec![1]))] {
        let hosts = hosts(&mut facts, Family::V4).get_mut(&ServiceKey::new("default", service));
        hosts.expect("it is there").insert(ALPHA.into());
        assert_eq!(judge(&facts), expected, "after {service} has come here");
    }
}

#[test]
fn policy_local_asks_for_nothing_while_no_live_member_hosts_an_endpoint() {
    let mut facts = mk_facts();
    holders(&mut facts)[0].traffic_policy = TrafficPolicy::Local;
    assert_eq!(judge(&facts), Ok(vec![1]), "there is none at all");

    let service = ServiceKey::new("default", "web");
    let dead = BTreeSet::from([NodeName::from("dead")]);
    hosts(&mut facts, Family::V4).insert(service.clone(), dead);
    assert_eq!(judge(&facts), Ok(vec![1]), "its host is dead");

    let beta = BTreeSet::from(["dead".into(), "beta".into()]);
    hosts(&mut facts, Family::V6).insert(service.clone(), beta.clone());
    assert_eq!(judge(&facts), Ok(vec![1]), "the other is of the other family");

    hosts(&mut facts, Family::V4).insert(service, beta);
    assert_eq!(judge(&facts), Err(Withheld::NoLocalEndpoint));
}
