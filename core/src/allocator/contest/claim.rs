//! Claims that somebody keeps changing back.
//!
//! Not to repair one for a while is safe: meanwhile nobody comes to show the address whom the claim
//! does not name, and the ledger lends it to nobody else.

use std::net::IpAddr;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::Call;
use crate::allocator::contest::Parts;
use crate::allocator::event::{Notice, Regarding};
use crate::claim::Claim;
use crate::time::Now;

// === impl Allocator ===

impl Allocator {
    /// A call for a claim, unless it is to be left alone for now.
    pub(in crate::allocator) fn spare_contested(
        &mut self,
        address: IpAddr,
        call: Call,
        now: Now,
    ) -> Option<Call> {
        if matches!(call, Call::ReadClaim(_)) {
            return Some(call);
        }
        let (news, wait) = self.ledger.note(address, |progress| {
            let contest = &mut progress.contest;
            contest.calm_down(now.time);
            let reverted = contest.judge(Parts::CLAIM, None, now.time);
            let is_news = !reverted.is_empty() && contest.has_just_begun();
            let news = contest.complaint().filter(|_| is_news);
            (news, contest.wait(now.time))
        });
        if let Some(message) = news {
            self.notices.push_back(Notice {
                regarding: Regarding::Claim { address },
                is_warning: true,
                reason: "ClaimContested".to_owned(),
                message,
            });
        }
        if let Some(time) = wait {
            self.agenda.set_alarm(Task::Claim(address), time);
            return None;
        }
        Some(call)
    }

    /// What the watch, if it was faster than the answer, shows that somebody made of a claim since
    /// we wrote it.
    pub(in crate::allocator) fn changed_since(&self, claim: &Claim) -> Parts {
        let slot = self.ledger.slot(claim.spec.address);
        let live = slot.and_then(|slot| slot.live.as_ref());
        let newer = live.filter(|live| {
            let is_older = claim.resource_version.is_older_than(&live.resource_version);
            live.uid == claim.uid && is_older
        });
        newer.map_or(Parts::NONE, |live| Parts::between_claims(&claim.spec, &live.spec))
    }
}
