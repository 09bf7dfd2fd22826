//! Whether each change of ownership has a cause, and whether the cause names those whom it moves
//! (O4, O5): losing a node moves only its VIPs, and nothing moves for no reason.
//!
//! No move is excused because "something has happened lately". Each reason is held against the one
//! fact that it claims, about the one node or VIP that it names, and that fact ends as an excuse:
//!
//! | reason | what must be so |
//! |---|---|
//! | `NodeDown` | the taker cannot rely on the named owner, or could not until a decision ago; or none is named, and the owner was out of its reach until a second ago |
//! | `Leave`, `Drain`, `Ineligible` | just that is against the named owner, or was an offer ago; or it gave the VIP up for it |
//! | `Gone` | the claim is gone in the owner's own view |
//! | `Unowned` | whoever is named, does not own it: see below |
//! | `Healed` | the winner named does state the greater record |
//! | `OfferFailed`, `FloorRaised` | nothing moves |
//!
//! Whatever the reason: nobody takes a VIP, unless it is offered, from an owner that it hears.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::node::NodeName;
use ferrolb_core::ownership::{Move, Timing};
use ferrolb_core::reason::MoveReason;
use ferrolb_core::record::LAST_SLOT;
use ferrolb_core::time::Time;

use crate::sim::SLOWEST;
use crate::swim::{REUNION, TICK};

/// What happened to whom, as far as a move can come of it.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// When a node last could not rely on another: it, and the other. One of them did not run or
    /// only started, they could not reach each other, or the one held the other Down.
    apart: BTreeMap<(NodeName, NodeName), Time>,
    /// When two nodes last could not send to each other.
    separate: BTreeMap<(NodeName, NodeName), Time>,
    /// When something was last against an owner, and what.
    objected: BTreeMap<(IpAddr, NodeName, MoveReason), Time>,
    /// Why a node that owned a VIP does not any more, and since when.
    lost: BTreeMap<(IpAddr, NodeName), (Time, MoveReason)>,
    /// Who owns a VIP by what was reported, at which epoch.
    owned: BTreeMap<(IpAddr, NodeName), u64>,
    /// Since when a node hears the owner of a VIP: the VIP, it, and the owner.
    heard: BTreeMap<(IpAddr, NodeName, NodeName), Time>,
}

/// For how long after a node can be relied on again a VIP of it may be taken still: the tables of
/// all members are waited for, once more if it fell silent before an unknown record, and the last
/// slot comes last.
fn decision() -> Duration {
    let timing = Timing::default();
    timing.sync * 2 + timing.slot * u32::from(LAST_SLOT) + TICK
}

/// For how long after an owner began to offer a VIP it may be taken, or be seen to be taken.
fn offer() -> Duration {
    Timing::default().offer + SLOWEST
}

// === impl Causes ===

impl Causes {
    /// A node cannot rely on another now.
    pub(crate) fn part(&mut self, now: Time, at: &NodeName, of: &NodeName) {
        self.apart.insert((at.clone(), of.clone()), now);
    }

    /// A node and another cannot send to each other now.
    pub(crate) fn separate(&mut self, now: Time, at: &NodeName, of: &NodeName) {
        self.separate.insert((at.clone(), of.clone()), now);
    }

    /// Something is against a node's ownership of a VIP.
    pub(crate) fn object(&mut self, now: Time, vip: IpAddr, node: &NodeName, reason: MoveReason) {
        self.objected.insert((vip, node.clone(), reason), now);
    }

    /// A speaker has ended.
    pub(crate) fn ended(&mut self, node: &NodeName) {
        self.owned.retain(|(_, owner), _| owner != node);
    }

    /// The VIPs that a node owns by what it reported.
    pub(crate) fn owned_by(&self, node: &NodeName) -> BTreeMap<IpAddr, u64> {
        let owned = self.owned.iter().filter(|((_, owner), _)| owner == node);
        owned.map(|((vip, _), epoch)| (*vip, *epoch)).collect()
    }

