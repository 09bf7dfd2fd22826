//! What a speaker knows from the Kubernetes API and its kernel, reduced to what decides.
//!
//! A `Facts` value is a complete, immutable input: the driver rebuilds it from its indexes and
//! hands it over whole. An API outage simply means that no new one comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::address::Family;
use crate::interface::{Interface, Links};
use crate::node::NodeName;
use crate::selector::Selector;
use crate::service::{ServiceKey, TrafficPolicy};

/// Everything a speaker knows that is not gossip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All first lists (claims, pools, nodes) have completed.
    pub complete: bool,
    /// Claims that have holders, by VIP.
    pub claims: BTreeMap<IpAddr, ClaimFacts>,
    /// Advertisements by pool name. A pool that is not here covers nothing.
    pub pools: BTreeMap<String, Vec<Advertisement>>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, NodeFacts>,
    /// Serving endpoints of the Services of policy Local: the nodes that host one, by the family of
    /// its address.
    pub local_endpoints: BTreeMap<Family, BTreeMap<ServiceKey, BTreeSet<NodeName>>>,
    /// This node's usable interfaces.
    pub interfaces: Vec<Interface>,
    /// Subnets of this node's links that are not usable now: a VIP of one of them is announced on no
    /// other link by default.
    pub away: Vec<IpNet>,
}

/// One claim, as far as ownership depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimFacts {
    /// `metadata.resourceVersion` as a number: only to tell a newer view of the claim from an older
    /// one; 0 when it is no number.
    pub version: u64,
    /// The pool that it was lent from.
    pub pool: String,
    /// Who holds it; never empty.
    pub holders: Vec<HolderFacts>,
    /// `status.epoch`: a floor for new epochs.
    pub status_epoch: u64,
    /// `status.owner.node`, as last seen: only to notice that somebody must clear it.
    pub status_owner: Option<NodeName>,
}

/// One holder, as far as ownership depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderFacts {
    /// The Service.
    pub service: ServiceKey,
    /// Its traffic policy.
    pub traffic_policy: TrafficPolicy,
    /// Names of the pool's advertisements that apply to it; unknown names are ignored.
    pub advertisements: Vec<String>,
}

/// One entry of a pool's `layer2` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertisement {
    /// Its name, unique in the pool.
    pub name: String,
    /// Nodes that may announce: any of these; empty = every node.
    pub node_selectors: Vec<Selector>,
    /// Interface patterns (`eth0`, `bond*`, `!eth9`); empty = the default interfaces.
    pub interfaces: Vec<String>,
}

/// One Node, as far as candidacy depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Condition `Ready` is True: a cold start waits for the speakers of such nodes.
    pub ready: bool,
    /// Condition `NetworkUnavailable` is True.
    pub network_unavailable: bool,
    /// Its first InternalIP: where its speaker can be reached.
    pub internal_ip: Option<IpAddr>,
}

// === impl Facts ===

impl Facts {
    /// This node's links.
    pub fn links(&self) -> Links<'_> {
        Links {
            usable: &self.interfaces,
            away: &self.away,
        }
    }

    /// The nodes that host a serving endpoint for a VIP of a Service of policy Local; `None` when
    /// there is none.
    pub fn hosts_of(&self, service: &ServiceKey, vip: IpAddr) -> Option<&BTreeSet<NodeName>> {
        self.local_endpoints.get(&Family::of(vip))?.get(service)
    }
}
