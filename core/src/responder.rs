//! Answers for VIPs on one interface: which frames get a reply, which unasked frames go out.
//!
//! The machine knows the VIPs that are announced on its interface and nothing of why. Every change
//! replaces the whole set; a VIP that is gone from it is silent from that call on. Frames come in
//! as bytes with what the kernel said about them, frames go out as bytes.
//!
//! It answers every valid request for an announced VIP, broadcast or unicast, probes and
//! duplicate address detection included, with exactly one frame. It never answers what was not
//! meant for this host and interface: frames for others, of other VLANs, our own, and replies.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::burst::{BurstSchedule, Form};
use crate::interface::MacAddress;
use crate::time::Time;
use crate::wire::arp::{self, ArpPacket, Operation};
use crate::wire::ethernet::{ETHER_TYPE_ARP, ETHER_TYPE_IPV6, EthernetFrame};
use crate::wire::ndp::{self, NdpMessage};
use crate::wire::{DropReason, Frame};

/// The responder of one interface.
#[derive(Debug)]
pub struct Responder {
    mac: MacAddress,
    /// Burst number by announced VIP.
    announced: BTreeMap<IpAddr, u64>,
    schedule: BurstSchedule,
    counters: Counters,
}

/// What the kernel says about a received frame beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// For whom the kernel thinks it was.
    pub packet_type: PacketType,
    /// The VLAN of a tag that the kernel took off. 0 is a priority tag, which is no VLAN.
    pub vlan: Option<u16>,
}

/// The kernel's classes of received frames (`PACKET_*` of packet(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// For the interface's own MAC.
    Host,
    /// For everybody.
    Broadcast,
    /// For a group.
    Multicast,
    /// For another host, seen in promiscuous mode, or of a VLAN that has no interface here.
    OtherHost,
    /// Sent by this host.
    Outgoing,
}

/// What a received frame led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Send this, once.
    Reply(Frame),
    /// Another MAC says that it has a VIP of ours.
    ForeignClaim(ForeignClaim),
    /// Nothing to do.
    Dropped(DropReason),
}

/// Another MAC says that it has a VIP of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignClaim {
    /// The VIP.
    pub vip: IpAddr,
    /// Who claims it.
    pub mac: MacAddress,
}

/// How many frames came in and went out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests answered.
    pub replies: u64,
    /// Unasked frames handed out.
    pub announcements: u64,
    /// Frames by which another MAC claimed an announced VIP.
    pub foreign_claims: u64,
    /// Frames that led to nothing, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
}

// === impl Responder ===

impl Responder {
    /// A responder that announces nothing yet. The rate is that of unasked frames per second; the
    /// seed only jitters re-announcements.
    pub fn new(mac: MacAddress, rate: NonZeroU32, seed: u64) -> Self {
        Self {
            mac,
            announced: BTreeMap::new(),
            schedule: BurstSchedule::new(rate, seed),
            counters: Counters::default(),
        }
    }

    /// Replaces the interface's MAC and the VIPs announced on it, each with its burst number.
    ///
    /// A VIP gets a burst when it is new here, when its number changed, and when the MAC did. One
    /// that is not in the set any more is silent at once.
    pub fn converge(&mut self, now: Time, mac: MacAddress, announced: BTreeMap<IpAddr, u64>) {
        let has_new_mac = self.mac != mac;
        self.mac = mac;
        self.retain(|vip| announced.contains_key(vip));
        for (&vip, burst) in &announced {
            if has_new_mac || self.announced.get(&vip) != Some(burst) {
                self.schedule.start(now, vip);
            }
        }
        self.announced = announced;
    }

    /// Withdraws all VIPs but these, at once and without any other effect.
    pub fn retain(&mut self, is_kept: impl Fn(&IpAddr) -> bool) {
        self.announced.retain(|vip, _| {
            let is_kept = is_kept(vip);
            if !is_kept {
                self.schedule.stop(*vip);
            }
            is_kept
        });
    }

    /// Begins a burst for every VIP, because the link may have forgotten them.
    pub fn announce_again(&mut self, now: Time) {
        for &vip in self.announced.keys() {
            self.schedule.start(now, vip);
        }
    }

    /// Judges a received frame.
    pub fn handle_frame(&mut self, bytes: &[u8], reception: Reception) -> Handled {
        let handled = self.judge(bytes, reception).unwrap_or_else(Handled::Dropped);
        match handled {
            Handled::Reply(_) => self.counters.replies += 1,
            Handled::ForeignClaim(_) => self.counters.foreign_claims += 1,
            Handled::Dropped(reason) => *self.counters.dropped.entry(reason).or_default() += 1,
        }
        handled
    }

