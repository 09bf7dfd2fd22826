//! What the Kubernetes API holds, and who ought to own what by it: written a second time, simply,
//! so that the machine's own rules are not judged by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::facts::{Advertisement, ClaimFacts, Facts, HolderFacts, NodeFacts};
use ferrolb_core::interface::{IfIndex, Interface, MacAddress};
use ferrolb_core::node::NodeName;
use ferrolb_core::reason::MoveReason;
use ferrolb_core::selector::{Requirement, Selector};
use ferrolb_core::service::{ServiceKey, TrafficPolicy};

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The API's objects, and how often they have changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) facts: Facts,
    /// Claims whose holders are gone, but whose objects are not.
    pub(crate) resting: BTreeMap<IpAddr, ClaimFacts>,
    pub(crate) version: u64,
}

pub(crate) fn mk_vip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, 100 + last])
}

pub(crate) fn mk_node(index: usize) -> NodeName {
    NodeName::from(format!("n{}", index + 1))
}

/// The one LAN interface of a node.
pub(crate) fn mk_interface(node: &NodeName) -> Interface {
    let host: u8 = node
        .as_str()
        .trim_start_matches('n')
        .parse()
        .expect("a node of mk_node");
    Interface {
        index: IfIndex(2),
        name: "eth0".to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, host]),
        addresses: vec![format!("192.0.2.{host}/24").parse().expect("a literal subnet")],
        default_routes: Vec::new(),
    }
}

pub(crate) fn mk_service(vip: IpAddr) -> ServiceKey {
    ServiceKey::new("default", format!("web-{vip}"))
}

impl World {
    /// `nodes` Ready nodes, and a pool that advertises everywhere (`all`) and on zone a (`zone`).
    pub(crate) fn new(nodes: usize) -> Self {
        let zone = Selector {
            requirements: vec![Requirement::In(
                "zone".to_owned(),
                BTreeSet::from(["a".to_owned()]),
            )],
        };
        let advertisement = |name: &str, node_selectors| Advertisement {
            name: name.to_owned(),
            node_selectors,
            interfaces: Vec::new(),
        };
        let ready = NodeFacts {
            ready: true,
            ..NodeFacts::default()
        };
        Self {
            facts: Facts {
                complete: true,
                pools: BTreeMap::from([(
                    "home".to_owned(),
                    vec![
                        advertisement("all", Vec::new()),
                        advertisement("zone", vec![zone]),
                    ],
                )]),
                nodes: (0..nodes).map(|index| (mk_node(index), ready.clone())).collect(),
                ..Facts::default()
            },
            resting: BTreeMap::new(),
            version: 1,
        }
    }

    /// Lends a VIP to a Service; one that rested comes back with its status.
    pub(crate) fn lend(&mut self, vip: IpAddr, advertisement: &str, traffic_policy: TrafficPolicy) {
        self.version += 1;
        let (status_epoch, status_owner) = self
            .resting
            .remove(&vip)
            .map_or((0, None), |claim| (claim.status_epoch, claim.status_owner));
        let claim = ClaimFacts {
            version: self.version,
            pool: "home".to_owned(),
            holders: vec![HolderFacts {
                service: mk_service(vip),
                traffic_policy,
                advertisements: vec![advertisement.to_owned()],
            }],
            status_epoch,
            status_owner,
        };
        self.facts.claims.insert(vip, claim);
    }

    /// The Service goes; its claim rests.
    pub(crate) fn give_back(&mut self, vip: IpAddr) {
        self.version += 1;
        if let Some(claim) = self.facts.claims.remove(&vip) {
            self.resting.insert(vip, claim);
        }
    }

    pub(crate) fn node(&mut self, node: &NodeName) -> &mut NodeFacts {
        self.version += 1;
        self.facts.nodes.entry(node.clone()).or_default()
    }

    pub(crate) fn set_label(&mut self, node: &NodeName, label: &str, is_set: bool) {
        let labels = &mut self.node(node).labels;
        if is_set {
            labels.insert(label.to_owned(), "a".to_owned());
        } else {
            labels.remove(label);
        }
    }

    pub(crate) fn set_excluded(&mut self, node: &NodeName, is_excluded: bool) {
        self.set_label(node, EXCLUDE, is_excluded);
    }

    pub(crate) fn set_endpoint(&mut self, vip: IpAddr, node: &NodeName, is_serving: bool) {
        self.version += 1;
        let hosts = self.facts.local_endpoints.entry(Family::of(vip)).or_default();
        let hosts = hosts.entry(mk_service(vip)).or_default();
        if is_serving {
            hosts.insert(node.clone());
        } else {
            hosts.remove(node);
        }
    }

    /// What a speaker writes into a claim's status, as the API server admits it.
    pub(crate) fn write_status(&mut self, vip: IpAddr, epoch: u64, owner: Option<NodeName>) -> bool {
        let claim = self.facts.claims.get_mut(&vip).or(self.resting.get_mut(&vip));
        let Some(claim) = claim.filter(|claim| claim.status_epoch <= epoch) else {
            return false;
        };
        if (claim.status_epoch, &claim.status_owner) == (epoch, &owner) {
            return false;
        }
        self.version += 1;
        claim.version = self.version;
        claim.status_epoch = epoch;
        claim.status_owner = owner;
        true
    }
}

/// Whether a node ought to be a candidate by these facts, its speaker's state aside.
pub(crate) fn is_candidate(
    facts: &Facts,
    vip: IpAddr,
    node: &NodeName,
    has_interface: bool,
    is_live: impl Fn(&NodeName) -> bool,
) -> bool {
    objections(facts, vip, node, has_interface, is_live).is_empty()
}

/// What is against a node's ownership of a VIP by these facts, in the words of its moves.
pub(crate) fn objections(
    facts: &Facts,
    vip: IpAddr,
    node: &NodeName,
    has_interface: bool,
    is_live: impl Fn(&NodeName) -> bool,
) -> BTreeSet<MoveReason> {
    let Some(claim) = facts.claims.get(&vip) else {
        return BTreeSet::from([MoveReason::Gone]);
    };
    let Some(own) = facts.nodes.get(node) else {
        return BTreeSet::from([MoveReason::Ineligible]);
    };
    let is_excluded = |node: &NodeFacts| node.labels.contains_key(EXCLUDE);
    let is_any_included = facts.nodes.values().any(|node| !is_excluded(node));
    let holder = &claim.holders[0];
    let is_selected = holder.advertisements == ["all"] || own.labels.contains_key("zone");
    let hosts = facts.hosts_of(&holder.service, vip);
    let live_hosts: BTreeSet<_> = hosts.into_iter().flatten().filter(|host| is_live(host)).collect();
    let is_hosting =
        holder.traffic_policy == TrafficPolicy::Cluster || live_hosts.is_empty() || live_hosts.contains(node);
    let is_out = is_excluded(own) && is_any_included;
    let is_fit = has_interface && !own.network_unavailable && is_selected && is_hosting;
    let drain = is_out.then_some(MoveReason::Drain);
    let ineligible = (!is_fit).then_some(MoveReason::Ineligible);
    drain.into_iter().chain(ineligible).collect()
}