    /// Keeps up who hears which owner.
    pub(crate) fn listen(
        &mut self,
        now: Time,
        nodes: &[NodeName],
        hears: impl Fn(&NodeName, &NodeName) -> bool,
    ) {
        let mut heard = BTreeMap::new();
        for (vip, owner) in self.owned.keys() {
            for node in nodes.iter().filter(|node| *node != owner) {
                if hears(node, owner) && hears(owner, node) {
                    let key = (*vip, node.clone(), owner.clone());
                    let since = self.heard.get(&key).copied().unwrap_or(now);
                    heard.insert(key, since);
                }
            }
        }
        self.heard = heard;
    }

    /// Takes in what a node reports. `patience` is how long a record may take to become known.
    pub(crate) fn reported(
        &mut self,
        now: Time,
        node: &NodeName,
        change: &Move,
        patience: Duration,
    ) -> Result<(), String> {
        let key = (change.vip, node.clone());
        let is_kept = change.from.as_ref() == Some(node) && self.owned.contains_key(&key);
        let result = if change.to.as_ref() != Some(node) {
            self.owned.remove(&key);
            self.lost.insert(key, (now, change.reason));
            self.check_loss(now, node, change)
        } else {
            self.owned.insert(key, change.epoch.0);
            if is_kept {
                self.check_kept(now, node, change)
            } else {
                self.check_take(now, node, change, patience)
            }
        };
        result.map_err(|what| format!("{node} reports {change:?}, but {what}"))
    }

    fn check_kept(&self, now: Time, node: &NodeName, change: &Move) -> Result<(), String> {
        match change.reason {
            MoveReason::FloorRaised => Ok(()),
            MoveReason::OfferFailed if self.was_leaving(now, change.vip, node) => Ok(()),
            MoveReason::OfferFailed => Err("nothing was against its ownership".to_owned()),
            MoveReason::Unowned
            | MoveReason::NodeDown
            | MoveReason::Leave
            | MoveReason::Drain
            | MoveReason::Ineligible
            | MoveReason::Healed
            | MoveReason::Gone => Err("it owned it before".to_owned()),
        }
    }

    fn check_take(
        &self,
        now: Time,
        node: &NodeName,
        change: &Move,
        patience: Duration,
    ) -> Result<(), String> {
        let Move { vip, reason, .. } = *change;
        match (reason, &change.from) {
            (MoveReason::Unowned, _) => self.check_orphaned(now, node, vip, patience),
            (MoveReason::NodeDown, Some(from)) if self.was_apart(now, node, from) => {
                self.check_orphaned(now, node, vip, patience)
            }
            (MoveReason::NodeDown, Some(from)) => Err(format!("{from} is well")),
            (MoveReason::NodeDown, None) => {
                self.check_unnamed(now, node, vip)?;
                self.check_orphaned(now, node, vip, patience)
            }
            (MoveReason::Leave | MoveReason::Drain | MoveReason::Ineligible, Some(from)) => {
                if self.was_against(now, vip, from, reason) {
                    return Ok(());
                }
                let lost = self.lost.get(&(vip, from.clone()));
                if lost.is_none_or(|(_, lost)| *lost != reason) {
                    return Err(format!("{from} lost it as {lost:?}"));
                }
                self.check_orphaned(now, node, vip, patience)
            }
            _ => Err("nobody takes for that reason".to_owned()),
        }
    }

    fn check_loss(&self, now: Time, node: &NodeName, change: &Move) -> Result<(), String> {
        let Move { vip, reason, .. } = *change;
        match (reason, &change.to) {
            (MoveReason::Healed, Some(winner)) => {
                let key = (vip, winner.clone());
                let has_greater = self.owned.get(&key).is_some_and(|epoch| *epoch >= change.epoch.0);
                // Its record may be seen a little longer than it stands.
                let had = self.lost.get(&key).is_some_and(|(at, _)| now <= *at + decision());
                let is_gone = self.was_apart(now, node, winner);
                if has_greater || had || is_gone {
                    Ok(())
                } else {
                    Err(format!("{winner} states no such record"))
                }
            }
            (MoveReason::Leave | MoveReason::Drain | MoveReason::Ineligible, _)
                if self.was_against(now, vip, node, reason) =>
            {
                Ok(())
            }
            (MoveReason::Gone, None) if self.was_against(now, vip, node, reason) => Ok(()),
            _ => Err("nothing of the kind was against its ownership".to_owned()),
        }
    }

