//! Network interfaces as the kernel reports them, and the patterns that choose among them.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::address::Family;

/// The kernel's number for an interface; names can change, this cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IfIndex(pub u32);

/// A 48-bit link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

/// One interface that frames can be sent on: up, with carrier, ARP-capable, not enslaved.
///
/// What is not usable in that sense never becomes an `Interface`; the reduction is netlink's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The kernel's number.
    pub index: IfIndex,
    /// The present name.
    pub name: String,
    /// The present link-layer address.
    pub mac: MacAddress,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Families whose default route leaves by this interface.
    pub default_routes: Vec<Family>,
}

/// The links of one node, as far as is known.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// Those that frames can be sent on.
    pub usable: &'a [Interface],
    /// Subnets of those that frames cannot be sent on now, though they are there for it.
    pub away: &'a [IpNet],
}

// === impl MacAddress ===

impl MacAddress {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it can be the address of one host: neither zero nor a group.
    pub const fn is_unicast(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
