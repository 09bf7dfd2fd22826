//! What one entry of a pool's lists means: a CIDR, `first-last`, or a single address.
//!
//! Decides the notation and its errors, nothing else. An error quotes the entry and says what to
//! write instead, because a person reads it in a pool's `Ready` condition.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use crate::address::Family;

/// Contiguous addresses of one family, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    family: Family,
    first: u128,
    last: u128,
}

/// Why an entry means no range. Nothing is lent from such an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// Nothing but blanks.
    #[error("an entry is empty: write a CIDR, a first-last range or an address")]
    Empty,
    /// Neither an address nor anything made of addresses.
    #[error(
        "\"{0}\" is neither an address, nor a CIDR such as 192.168.1.0/24, nor a range such as \
         192.168.1.200-192.168.1.240"
    )]
    Notation(String),
    /// The part after the slash is no prefix length of that family.
    #[error("the prefix length of \"{entry}\" must be a number from 0 to {longest}")]
    PrefixLength {
        /// The entry.
        entry: String,
        /// The longest prefix of its family.
        longest: u8,
    },
    /// The two ends belong to two families.
    #[error("the range \"{0}\" mixes IPv4 and IPv6: write one entry for each family")]
    MixedFamilies(String),
    /// The first end is above the last.
    #[error("the range \"{0}\" is backwards: its first address is above its last, so swap them")]
    Backwards(String),
    /// IPv4 addresses in IPv6 clothes, which Kubernetes does not accept in a Service's status.
    #[error("\"{0}\" contains IPv4-mapped IPv6 addresses: write them as IPv4")]
    Mapped(String),
}

// === impl AddressRange ===

impl AddressRange {
    /// The range that is one address.
    pub fn single(address: IpAddr) -> Self {
        let number = to_number(address);
        Self {
            family: Family::of(address),
            first: number,
            last: number,
        }
    }

    /// The range between two numbers of a family; `None` when they are out of order or reach.
    pub fn from_numbers(family: Family, first: u128, last: u128) -> Option<Self> {
        (first <= last && last <= greatest(family)).then_some(Self { family, first, last })
    }

    /// The family of all its addresses.
    pub const fn family(self) -> Family {
        self.family
    }

    /// Its lowest address as a number.
    pub const fn first(self) -> u128 {
        self.first
    }

    /// Its highest address as a number.
    pub const fn last(self) -> u128 {
        self.last
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&to_number(address))
    }

    /// How many of its addresses end in .0 or .255, by arithmetic; none in IPv6.
    pub fn count_buggy(self) -> u128 {
        match self.family {
            Family::V4 => buggy_below(self.last + 1) - buggy_below(self.first),
            Family::V6 => 0,
        }
    }

    fn parse_cidr(entry: &str, address: &str, prefix: &str) -> Result<Self, RangeError> {
        let address = parse_address(entry, address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .trim()
            .parse::<u8>()
            .ok()
            .filter(|length| *length <= longest && prefix.trim().bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| RangeError::PrefixLength {
                entry: entry.to_owned(),
                longest,
            })?;
        // Bits that belong to the host. Shifting by the full width is not defined, hence checked.
        let hosts = u128::MAX
            .checked_shr(128 - u32::from(longest - prefix))
            .unwrap_or(0);
        let number = to_number(address);
        Ok(Self {
            family: Family::of(address),
            first: number & !hosts,
            last: number | hosts,
        })
    }

    fn parse_ends(entry: &str, first: &str, last: &str) -> Result<Self, RangeError> {
        let (first, last) = (parse_address(entry, first)?, parse_address(entry, last)?);
        let family = Family::of(first);
        if family != Family::of(last) {
            return Err(RangeError::MixedFamilies(entry.to_owned()));
        }
        Self::from_numbers(family, to_number(first), to_number(last))
            .ok_or_else(|| RangeError::Backwards(entry.to_owned()))
    }

    /// Whether one of its ends lies in ::ffff:0:0/96.
    fn ends_mapped(self) -> bool {
        const PREFIX: u128 = 0xffff;
        self.family == Family::V6 && (self.first >> 32 == PREFIX || self.last >> 32 == PREFIX)
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let entry = text.trim();
        if entry.is_empty() {
            return Err(RangeError::Empty);
        }
        let range = if let Some((address, prefix)) = entry.split_once('/') {
            Self::parse_cidr(entry, address, prefix)
        } else if let Some((first, last)) = entry.split_once('-') {
            Self::parse_ends(entry, first, last)
        } else {
            parse_address(entry, entry).map(Self::single)
        }?;
        if range.ends_mapped() {
            return Err(RangeError::Mapped(entry.to_owned()));
        }
        Ok(range)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = from_number(self.family, self.first);
        if self.first == self.last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}-{}", from_number(self.family, self.last))
        }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether an address ends in .0 or .255, which some old equipment refuses.
