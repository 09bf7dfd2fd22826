//! What a captured frame says, as far as rules are about it: who claims an address, who joins a group.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Instant;

/// A frame as it entered a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The kernel's stamp.
    pub(super) at: Instant,
    /// The port that it came in by.
    pub(super) port: String,
    pub(super) bytes: Vec<u8>,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The sender has an address.
    Claim(IpAddr, Form),
    /// The sender joined a multicast group.
    Join(Ipv6Addr),
    /// The sender left a multicast group.
    Leave(Ipv6Addr),
}

/// How an address is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// ARP request for the sender's own address, target MAC zero.
    GratuitousRequest,
    /// Broadcast ARP reply whose target MAC is the sender's.
    GratuitousReply,
    /// Neighbor advertisement to all nodes: O set, S and R not, hop limit 255.
    Unsolicited,
    /// Anything else that makes neighbors believe it: answers, and requests sent from the address.
    Other,
}

// === impl Frame ===

impl Frame {
    /// What it says; one multicast report says several things.
    pub(super) fn meanings(&self) -> Vec<Meaning> {
        match self.bytes.get(12..14) {
            Some([0x08, 0x06]) => arp(&self.bytes).into_iter().collect(),
            Some([0x86, 0xdd]) => ipv6(&self.bytes).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} by port {}:", self.at.as_secs_f64(), self.port)?;
        for part in self.bytes.chunks(2) {
            f.write_str(" ")?;
            for byte in part {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn arp(frame: &[u8]) -> Option<Meaning> {
    let operation = array::<2>(frame, 20)?;
    let sender_mac = array::<6>(frame, 22)?;
    let sender = Ipv4Addr::from(array::<4>(frame, 28)?);
    let target_mac = array::<6>(frame, 32)?;
    let target = Ipv4Addr::from(array::<4>(frame, 38)?);
    if sender.is_unspecified() {
        return None;
    }
    let is_broadcast = array::<6>(frame, 0)? == [0xff; 6];
    let form = match operation {
        [0, 1] if is_broadcast && sender == target && target_mac == [0; 6] => Form::GratuitousRequest,
        [0, 2] if is_broadcast && sender == target && target_mac == sender_mac => Form::GratuitousReply,
        _ => Form::Other,
    };
    Some(Meaning::Claim(sender.into(), form))
}

fn ipv6(frame: &[u8]) -> Option<Vec<Meaning>> {
    let next_header = *frame.get(20)?;
    // Multicast reports come behind a hop-by-hop header with a router alert.
    let message = match next_header {
        0 if *frame.get(54)? == 58 => 54 + 8 * (1 + usize::from(*frame.get(55)?)),
        58 => 54,
        _ => return None,
    };
    Some(match *frame.get(message)? {
        136 => vec![advertisement(frame)?],
        131 => vec![Meaning::Join(array::<16>(frame, message + 8)?.into())],
        132 => vec![Meaning::Leave(array::<16>(frame, message + 8)?.into())],
        143 => report(frame, message)?,
        _ => Vec::new(),
    })
}

fn advertisement(frame: &[u8]) -> Option<Meaning> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let hop_limit = *frame.get(21)?;
    let destination = Ipv6Addr::from(array::<16>(frame, 38)?);
    let flags = *frame.get(58)?;
    let target = Ipv6Addr::from(array::<16>(frame, 62)?);
    let form = if destination == ALL_NODES && flags == 0x20 && hop_limit == 255 {
        Form::Unsolicited
    } else {
        Form::Other
    };
    Some(Meaning::Claim(target.into(), form))
}

/// The records of a version 2 report (RFC 3810 section 5.2).
fn report(frame: &[u8], message: usize) -> Option<Vec<Meaning>> {
    let count = u16::from_be_bytes(array(frame, message + 6)?);
    let mut at = message + 8;
    let mut meanings = Vec::new();
    for _ in 0..count {
        let kind = *frame.get(at)?;
        let words = usize::from(*frame.get(at + 1)?);
        let sources = usize::from(u16::from_be_bytes(array(frame, at + 2)?));
        let group = Ipv6Addr::from(array::<16>(frame, at + 4)?);
        match (kind, sources) {
            // "Excludes nobody", as a state or as a change to it.
            (2 | 4, 0) => meanings.push(Meaning::Join(group)),
            // "Includes nobody".
            (1 | 3, 0) => meanings.push(Meaning::Leave(group)),
            _ => {}
        }
        at += 20 + 16 * sources + 4 * words;
    }
    Some(meanings)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::oracle) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte"))
            .collect()
    }

    fn meanings(text: &str) -> Vec<Meaning> {
        let frame = Frame {
            at: Instant::ZERO,
            port: "n1".to_owned(),
            bytes: hex(text),
        };
        frame.meanings()
    }

    #[test]
    fn arp_frames_are_claims_of_their_sender() {
        let vip: IpAddr = "192.0.2.200".parse().expect("an address");
        for (operation, target_mac, target, form) in [
            ("0001", "000000000000", "c00002c8", Form::GratuitousRequest),
            ("0002", "020000000011", "c00002c8", Form::GratuitousReply),
            ("0002", "ffffffffffff", "c00002c8", Form::Other),
            ("0001", "000000000000", "c0000264", Form::Other),
        ] {
            let text = format!(
                "ffffffffffff 020000000011 0806 0001 0800 0604 {operation} 020000000011 c00002c8 {target_mac} {target}"
            );
            assert_eq!(meanings(&text), [Meaning::Claim(vip, form)], "{text}");
        }
        let probe =
            "ffffffffffff 020000000011 0806 0001 0800 0604 0001 020000000011 00000000 000000000000 c00002c8";
        assert_eq!(meanings(probe), []);
    }

    #[test]
    fn advertisements_are_claims_of_their_target() {
        let vip: IpAddr = "2001:db8::200".parse().expect("an address");
        let unsolicited = "333300000001 020000000011 86dd 60000000 0020 3a ff
            20010db8000000000000000000000200 ff020000000000000000000000000001
            8800 f51c 20000000 20010db8000000000000000000000200 0201 020000000011";
        assert_eq!(meanings(unsolicited), [Meaning::Claim(vip, Form::Unsolicited)]);
        for (from, to) in [
            ("20000000 2001", "60000000 2001"),
            ("3a ff", "3a fe"),
            ("20000000 2001", "a0000000 2001"),
        ] {
            assert_eq!(
                meanings(&unsolicited.replace(from, to)),
                [Meaning::Claim(vip, Form::Other)],
                "{to}"
            );
        }
    }

    #[test]
    fn reports_of_both_versions_are_joins_and_leaves() {
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x200);
        let head = "333300000016 020000000011 86dd 60000000 0024 00 01
            fe80000000000000000000fffe000011 ff020000000000000000000000000016 3a00 05020000 0100";
        let bytes = "ff0200000000000000000001ff000200";
        for (message, expected) in [
            (
                format!("8f00 0000 0000 0001 04000000 {bytes}"),
                Meaning::Join(group),
            ),
            (
                format!("8f00 0000 0000 0001 03000000 {bytes}"),
                Meaning::Leave(group),
            ),
            (format!("8300 0000 0000 0000 {bytes}"), Meaning::Join(group)),
            (format!("8400 0000 0000 0000 {bytes}"), Meaning::Leave(group)),
        ] {
            assert_eq!(meanings(&format!("{head} {message}")), [expected], "{message}");
        }
        let short = format!("{head} 8f00 0000 0000 ffff 04000000");
        assert_eq!(meanings(&short), [], "a report that promises more than it holds");
    }
}
