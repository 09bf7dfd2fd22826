use std::net::Ipv4Addr;

use rtnetlink::packet_route::route::RouteNextHop;

use super::*;

fn mk_link(index: u32, name: &str, flags: LinkFlags) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags = flags;
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 0x11]),
        LinkAttribute::CarrierUpCount(3),
    ];
    link
}

fn up() -> LinkFlags {
    LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Broadcast | LinkFlags::Multicast
}

fn mk_address(index: u32, prefix_len: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
    let mut address = AddressMessage::default();
    address.header.index = index;
    address.header.prefix_len = prefix_len;
    address.attributes = attributes;
    address
}

fn mk_default_route(attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.kind = RouteType::Unicast;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.attributes = attributes;
    route
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a literal address")
}

fn names(links: Vec<LinkMessage>) -> Vec<String> {
    reduce(links, Vec::new(), &[])
        .usable
        .into_iter()
        .map(|interface| interface.name)
        .collect()
}

#[test]
fn a_link_with_its_addresses_and_default_route_is_an_interface() {
    let addresses = vec![
        mk_address(2, 64, vec![AddressAttribute::Address(ip("2001:db8::11"))]),
        mk_address(
            2,
            24,
            vec![
                AddressAttribute::Address(ip("192.0.2.99")),
                AddressAttribute::Local(ip("192.0.2.11")),
            ],
        ),
        mk_address(9, 24, vec![AddressAttribute::Address(ip("198.51.100.1"))]),
    ];
    let route = mk_default_route(vec![RouteAttribute::Oif(2)]);
    let expected = Interface {
        index: IfIndex(2),
        name: "eth0".to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, 0x11]),
        addresses: vec![
            "192.0.2.11/24".parse().expect("a subnet"),
            "2001:db8::11/64".parse().expect("a subnet"),
        ],
        default_routes: vec![Family::V4],
    };
    let reduced = reduce(vec![mk_link(2, "eth0", up())], addresses, &[route]);
    assert_eq!(reduced.usable, [expected]);
    assert_eq!(reduced.carrier_ups, BTreeMap::from([(IfIndex(2), 3)]));
}

#[test]
fn links_that_cannot_carry_our_frames_are_left_out() {
    let mut tunnel = mk_link(6, "tunl0", up());
    tunnel.header.link_layer_type = LinkLayerType::Tunnel;
    let mut without_mac = mk_link(7, "odd0", up());
    without_mac
        .attributes
        .retain(|attribute| !matches!(attribute, LinkAttribute::Address(_)));
    let links = vec![
        mk_link(1, "lo", up() | LinkFlags::Loopback),
        mk_link(2, "eth0", up()),
        mk_link(3, "eth1", LinkFlags::Up),
        mk_link(4, "eth2", LinkFlags::LowerUp),
        mk_link(5, "dummy0", up() | LinkFlags::Noarp),
        tunnel,
        without_mac,
    ];
    assert_eq!(names(links), ["eth0"]);
}

#[test]
fn ports_of_bridges_and_bonds_are_left_out_and_members_of_a_vrf_are_not() {
    let mut port = mk_link(2, "eth0", up());
    port.attributes.push(LinkAttribute::Controller(9));
    let mut member = mk_link(3, "eth1", up());
    member.attributes.push(LinkAttribute::Controller(10));
    member
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(
            InfoPortKind::Vrf,
        )]));
    assert_eq!(names(vec![port, member]), ["eth1"]);
}

#[test]
fn every_hop_of_a_default_route_counts_once() {
    let mut hops = vec![RouteNextHop::default(), RouteNextHop::default()];
    hops[0].interface_index = 2;
    hops[1].interface_index = 3;
    let routes = [
        mk_default_route(vec![RouteAttribute::MultiPath(hops)]),
        mk_default_route(vec![RouteAttribute::Oif(3), RouteAttribute::Priority(200)]),
    ];
    let links = vec![mk_link(2, "eth0", up()), mk_link(3, "eth1", up())];
    for interface in reduce(links, Vec::new(), &routes).usable {
        assert_eq!(interface.default_routes, [Family::V4], "{}", interface.name);
    }
}

#[test]
fn only_unicast_default_routes_of_the_main_table_count() {
    let default = mk_default_route(vec![RouteAttribute::Oif(2)]);
    assert!(is_default_route(&default));

    let mut blackhole = default.clone();
    blackhole.header.kind = RouteType::BlackHole;
    let mut other_table = default.clone();
    other_table.attributes.push(RouteAttribute::Table(100));
    let mut to_subnet = default;
    to_subnet.header.destination_prefix_length = 24;
    to_subnet
        .attributes
        .push(RouteAttribute::Destination(Ipv4Addr::new(192, 0, 2, 0).into()));
    for route in [blackhole, other_table, to_subnet] {
        assert!(!is_default_route(&route), "{route:?}");
    }
}

#[test]
fn the_subnet_of_a_link_that_is_down_or_without_carrier_is_away() {
    let down = LinkFlags::Broadcast;
    let unplugged = LinkFlags::Up | LinkFlags::Broadcast;
    let links = vec![
        mk_link(2, "eth0", up()),
        mk_link(3, "eth1", down),
        mk_link(4, "eth2", unplugged),
        mk_link(5, "docker0", unplugged),
        mk_link(6, "dsr0", down),
    ];
    let on = |index, own, prefix_len| mk_address(index, prefix_len, vec![AddressAttribute::Address(ip(own))]);
    let addresses = vec![
        on(2, "192.0.2.11", 24),
        on(3, "198.51.100.11", 24),
        on(4, "2001:db8:4::11", 64),
        on(5, "172.17.0.1", 16),
        on(6, "192.0.2.200", 32),
    ];
    let expected = ["198.51.100.0/24", "2001:db8:4::/64"].map(|subnet| subnet.parse().expect("a subnet"));
    assert_eq!(reduce(links, addresses, &[]).away, expected);
}
