//! Address families, and the name of the claim that stands for an address.
//!
//! One claim per address, named after it, makes the API server's unique names the
//! compare-and-set that forbids lending an address twice. The name must therefore be a function
//! of the address, the same everywhere.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

// === impl Family ===

impl Family {
    /// The one that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Both families, IPv4 first: the order in which status lists addresses.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The word of the Kubernetes API (`Service.spec.ipFamilies`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// The name of the claim for an address: IPv4 as written, IPv6 as eight groups of four hex digits
/// joined by `-` (a colon is not allowed in an object's name).
pub fn claim_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:04x}")).join("-"),
    }
}

/// The address that a claim's name stands for; `None` when the name is no canonical claim name.
pub fn parse_claim_name(name: &str) -> Option<IpAddr> {
    let address = if name.contains('-') {
        name.replace('-', ":").parse::<Ipv6Addr>().ok()?.into()
    } else {
        name.parse().ok()?
    };
    (claim_name(address) == name).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_names_round_trip_for_both_families() {
        for (address, name) in [
            ("192.168.1.200", "192.168.1.200"),
            ("2001:db8::1", "2001-0db8-0000-0000-0000-0000-0000-0001"),
            ("::", "0000-0000-0000-0000-0000-0000-0000-0000"),
        ] {
            let address: IpAddr = address.parse().expect("a literal address");
            assert_eq!(claim_name(address), name);
            assert_eq!(parse_claim_name(name), Some(address));
        }
    }

    #[test]
    fn other_spellings_are_no_claim_names() {
        for name in [
            "192.168.001.200",
            "2001:db8::1",
            "2001-db8-0-0-0-0-0-1",
            "2001-0DB8-0000-0000-0000-0000-0000-0001",
            "",
        ] {
            assert_eq!(parse_claim_name(name), None, "{name}");
        }
    }
}
