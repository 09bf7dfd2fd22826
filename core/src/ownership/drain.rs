//! The orderly exit: offer everything in parallel, for a bounded time, then say goodbye and fall
//! silent. The goodbye is repeated because nobody can be asked whether it arrived.

use super::Ownership;
use super::message::Message;
use crate::node::NodeName;
use crate::reason::MoveReason;
use crate::time::Time;

/// How often the goodbye is said: with 5 % loss one member in 8,000 misses all, and learns it from
/// membership.
const GOODBYES: u8 = 3;

/// How far the exit has come.
#[derive(Debug)]
pub(super) struct Drain {
    /// When the goodbye is said at the latest.
    deadline: Time,
    goodbye: Option<Goodbye>,
}

/// The last words.
#[derive(Debug)]
struct Goodbye {
    to: Vec<NodeName>,
    said: u8,
    again_at: Time,
}

// === impl Ownership ===

impl Ownership {
    /// Whether the exit is complete: nothing is owned, and the others were told.
    pub fn is_drained(&self) -> bool {
        let goodbye = self.drain.as_ref().and_then(|drain| drain.goodbye.as_ref());
        goodbye.is_some_and(|goodbye| goodbye.said >= GOODBYES || goodbye.to.is_empty())
    }

    /// Whether the goodbye was said: from then on nothing is listened to.
    pub(super) fn has_left(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.goodbye.is_some())
    }

    pub(super) fn begin_drain(&mut self, now: Time) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain {
            deadline: now + self.timing.drain,
            goodbye: None,
        });
        self.refresh_profile();
        // All that is owned is among them.
        self.dirty.extend(self.facts.claims.keys());
    }

    /// Says goodbye once nothing is owned any more, or time is up.
    pub(super) fn finish_drain(&mut self, now: Time) {
        let Some(drain) = &self.drain else {
            return;
        };
        let is_over = self.tenures.is_empty() || drain.deadline <= now;
        if drain.goodbye.is_some() || !is_over {
            return;
        }
        let left: Vec<_> = self.tenures.keys().copied().collect();
        for vip in left {
            self.release(vip, MoveReason::Leave);
        }
        while let Some(vip) = self.dirty.pop_first() {
            self.decide(now, vip);
        }
        let to = self.live().map(|(node, _)| node.clone()).collect();
        if let Some(drain) = &mut self.drain {
            drain.goodbye = Some(Goodbye {
                to,
                said: 0,
                again_at: now,
            });
        }
        // The releases and the last record of who has what go out before the goodbye.
        self.publish(now);
        self.continue_drain(now);
    }

    /// Repeats the goodbye.
    pub(super) fn continue_drain(&mut self, now: Time) {
        let table = self.table.version();
        let again_at = now + self.timing.resend;
        let goodbye = self.drain.as_mut().and_then(|drain| drain.goodbye.as_mut());
        let Some(goodbye) = goodbye.filter(|goodbye| goodbye.said < GOODBYES && goodbye.again_at <= now)
        else {
            return;
        };
        goodbye.said += 1;
        goodbye.again_at = again_at;
        for node in goodbye.to.clone() {
            self.send(&node, Message::Leave { table });
        }
    }

    pub(super) fn drain_deadline(&self) -> Option<Time> {
        if self.is_drained() {
            return None;
        }
        let drain = self.drain.as_ref()?;
        Some(
            drain
                .goodbye
                .as_ref()
                .map_or(drain.deadline, |goodbye| goodbye.again_at),
        )
    }
}
