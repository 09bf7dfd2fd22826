//! What this node has to say in the status of claims: the ownership machine's duties in the words
//! of the API, and only those that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::facts::Facts;
use ferrolb_core::interface::IfIndex;
use ferrolb_core::node::NodeName;
use ferrolb_core::ownership::{Duty, Ownership};
use ferrolb_core::subnet::{self, Keeping};
use k8s_openapi::jiff::Timestamp;

use crate::api::Reports;
use crate::api::status::{Desired, LastMove, Owner};
use crate::netlink::Interfaces;

/// What was reported last, and since when it is so.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    reported: BTreeMap<IpAddr, Desired>,
}

/// What a report is made from.
pub(super) struct Present<'a> {
    pub(super) node: &'a NodeName,
    pub(super) ownership: &'a Ownership,
    pub(super) interfaces: &'a Interfaces,
    /// What is known of the VIPs, for the log.
    pub(super) facts: &'a Facts,
    /// The nodes that claims name as their owners.
    pub(super) named_owners: &'a BTreeMap<IpAddr, NodeName>,
    pub(super) wall: Timestamp,
}

// === impl Reporter ===

impl Reporter {
    /// What changed since the last time.
    pub(super) fn changes(&mut self, present: &Present<'_>) -> Reports {
        let owned = present.ownership.plan().announcements.keys();
        let vips: BTreeSet<IpAddr> = owned.chain(present.named_owners.keys()).copied().collect();
        let mut reports = Reports::new();
        for vip in &vips {
            let named = present.named_owners.get(vip);
            let Some(duty) = present.ownership.duty(*vip, named) else {
                continue;
            };
            let desired = self.desired(*vip, duty, present);
            reports.insert(*vip, Some(desired));
        }
        let gone = self.reported.keys().filter(|vip| !reports.contains_key(*vip));
        let gone: Vec<_> = gone.map(|vip| (*vip, None)).collect();
        reports.extend(gone);
        reports.retain(|vip, desired| self.reported.get(vip) != desired.as_ref());
        for (vip, desired) in &reports {
            let before = self.reported.get(vip).and_then(|before| before.owner.as_ref());
            let owner = desired.as_ref().and_then(|desired| desired.owner.as_ref());
            if let Some((owner, keeping)) =
                owner.and_then(|owner| Some((owner, newly_kept(*vip, before, owner)?)))
            {
                warn_of_subnet(*vip, owner, keeping, present.facts);
            }
            match desired {
                Some(desired) => self.reported.insert(*vip, desired.clone()),
                None => self.reported.remove(vip),
            };
        }
        reports
    }

    fn desired(&self, vip: IpAddr, duty: Duty, present: &Present<'_>) -> Desired {
        let (epoch, owner, last_move) = match duty {
            Duty::Clear { epoch } => (epoch, None, None),
            Duty::Own {
                epoch,
                reason,
                from,
                interfaces,
            } => (
                epoch,
                Some(owner(vip, &interfaces, present.node, present.interfaces)),
                Some(LastMove { from, reason }),
            ),
        };
        // The moment of a standing report is that of its epoch.
        let before = self.reported.get(&vip).filter(|before| before.epoch == epoch);
        let since = before.filter(|before| before.owner.is_some() == owner.is_some());
        Desired {
            epoch,
            owner,
            since: since.map_or(present.wall, |before| before.since),
            last_move,
        }
    }
}

/// How a node answers for a VIP on these of its interfaces.
fn owner(vip: IpAddr, on: &BTreeSet<IfIndex>, node: &NodeName, interfaces: &Interfaces) -> Owner {
    let known: Vec<_> = on.iter().filter_map(|index| interfaces.get(*index)).collect();
    let subnets = known.iter().flat_map(|interface| &interface.addresses);
    Owner {
        node: node.clone(),
        interfaces: known.iter().map(|interface| interface.name.clone()).collect(),
        mac: known.first().map(|interface| interface.mac.to_string()),
        subnet: subnet::smallest(subnets.copied(), vip),
    }
}