    /// The owner that is Down and cannot be named is none that could be reached for a second: whoever
    /// fell silent before its record had met it, and within that time everybody has (G2).
    fn check_unnamed(&self, now: Time, node: &NodeName, vip: IpAddr) -> Result<(), String> {
        let was_separate = |owner: &NodeName| {
            let separate = self.separate.get(&(node.clone(), owner.clone()));
            separate.is_some_and(|at| now <= *at + REUNION + TICK)
        };
        let mut owners = self.owned.keys().filter(|(of, _)| *of == vip);
        match owners.find(|(_, owner)| owner != node && !was_separate(owner)) {
            Some((_, owner)) => Err(format!("{owner} owns it, and could be reached for long")),
            None => Ok(()),
        }
    }

    /// Nobody takes from an owner that it hears.
    fn check_orphaned(
        &self,
        now: Time,
        node: &NodeName,
        vip: IpAddr,
        patience: Duration,
    ) -> Result<(), String> {
        let heard = self.heard.iter().find(|((of, at, owner), since)| {
            *of == vip && at == node && owner != node && now > **since + patience
        });
        match heard {
            Some(((_, _, owner), since)) => Err(format!("it hears {owner}, which owns it, since {since:?}")),
            None => Ok(()),
        }
    }

    fn was_apart(&self, now: Time, at: &NodeName, of: &NodeName) -> bool {
        let apart = self.apart.get(&(at.clone(), of.clone()));
        apart.is_some_and(|apart| now <= *apart + decision())
    }

    fn was_against(&self, now: Time, vip: IpAddr, node: &NodeName, reason: MoveReason) -> bool {
        let objected = self.objected.get(&(vip, node.clone(), reason));
        objected.is_some_and(|at| now <= *at + offer())
    }

    fn was_leaving(&self, now: Time, vip: IpAddr, node: &NodeName) -> bool {
        [MoveReason::Leave, MoveReason::Drain, MoveReason::Ineligible]
            .into_iter()
            .any(|reason| self.was_against(now, vip, node, reason))
    }
}

/// Each rule refuses a history that breaks it and nothing else, and accepts what it excuses.
mod tests {
    use ferrolb_core::record::Epoch;

    use super::*;
    use crate::millis;
    use crate::world::{mk_node, mk_vip};

    const PATIENCE: Duration = millis(50);

    /// n1 has owned the VIP for long, and n2 and n3 hear it.
    struct Story {
        causes: Causes,
        now: Time,
    }

    impl Story {
        fn new() -> Self {
            let mut story = Self {
                causes: Causes::default(),
                now: Time::from_millis(1_000),
            };
            assert_eq!(story.takes(0, 1, MoveReason::Unowned, None), Ok(()));
            story.listen();
            story.now = story.now + millis(60_000);
            story
        }

        /// Everybody hears everybody.
        fn listen(&mut self) {
            let nodes: Vec<_> = (0..3).map(mk_node).collect();
            self.causes.listen(self.now, &nodes, |_, _| true);
        }

        fn report(&mut self, at: usize, change: &Move) -> Result<(), String> {
            self.causes.reported(self.now, &mk_node(at), change, PATIENCE)
        }

        fn takes(
            &mut self,
            at: usize,
            epoch: u64,
            reason: MoveReason,
            from: Option<usize>,
        ) -> Result<(), String> {
            let change = Move {
                vip: mk_vip(0),
                epoch: Epoch(epoch),
                reason,
                from: from.map(mk_node),
                to: Some(mk_node(at)),
            };
            self.report(at, &change)
        }

        fn loses(&mut self, at: usize, reason: MoveReason, to: Option<usize>) -> Result<(), String> {
            let change = Move {
                vip: mk_vip(0),
                epoch: Epoch(2),
                reason,
                from: Some(mk_node(at)),
                to: to.map(mk_node),
            };
            self.report(at, &change)
        }

        fn apart(&mut self, at: usize, of: usize) {
            self.causes.part(self.now, &mk_node(at), &mk_node(of));
        }

