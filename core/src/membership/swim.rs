//! Drives foca: its parameters, its timers in order, and the two corrections it needs.
//!
//! Parameters were chosen by simulation (100/30/300 ms: the death of a member is known after
//! 0.8 s at most in groups of up to 50, and 5 % of loss kills nobody). The corrections:
//!
//! - *The guard.* When the suspicion of a member runs out, foca 2.0 tells that member that it is
//!   Down even if it has refuted the suspicion meanwhile, and the healthy member throws its
//!   identity away. A suspicion that was refuted is therefore never handed back to foca.
//! - *Our own lateness.* A suspicion must not run out because this process was not running. When
//!   the earliest timer is overdue by [`LATE`], foca's clock is set back by that much: all timers
//!   keep the distance they had. This only helps if what arrived meanwhile is read first.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::time::Duration;

use foca::{
    AccumulatingRuntime, Config, Foca, Member, NoCustomBroadcast, OwnedNotification, PeriodicParams,
    PostcardCodec, State, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::envelope::{MAX_DATAGRAM, OVERHEAD};
use super::identity::Identity;
use crate::time::Time;

/// One member is probed per period.
const PROBE_PERIOD: Duration = Duration::from_millis(100);
/// After this long without an answer other members are asked to probe.
const PROBE_RTT: Duration = Duration::from_millis(30);
/// How long a suspect may refute. Below 300 ms groups of 50 bury the living.
const SUSPICION: Duration = Duration::from_millis(300);
/// How often news is passed on, and to how many.
const GOSSIP: Duration = Duration::from_millis(50);
const GOSSIP_FANOUT: usize = 3;
/// How often one piece of news is passed on; foca's own choice for small groups loses some.
const TRANSMISSIONS: u8 = 20;
/// How often members that are held Down are greeted, and how many, so that partitions heal.
const GREET_DOWN: Duration = Duration::from_secs(1);
const GREET_DOWN_FANOUT: usize = 3;
/// How often one member is asked for all it knows, against news that was lost for good.
const GREET_ACTIVE: Duration = Duration::from_secs(5);
/// How long a Down member is remembered.
const FORGET_DOWN: Duration = Duration::from_secs(3600);
/// From here on a late timer says that this process did not run, not that the others are silent.
const LATE: Duration = Duration::from_millis(50);

/// What the `Swim` packet costs before the bytes of foca: its kind and its length.
const FRAMING: usize = 3;

/// foca, its timers and its clock.
pub(super) struct Swim {
    foca: Foca<Identity, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Identity>,
    /// Ordered by deadline on foca's clock, then by foca's own order of kinds, then by age.
    timers: BTreeMap<(Time, u8, u64), Timer<Identity>>,
    next_timer: u64,
    /// By how much foca's clock is behind ours: the sum of our own lateness.
    behind: Duration,
}

// === impl Swim ===

impl Swim {
    pub(super) fn new(identity: Identity, seed: u64) -> Self {
        Self {
            foca: Foca::new(identity, config(), StdRng::seed_from_u64(seed), PostcardCodec),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            behind: Duration::ZERO,
        }
    }

    /// This run, as the others should know it.
    pub(super) const fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// Every member ever heard of and not forgotten yet.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member<Identity>> {
        self.foca.iter_membership_state()
    }

    /// A message of foca from another member.
    pub(super) fn handle_data(&mut self, data: &[u8], now: Time) -> Result<(), foca::Error> {
        let now = self.clock(now);
        let result = self.foca.handle_data(data, &mut self.runtime);
        self.schedule(now);
        result
    }

    /// Asks a member for all that it knows.
    pub(super) fn join(&mut self, through: Identity, now: Time) -> Result<(), foca::Error> {
        let now = self.clock(now);
        let result = self.foca.announce(through, &mut self.runtime);
        self.schedule(now);
        result
    }

    /// Another member has left on purpose: Down without any suspicion.
    pub(super) fn bury(&mut self, member: Identity, now: Time) -> Result<(), foca::Error> {
        let now = self.clock(now);
        let down = std::iter::once(Member::down(member));
        let result = self.foca.apply_many(down, true, &mut self.runtime);
        self.schedule(now);
        result
    }

    /// Fires what is due.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Result<(), foca::Error> {
        let now = self.clock(now);
        let mut result = Ok(());
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let timer = entry.remove();
            if !self.is_refuted(&timer) {
                result = result.and(self.foca.handle_timer(timer, &mut self.runtime));
            }
            // Counted from now and not from the deadline: the others get their whole time to
            // answer, however late we asked.
            self.schedule(now);
        }
        result
    }

    /// When `handle_timeout` has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let (deadline, ..) = self.timers.first_key_value()?.0;
        Some(*deadline + self.behind)
    }

    /// The next message to a member, in foca's bytes.
    pub(super) fn poll_send(&mut self) -> Option<(Identity, Vec<u8>)> {
        let (to, bytes) = self.runtime.to_send()?;
        Some((to, bytes.to_vec()))
    }

    /// The next change that foca reports.
    pub(super) fn poll_notification(&mut self) -> Option<OwnedNotification<Identity>> {
        self.runtime.to_notify()
    }

    /// The time on foca's clock, set back first if we are late.
    fn clock(&mut self, now: Time) -> Time {
        if let Some(deadline) = self.poll_timeout() {
            let late = now.saturating_since(deadline);
            if late >= LATE {
                self.behind += late;
            }
        }
        Time::ZERO + now.since_origin().saturating_sub(self.behind)
    }

    /// Whether a timer is the end of a suspicion that its member has refuted meanwhile.
    fn is_refuted(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = timer
        else {
            return false;
        };
        !self.members().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    fn schedule(&mut self, now: Time) {
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers
                .insert((now + after, urgency(&timer), self.next_timer), timer);
            self.next_timer += 1;
        }
    }
}

fn config() -> Config {
    // `new_lan` is where foca says to start from; its group size only sets what is set below.
    let lan = Config::new_lan(NonZeroU32::MIN);
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        max_transmissions: NonZeroU8::new(TRANSMISSIONS).unwrap_or(NonZeroU8::MAX),
        suspect_to_down_after: SUSPICION,
        remove_down_after: Some(FORGET_DOWN),
        max_packet_size: NonZeroUsize::new(MAX_DATAGRAM - OVERHEAD - FRAMING).unwrap_or(NonZeroUsize::MAX),
        notify_down_members: true,
        periodic_announce: periodic(GREET_ACTIVE, 1),
        periodic_announce_to_down_members: periodic(GREET_DOWN, GREET_DOWN_FANOUT),
        periodic_gossip: periodic(GOSSIP, GOSSIP_FANOUT),
        ..lan
    }
}

fn periodic(frequency: Duration, members: usize) -> Option<PeriodicParams> {
    let num_members = NonZeroUsize::new(members)?;
    Some(PeriodicParams {
        frequency,
        num_members,
    })
}

/// foca's order of timers that are due at once; its `Ord` disagrees with its `Eq`, so it cannot be
/// a key.
const fn urgency(timer: &Timer<Identity>) -> u8 {
    match timer {
        Timer::SendIndirectProbe { .. } => 0,
        Timer::ProbeRandomMember(_) => 1,
        Timer::ChangeSuspectToDown { .. } => 2,
        Timer::PeriodicAnnounce(_) => 3,
        Timer::PeriodicGossip(_) => 4,
        Timer::RemoveDown(_) => 5,
        Timer::PeriodicAnnounceDown(_) => 6,
    }
}

#[cfg(test)]
mod tests;
