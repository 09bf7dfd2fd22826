//! One file of tests per rule of ownership.

mod take;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferrolb_core::node::NodeName;

use crate::sim::Sim;

/// Fails with the history when a rule was broken.
pub(crate) fn assert_well(sim: &Sim) {
    if let Some(failure) = &sim.failure {
        panic!("{failure}\n{}", sim.log.join("\n"));
    }
}

/// Who announces a VIP; a failure unless it is exactly one.
pub(crate) fn owner(sim: &Sim, vip: IpAddr) -> NodeName {
    let announcers = sim.oracle.announcers(vip);
    assert_eq!(
        announcers.len(),
        1,
        "{vip} is announced by {announcers:?}\n{}",
        sim.log.join("\n")
    );
    announcers.into_iter().next().expect("there is one")
}

/// How many VIPs each node announces.
pub(crate) fn shares(sim: &Sim) -> BTreeMap<NodeName, usize> {
    sim.nodes()
        .into_iter()
        .map(|node| {
            let announced = sim.oracle.plan(&node).map_or(0, |plan| plan.announcements.len());
            (node, announced)
        })
        .collect()
}