        fn object(&mut self, node: usize, reason: MoveReason) {
            self.causes.object(self.now, mk_vip(0), &mk_node(node), reason);
        }
    }

    #[test]
    fn nobody_takes_from_an_owner_that_it_hears() {
        for reason in [MoveReason::Unowned, MoveReason::NodeDown] {
            let mut story = Story::new();
            story.apart(1, 0);
            let from = (reason == MoveReason::NodeDown).then_some(0);
            let refused = story.takes(1, 2, reason, from).unwrap_err();
            assert!(refused.contains("it hears n1"), "{refused}");
        }
    }

    #[test]
    fn a_death_excuses_only_of_whom_and_for_a_decision() {
        for (of, later, is_excused) in [
            (0, Duration::ZERO, true),
            (0, decision(), true),
            (0, decision() + millis(1), false),
            (2, Duration::ZERO, false),
        ] {
            let mut story = Story::new();
            story.apart(1, of);
            story.causes.ended(&mk_node(0));
            story.listen();
            story.now = story.now + later;
            let result = story.takes(1, 2, MoveReason::NodeDown, Some(0));
            assert_eq!(result.is_ok(), is_excused, "{of} {later:?}: {result:?}");
        }
    }

    #[test]
    fn an_offer_excuses_only_for_what_was_against_the_owner_and_while_it_lasts() {
        for (against, reason, later, is_excused) in [
            (MoveReason::Drain, MoveReason::Drain, offer(), true),
            (MoveReason::Drain, MoveReason::Drain, offer() + millis(1), false),
            (MoveReason::Drain, MoveReason::Leave, Duration::ZERO, false),
            (MoveReason::Gone, MoveReason::Ineligible, Duration::ZERO, false),
        ] {
            let mut story = Story::new();
            story.object(0, against);
            story.now = story.now + later;
            let taken = story.takes(1, 2, reason, Some(0));
            assert_eq!(taken.is_ok(), is_excused, "{against:?} {later:?}: {taken:?}");
            let lost = story.loses(0, reason, Some(1));
            assert_eq!(lost.is_ok(), is_excused, "{against:?} {later:?}: {lost:?}");
        }
    }

    #[test]
    fn what_was_given_up_is_taken_for_that_reason() {
        for (reason, is_excused) in [(MoveReason::Ineligible, true), (MoveReason::Leave, false)] {
            let mut story = Story::new();
            story.object(0, MoveReason::Ineligible);
            assert_eq!(story.loses(0, MoveReason::Ineligible, None), Ok(()));
            story.listen();
            story.now = story.now + millis(60_000);
            let result = story.takes(1, 2, reason, Some(0));
            assert_eq!(result.is_ok(), is_excused, "{result:?}");
        }
    }

    #[test]
    fn an_owner_yields_only_to_a_record_that_is_stated() {
        let mut story = Story::new();
        assert!(story.loses(0, MoveReason::Healed, Some(1)).is_err());
        let mut story = Story::new();
        story.apart(1, 0);
        story.causes.listen(story.now, &[], |_, _| true);
        assert_eq!(story.takes(1, 2, MoveReason::NodeDown, Some(0)), Ok(()));
        assert_eq!(story.loses(0, MoveReason::Healed, Some(1)), Ok(()));
    }

    #[test]
    fn an_owner_that_is_not_named_was_out_of_reach_until_a_second_ago() {
        for (later, is_excused) in [(REUNION + TICK, true), (REUNION + TICK + millis(1), false)] {
            let mut story = Story::new();
            story.causes.separate(story.now, &mk_node(1), &mk_node(0));
            story.now = story.now + later;
            story.causes.listen(story.now, &[], |_, _| true);
            let result = story.takes(1, 2, MoveReason::NodeDown, None);
            assert_eq!(result.is_ok(), is_excused, "{later:?}: {result:?}");
        }
    }

    #[test]
    fn a_claim_is_gone_only_in_the_owners_own_view() {
        let mut story = Story::new();
        assert!(story.loses(0, MoveReason::Gone, None).is_err());
        let mut story = Story::new();
        story.object(0, MoveReason::Gone);
        assert_eq!(story.loses(0, MoveReason::Gone, None), Ok(()));
    }
}
