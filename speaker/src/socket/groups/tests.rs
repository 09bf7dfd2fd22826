//! On the loopback interface of the machine, whose memberships the kernel lists.

use std::fs;

use super::*;

/// The loopback interface is the first of every network namespace.
const LOOPBACK: IfIndex = IfIndex(1);

/// A VIP of a prefix of our own, so that tests which run together do not share groups.
fn vip(test: u16, number: u32) -> Ipv6Addr {
    let [_, high, middle, low] = number.to_be_bytes();
    let segment = u16::from_be_bytes([test.to_be_bytes()[1], high]);
    Ipv6Addr::new(
        0x2001,
        0xdb8,
        0,
        0,
        test,
        0,
        segment,
        u16::from_be_bytes([middle, low]),
    )
}

/// The kernel's own list of what is joined on the loopback interface.
fn kernel_has(group: Ipv6Addr) -> bool {
    let wanted: String = group.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let list = fs::read_to_string("/proc/net/igmp6").expect("a kernel with IPv6");
    list.lines()
        .any(|line| line.contains(" lo ") && line.contains(&wanted))
}

#[test]
fn vips_that_share_their_low_bits_share_a_group_until_the_last_is_gone() {
    let one = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x00aa, 0x0001);
    let other = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0x00aa, 0x0001);
    let group = solicited_node_group(one);
    let mut groups = SolicitedNodeGroups::new(LOOPBACK);
    assert!(groups.join([one, other]).is_empty());
    assert_eq!(groups.len(), 1);
    assert!(kernel_has(group));

    groups.leave_all_but([other]);
    assert!(kernel_has(group), "the other VIP still needs it");
    groups.leave_all_but([]);
    assert!(groups.is_empty());
    assert!(!kernel_has(group));
}

#[test]
fn more_groups_than_a_socket_can_hold_are_spread() {
    const VIPS: u32 = 6_000;
    let mut groups = SolicitedNodeGroups::new(LOOPBACK);
    let refused = groups.join((0..VIPS).map(|number| vip(0xbb, number)));
    assert!(
        refused.is_empty(),
        "{} were refused: {:?}",
        refused.len(),
        refused.first_key_value()
    );
    assert!(groups.sockets.len() > 1, "one socket held them all");
    for number in [0, VIPS / 2, VIPS - 1] {
        assert!(
            kernel_has(solicited_node_group(vip(0xbb, number))),
            "number {number}"
        );
    }
    drop(groups);
    assert!(
        !kernel_has(solicited_node_group(vip(0xbb, 0))),
        "memberships end with the sockets"
    );
}

#[test]
fn a_group_that_cannot_be_joined_is_returned_with_its_reason() {
    let mut groups = SolicitedNodeGroups::new(IfIndex(0x00ff_ffff));
    let refused = groups.join([vip(0xcc, 1)]);
    let error = refused.get(&vip(0xcc, 1)).expect("there is no such interface");
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    assert!(groups.is_empty());
}
