//! Decides which links are usable, and reduces them to what the rest of the speaker needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_core::address::Family;
use ferrolb_core::interface::{IfIndex, Interface, MacAddress};
use ferrolb_core::pattern::is_excluded;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType};

use crate::netlink::Interfaces;

/// The list of usable interfaces from three dumps. The routes are default routes.
pub(super) fn reduce(
    links: Vec<LinkMessage>,
    addresses: Vec<AddressMessage>,
    routes: &[RouteMessage],
) -> Interfaces {
    let mut by_index: BTreeMap<IfIndex, Interface> = BTreeMap::new();
    let mut carrier_ups = BTreeMap::new();
    let mut links_away = BTreeSet::new();
    for link in links {
        if let Some((interface, ups)) = usable(&link) {
            carrier_ups.insert(interface.index, ups);
            by_index.insert(interface.index, interface);
        } else if is_away(&link) {
            links_away.insert(IfIndex(link.header.index));
        }
    }
    let mut away = BTreeSet::new();
    for address in addresses {
        let index = IfIndex(address.header.index);
        let Some(subnet) = subnet(&address) else {
            continue;
        };
        if let Some(interface) = by_index.get_mut(&index) {
            interface.addresses.push(subnet);
        } else if links_away.contains(&index) && subnet.prefix_len() < subnet.max_prefix_len() {
            away.insert(subnet.trunc());
        }
    }
    for (index, family) in routes.iter().flat_map(leaves_by) {
        if let Some(interface) = by_index.get_mut(&index)
            && !interface.default_routes.contains(&family)
        {
            interface.default_routes.push(family);
        }
    }
    let mut usable: Vec<_> = by_index.into_values().collect();
    for interface in &mut usable {
        // The kernel's order follows history; a list must be equal when its meaning is.
        interface.addresses.sort();
        interface.default_routes.sort();
    }
    Interfaces {
        usable,
        carrier_ups,
        away: away.into_iter().collect(),
    }
}

/// Whether a route is a default route of the main table.
pub(super) fn is_default_route(route: &RouteMessage) -> bool {
    let has_destination = route
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, RouteAttribute::Destination(_)));
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let is_main = table.unwrap_or(route.header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN);
    is_main
        && route.header.kind == RouteType::Unicast
        && route.header.destination_prefix_length == 0
        && !has_destination
}

/// A link as an interface without addresses, and how often it got its carrier; `None` when no
/// frame of ours should go there.
fn usable(link: &LinkMessage) -> Option<(Interface, u32)> {
    let flags = link.header.flags;
    if link.header.link_layer_type != LinkLayerType::Ether
        || !flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
        || flags.intersects(LinkFlags::Loopback | LinkFlags::Noarp)
    {
        return None;
    }
    let mut name = None;
    let mut mac = None;
    let mut ups = 0;
    let mut is_enslaved = false;
    let mut is_in_vrf = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            LinkAttribute::CarrierUpCount(count) => ups = *count,
            LinkAttribute::Controller(index) => is_enslaved = *index != 0,
            LinkAttribute::LinkInfo(infos) => {
                is_in_vrf = infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::PortKind(InfoPortKind::Vrf)));
            }
            _ => {}
        }
    }
    // A port of a bridge or bond sends and receives through its controller; one in a VRF does so
    // itself.
    if is_enslaved && !is_in_vrf {
        return None;
    }
    let interface = Interface {
        index: IfIndex(link.header.index),
        name: name?,
        mac: MacAddress(mac?),
        addresses: Vec::new(),
        default_routes: Vec::new(),
    };
    Some((interface, ups))
}

/// Whether a link is a LAN's that is down or has no carrier.
fn is_away(link: &LinkMessage) -> bool {
    let flags = link.header.flags;
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    });
    link.header.link_layer_type == LinkLayerType::Ether
        && !flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
        && !flags.intersects(LinkFlags::Loopback | LinkFlags::Noarp)
        && name.is_some_and(|name| !is_excluded(name))
}

/// The address with its prefix length. On point-to-point links `Address` is the peer's, and
/// `Local` the interface's own; IPv6 has `Address` only.
fn subnet(address: &AddressMessage) -> Option<IpNet> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| address.attributes.iter().find_map(wanted);
    let own = find(|attribute| match attribute {
        AddressAttribute::Local(own) => Some(*own),
        _ => None,
    });
    let other = find(|attribute| match attribute {
        AddressAttribute::Address(other) => Some(*other),
        _ => None,
    });
    IpNet::new(own.or(other)?, address.header.prefix_len).ok()
}

/// The interfaces by which a default route leaves, also each hop of a multipath route.
fn leaves_by(route: &RouteMessage) -> Vec<(IfIndex, Family)> {
    let family = match route.header.address_family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return Vec::new(),
    };
    let mut indexes = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => indexes.push(*index),
            RouteAttribute::MultiPath(hops) => indexes.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    indexes
        .into_iter()
        .map(|index| (IfIndex(index), family))
        .collect()
}

#[cfg(test)]
mod tests;
