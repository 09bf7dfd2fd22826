//! Decides which unasked frame goes out next on one interface, and when.
//!
//! A VIP that begins to be announced gets a burst: both gratuitous ARP forms five times, 1.1 s
//! apart, or three neighbor advertisements a second apart. Afterwards it is announced again once
//! in 60 to 100 s, so that switches and routers with long timers keep it. All frames of an
//! interface share one pace, because switches shut ports that send too many; when many VIPs move
//! at once, each gets its first frame before any gets its second.
//!
//! Answers to requests are not paced: they are as many as others ask for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::address::Family;
use crate::time::Time;

/// How many times both ARP forms are sent after a take.
const ARP_ROUNDS: u8 = 5;
/// More than a second apart, since some equipment drops a second frame within one.
const ARP_INTERVAL: Duration = Duration::from_millis(1100);
/// `MAX_NEIGHBOR_ADVERTISEMENT` of RFC 4861 section 10.
const NDP_ROUNDS: u8 = 3;
/// `RETRANS_TIMER` of RFC 4861 section 10.
const NDP_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a VIP's last frame it is announced again: jittered, so that VIPs taken together
/// do not stay together, and below the 300 s after which switches forget a port, also when two
/// of three frames are lost.
const REFRESH_MILLIS: std::ops::RangeInclusive<u64> = 60_000..=100_000;

/// The frames that may be sent in any one second, by default.
pub const DEFAULT_RATE: NonZeroU32 = NonZeroU32::new(50).expect("50 is not zero");

/// A frame to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The gratuitous ARP request.
    GratuitousRequest,
    /// The gratuitous ARP reply.
    GratuitousReply,
    /// The unsolicited neighbor advertisement.
    Unsolicited,
}

/// When each announced VIP of an interface gets its next unasked frame.
#[derive(Debug)]
pub struct BurstSchedule {
    by_vip: BTreeMap<IpAddr, Next>,
    /// The same as `by_vip`, in the order in which frames are due.
    queue: BTreeSet<(Class, Time, IpAddr)>,
    pace: Pace,
    rng: StdRng,
}

/// The next frame of one VIP.
#[derive(Clone, Copy, Debug)]
struct Next {
    form: Form,
    /// How many rounds of the burst are complete; frames after the last are refreshes.
    round: u8,
    due: Time,
}

/// What goes first when more frames are due than the pace allows: one frame of either form is
/// enough to move most neighbors, so every VIP gets its first before any gets its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    First,
    Second,
    Repeat,
}

/// Allows at most `rate` frames in any one second.
///
/// A window and not a token bucket: a bucket deep enough to let a whole burst out at once would
/// allow twice its rate in some second, and the second is what switches count.
#[derive(Debug)]
struct Pace {
    rate: usize,
    /// When the last `rate` frames were sent, oldest first.
    sent: VecDeque<Time>,
}

// === impl BurstSchedule ===

impl BurstSchedule {
    /// A schedule without VIPs. The seed only jitters refreshes.
    pub fn new(rate: NonZeroU32, seed: u64) -> Self {
        let rate = usize::try_from(rate.get()).unwrap_or(usize::MAX);
        Self {
            by_vip: BTreeMap::new(),
            queue: BTreeSet::new(),
            pace: Pace {
                rate,
                sent: VecDeque::new(),
            },
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Begins a burst for a VIP, also when one is under way.
    pub fn start(&mut self, now: Time, vip: IpAddr) {
        let form = match Family::of(vip) {
            Family::V4 => Form::GratuitousRequest,
            Family::V6 => Form::Unsolicited,
        };
        self.put(
            vip,
            Next {
                form,
                round: 0,
                due: now,
            },
        );
    }

    /// Forgets a VIP: no further frame.
    pub fn stop(&mut self, vip: IpAddr) {
        if let Some(next) = self.by_vip.remove(&vip) {
            self.queue.remove(&(next.class(), next.due, vip));
        }
    }

    /// The next frame that is due and within the pace; it counts as sent at `now`.
    pub fn poll(&mut self, now: Time) -> Option<(IpAddr, Form)> {
        if self.pace.free_at() > now {
            return None;
        }
        let (_, _, vip) = self.heads().find(|&(_, due, _)| due <= now)?;
        let sent = *self.by_vip.get(&vip)?;
        let next = self.following(sent, now);
        self.put(vip, next);
        self.pace.record(now);
        Some((vip, sent.form))
    }

    /// When `poll` is worth calling again.
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = self.heads().map(|(_, due, _)| due).min()?;
        Some(due.max(self.pace.free_at()))
    }

    /// The earliest frame of each class, in the order of classes.
    fn heads(&self) -> impl Iterator<Item = (Class, Time, IpAddr)> {
        const FIRST_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        [Class::First, Class::Second, Class::Repeat]
            .into_iter()
            .filter_map(|class| {
                let head = self.queue.range((class, Time::ZERO, FIRST_ADDRESS)..).next()?;
                (head.0 == class).then_some(*head)
            })
    }

    fn following(&mut self, sent: Next, now: Time) -> Next {
        let (rounds, interval) = match sent.form {
            Form::GratuitousRequest if sent.round < ARP_ROUNDS => {
                return Next {
                    form: Form::GratuitousReply,
                    ..sent
                };
            }
            Form::GratuitousRequest | Form::GratuitousReply => (ARP_ROUNDS, ARP_INTERVAL),
            Form::Unsolicited => (NDP_ROUNDS, NDP_INTERVAL),
        };
        let round = sent.round.saturating_add(1).min(rounds);
        let pause = if round < rounds {
            interval
        } else {
            Duration::from_millis(self.rng.random_range(REFRESH_MILLIS))
        };
        let form = match sent.form {
            // A refresh is the request form alone: half the frames, and every stack takes it.
            Form::GratuitousRequest | Form::GratuitousReply => Form::GratuitousRequest,
            Form::Unsolicited => Form::Unsolicited,
        };
        Next {
            form,
            round,
            due: now + pause,
        }
    }

    fn put(&mut self, vip: IpAddr, next: Next) {
        self.stop(vip);
        self.queue.insert((next.class(), next.due, vip));
        self.by_vip.insert(vip, next);
    }
}

// === impl Next ===

impl Next {
    const fn class(&self) -> Class {
        match (self.round, self.form) {
            (0, Form::GratuitousRequest | Form::Unsolicited) => Class::First,
            (0, Form::GratuitousReply) => Class::Second,
            (_, Form::GratuitousRequest | Form::GratuitousReply | Form::Unsolicited) => Class::Repeat,
        }
    }
}

// === impl Pace ===

impl Pace {
    fn free_at(&self) -> Time {
        match self.sent.front() {
            Some(&oldest) if self.sent.len() >= self.rate => oldest + Duration::from_secs(1),
            _ => Time::ZERO,
        }
    }

    fn record(&mut self, now: Time) {
        if self.sent.len() >= self.rate {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests;
