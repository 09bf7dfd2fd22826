//! The ICMPv6 checksum (RFC 4443 section 2.3).

use std::net::Ipv6Addr;

use crate::wire::ipv6::NEXT_HEADER_ICMPV6;

/// The Internet checksum of a message with its pseudo header.
///
/// With the checksum field zeroed this is the value to put there; over a message as received it
/// is zero exactly when the message's own checksum is right.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let mut sum = u64::from(NEXT_HEADER_ICMPV6) + length;
    for segment in source.segments().into_iter().chain(destination.segments()) {
        sum += u64::from(segment);
    }
    let mut words = message.chunks_exact(2);
    for word in words.by_ref() {
        if let [high, low] = *word {
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    if let [last] = *words.remainder() {
        sum += u64::from(u16::from_be_bytes([last, 0]));
    }
    fold(sum)
}

/// Adds the carries of a one's complement sum back in, and inverts it.
fn fold(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16) + (sum & u64::from(u16::MAX));
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::hex;

    /// A neighbor solicitation as sent by Linux 6.18: fe80::ff:fe00:64 asks for 2001:db8::200.
    const MESSAGE: &str = "8700 479d 00000000 20010db8000000000000000000000200 0101 020000000064";

    #[test]
    fn a_kernels_checksum_sums_to_zero_and_any_flipped_bit_shows() {
        let source = "fe80::ff:fe00:64".parse().expect("a literal address");
        let group = "ff02::1:ff00:200".parse().expect("a literal address");
        let message = hex(MESSAGE);
        assert_eq!(checksum(source, group, &message), 0);
        for bit in 0..message.len() * 8 {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(source, group, &damaged), 0, "bit {bit}");
        }
    }

    #[test]
    fn an_odd_last_byte_counts_as_the_high_half() {
        let any = Ipv6Addr::UNSPECIFIED;
        assert_eq!(checksum(any, any, &[0x12]), !(58 + 1 + 0x1200));
    }
}