/// What the subnet where a node answers for a VIP keeps it for, unless that was so before.
fn newly_kept(vip: IpAddr, before: Option<&Owner>, owner: &Owner) -> Option<Keeping> {
    let is_new = before.and_then(|before| before.subnet) != owner.subnet;
    owner
        .subnet
        .filter(|_| is_new)
        .and_then(|subnet| subnet::keeping(subnet, vip))
}

fn warn_of_subnet(vip: IpAddr, owner: &Owner, keeping: Keeping, facts: &Facts) {
    tracing::warn!(
        %vip,
        pool = facts.claims.get(&vip).map(|claim| claim.pool.as_str()),
        node = %owner.node,
        interfaces = owner.interfaces.join(", "),
        subnet = owner.subnet.map(tracing::field::display),
        keeps = keeping.as_str(),
        "The subnet keeps this VIP for itself, and its hosts may not reach it: exclude it in the pool"
    );
}

#[cfg(test)]
mod tests {
    use ferrolb_core::interface::{Interface, MacAddress};

    use super::*;

    fn mk_interfaces() -> Interfaces {
        let mk = |index, name: &str, addresses: &[&str]| Interface {
            index: IfIndex(index),
            name: name.to_owned(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            addresses: addresses
                .iter()
                .map(|text| text.parse().expect("a literal prefix"))
                .collect(),
            default_routes: Vec::new(),
        };
        Interfaces {
            usable: vec![
                mk(
                    2,
                    "eth0",
                    &["192.0.2.11/24", "192.0.2.200/32", "2001:db8::b/64", "fe80::1/64"],
                ),
                mk(3, "eth1", &["10.0.0.11/8"]),
            ],
            ..Interfaces::default()
        }
    }

    fn owner_on(vip: &str, on: &[u32]) -> Owner {
        let on = on.iter().copied().map(IfIndex).collect();
        owner(
            vip.parse().expect("a literal address"),
            &on,
            &"n1".into(),
            &mk_interfaces(),
        )
    }

    #[test]
    fn an_owner_says_in_which_subnet_it_answers() {
        for (vip, on, expected) in [
            ("192.0.2.200", &[2][..], Some("192.0.2.0/24")),
            ("192.0.2.255", &[2, 3], Some("192.0.2.0/24")),
            ("2001:db8::", &[2], Some("2001:db8::/64")),
            ("10.255.255.255", &[3], Some("10.0.0.0/8")),
            ("10.255.255.255", &[2], None),
            ("198.51.100.1", &[2, 3], None),
            ("192.0.2.255", &[7], None),
        ] {
            let expected = expected.map(|text| text.parse().expect("a literal subnet"));
            assert_eq!(owner_on(vip, on).subnet, expected, "{vip} on {on:?}");
        }
    }

    #[test]
    fn what_a_subnet_keeps_is_news_once_wherever_in_it_the_vip_is_announced() {
        let vip = "192.0.2.255";
        let address = vip.parse().expect("a literal address");
        let owner = owner_on(vip, &[2]);
        assert_eq!(newly_kept(address, None, &owner), Some(Keeping::Broadcast));
        let elsewhere = owner_on(vip, &[3]);
        assert_eq!(
            newly_kept(address, Some(&elsewhere), &owner),
            Some(Keeping::Broadcast)
        );
        let with_another_mac = Owner {
            mac: None,
            ..owner.clone()
        };
        assert_eq!(newly_kept(address, Some(&with_another_mac), &owner), None);
        assert_eq!(newly_kept(address, None, &elsewhere), None);
        let usual = owner_on("192.0.2.200", &[2]);
        let address = "192.0.2.200".parse().expect("a literal address");
        assert_eq!(newly_kept(address, None, &usual), None);
    }
}