pub fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets(), [_, _, _, 0 | 255]),
        IpAddr::V6(_) => false,
    }
}

/// An address as a number within its family.
pub(crate) fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of a family that a number stands for; bits beyond IPv4 are never set by callers.
pub(crate) fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        // Only numbers that came from an IPv4 range reach this: they fit.
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

fn greatest(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

fn parse_address(entry: &str, text: &str) -> Result<IpAddr, RangeError> {
    let text = text.trim();
    text.parse().map_err(|_| RangeError::Notation(entry.to_owned()))
}

/// How many numbers below `end` are 0 or 255 modulo 256.
fn buggy_below(end: u128) -> u128 {
    let rest = end % 256;
    end / 256 * 2 + u128::from(rest > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_range(text: &str) -> AddressRange {
        text.parse().expect("a range")
    }

    #[test]
    fn every_notation_is_read_for_both_families() {
        for (text, shown) in [
            ("192.168.1.0/24", "192.168.1.0-192.168.1.255"),
            ("192.168.1.77/24", "192.168.1.0-192.168.1.255"),
            (" 192.168.1.200 - 192.168.1.240 ", "192.168.1.200-192.168.1.240"),
            ("192.168.1.5", "192.168.1.5"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("2001:db8::/120", "2001:db8::-2001:db8::ff"),
            ("2001:db8::1-2001:db8::2", "2001:db8::1-2001:db8::2"),
            ("fc00::/64", "fc00::-fc00::ffff:ffff:ffff:ffff"),
            ("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::1/128", "2001:db8::1"),
        ] {
            assert_eq!(mk_range(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn an_error_quotes_the_entry_and_says_what_to_write() {
        for (text, message) in [
            (
                "  ",
                "an entry is empty: write a CIDR, a first-last range or an address",
            ),
            (
                "home",
                "\"home\" is neither an address, nor a CIDR such as 192.168.1.0/24, nor a range such as \
                 192.168.1.200-192.168.1.240",
            ),
            (
                "192.168.1.0/33",
                "the prefix length of \"192.168.1.0/33\" must be a number from 0 to 32",
            ),
            (
                "fc00::/129",
                "the prefix length of \"fc00::/129\" must be a number from 0 to 128",
            ),
            (
                "10.0.0.0/+8",
                "the prefix length of \"10.0.0.0/+8\" must be a number from 0 to 32",
            ),
            (
                "10.0.0.1-fc00::1",
                "the range \"10.0.0.1-fc00::1\" mixes IPv4 and IPv6: write one entry for each family",
            ),
            (
                "fc00::2-fc00::1",
                "the range \"fc00::2-fc00::1\" is backwards: its first address is above its last, so swap them",
            ),
            (
                "::ffff:10.0.0.1",
                "\"::ffff:10.0.0.1\" contains IPv4-mapped IPv6 addresses: write them as IPv4",
            ),
        ] {
            let error = text.parse::<AddressRange>().expect_err(text);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn buggy_addresses_are_counted_as_if_listed() {
        for text in [
            "10.0.0.0/24",
            "10.0.0.0/23",
            "10.0.0.255",
            "10.0.0.1-10.0.0.254",
            "10.0.0.255-10.0.1.0",
            "10.0.0.0-10.0.0.0",
            "1.2.3.254/31",
            "0.0.0.0-0.0.3.7",
            "255.255.255.0/24",
        ] {
            let range = mk_range(text);
            let listed = (range.first()..=range.last())
                .filter(|number| is_buggy(from_number(Family::V4, *number)))
                .count() as u128;
            assert_eq!(range.count_buggy(), listed, "{text}");
        }
    }
}