    /// When `poll_frame` is worth calling again.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.schedule.poll_timeout()
    }

    /// The next unasked frame that is due.
    pub fn poll_frame(&mut self, now: Time) -> Option<Frame> {
        let (vip, form) = self.schedule.poll(now)?;
        self.counters.announcements += 1;
        Some(match (vip, form) {
            (IpAddr::V4(vip), Form::GratuitousReply) => arp::gratuitous_reply(self.mac, vip),
            (IpAddr::V4(vip), Form::GratuitousRequest | Form::Unsolicited) => {
                arp::gratuitous_request(self.mac, vip)
            }
            (IpAddr::V6(vip), _) => ndp::unsolicited(self.mac, vip),
        })
    }

    /// The VIPs that are answered for.
    pub fn announced(&self) -> impl Iterator<Item = IpAddr> {
        self.announced.keys().copied()
    }

    /// How many frames came in and went out.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn judge(&self, bytes: &[u8], reception: Reception) -> Result<Handled, DropReason> {
        match reception.packet_type {
            PacketType::Host | PacketType::Broadcast | PacketType::Multicast => {}
            PacketType::OtherHost => return Err(DropReason::OtherHost),
            PacketType::Outgoing => return Err(DropReason::OwnFrame),
        }
        if reception.vlan.is_some_and(|id| id != 0) {
            return Err(DropReason::VlanTagged);
        }
        let frame = EthernetFrame::parse(bytes)?;
        if frame.destination.is_unicast() && frame.destination != self.mac {
            return Err(DropReason::OtherHost);
        }
        if frame.source == self.mac {
            return Err(DropReason::OwnFrame);
        }
        match frame.ether_type {
            ETHER_TYPE_ARP => self.judge_arp(&frame),
            ETHER_TYPE_IPV6 => self.judge_ndp(&frame),
            _ => Err(DropReason::EtherType),
        }
    }

    fn judge_arp(&self, frame: &EthernetFrame<'_>) -> Result<Handled, DropReason> {
        // ARP knows no groups: RFC 826 broadcasts, RFC 1122 also polls by unicast.
        if !frame.destination.is_unicast() && frame.destination != MacAddress::BROADCAST {
            return Err(DropReason::OtherHost);
        }
        let packet = ArpPacket::parse(frame.payload)?;
        if packet.sender_mac == self.mac {
            return Err(DropReason::OwnFrame);
        }
        // RFC 5227 section 2.4: any packet with our address as sender, request or reply. Such a
        // request is not answered, or two hosts that defend would never end.
        if self.is_announced(packet.sender_ip.into()) {
            return Ok(Handled::ForeignClaim(ForeignClaim {
                vip: packet.sender_ip.into(),
                mac: packet.sender_mac,
            }));
        }
        match packet.operation {
            Operation::Request if self.is_announced(packet.target_ip.into()) => {
                Ok(Handled::Reply(arp::reply(self.mac, packet.target_ip, &packet)))
            }
            Operation::Request | Operation::Reply => Err(DropReason::NotAnnounced),
        }
    }

    fn judge_ndp(&self, frame: &EthernetFrame<'_>) -> Result<Handled, DropReason> {
        let (claimed, mac, asked) = match NdpMessage::parse(frame.payload)? {
            NdpMessage::Solicitation(asked) => (asked.source, asked.source_mac, Some(asked)),
            NdpMessage::Advertisement(told) => (told.target, told.target_mac, None),
        };
        let mac = mac.unwrap_or(frame.source);
        if mac == self.mac {
            return Err(DropReason::OwnFrame);
        }
        if !mac.is_unicast() {
            return Err(DropReason::Sender);
        }
        if self.is_announced(claimed.into()) {
            return Ok(Handled::ForeignClaim(ForeignClaim {
                vip: claimed.into(),
                mac,
            }));
        }
        match asked {
            Some(asked) if self.is_announced(asked.target.into()) => Ok(Handled::Reply(ndp::solicited(
                self.mac,
                asked.target,
                asked.source,
                mac,
            ))),
            Some(_) | None => Err(DropReason::NotAnnounced),
        }
    }

    fn is_announced(&self, address: IpAddr) -> bool {
        self.announced.contains_key(&address)
    }
}

#[cfg(test)]
mod tests;
