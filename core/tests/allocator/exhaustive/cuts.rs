//! A story with every set of at most two cuts: the controller crashes before or after a call, or the
//! call's answer is lost and it landed, never lands, or lands late.

use std::time::Duration;

use ferrolb_core::allocator::{Call, Outcome};
use ferrolb_core::time::Time;

use super::Story;
use crate::world::World;

/// How a call is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It lands, and nobody hears of it.
    AnswerLost,
    /// It never lands, and nobody hears of it.
    Lost,
    /// Nobody hears of it, and it lands when so many more calls have ended.
    Late(usize),
    /// The controller is killed before it calls.
    KilledBefore,
    /// The controller is killed once it has landed.
    KilledAfter,
    /// The controller is killed, and it lands when the next one has made so many calls.
    KilledLate(usize),
}

const CUTS: [Cut; 8] = [
    Cut::AnswerLost,
    Cut::Lost,
    Cut::Late(1),
    Cut::Late(3),
    Cut::KilledBefore,
    Cut::KilledAfter,
    Cut::KilledLate(1),
    Cut::KilledLate(2),
];

/// How many cuts there are at most.
const MOST: usize = 2;

/// A story as far as it was played. From here it may go on in several ways.
#[derive(Clone)]
struct Play<'a> {
    story: &'a Story,
    world: World,
    /// The cuts so far, each with the number of its call.
    cuts: Vec<(usize, Cut)>,
    /// Calls that land when so many have ended.
    late: Vec<(usize, Call)>,
    /// How many calls have ended.
    ended: usize,
    /// When nobody waits for calls any more.
    deadline: Time,
}

// === impl Play ===

impl<'a> Play<'a> {
    fn begin(story: &'a Story) -> Self {
        let world = story.begin();
        Self {
            deadline: world.now.time + Duration::from_secs(60),
            story,
            world,
            cuts: Vec::new(),
            late: Vec::new(),
            ended: 0,
        }
    }

    /// Plays on with as many more cuts as there may be; returns how many times it came to an end.
    fn go_on(mut self) -> usize {
        let mut played = 1;
        while self.attempt(Self::begin_call) {
            if self.cuts.len() < MOST {
                for cut in CUTS {
                    let mut other = self.clone();
                    other.cuts.push((self.ended, cut));
                    other.attempt(|play| play.end_call(Some(cut)));
                    played += other.go_on();
                }
            }
            self.attempt(|play| play.end_call(None));
        }
        self.attempt(Self::end);
        played
    }

    fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        self.story.attempt(self.cuts.clone(), || act(self))
    }

    /// Lets the controller begin its next call, however long it waits for it; false when there is none.
    fn begin_call(&mut self) -> bool {
        let world = &mut self.world;
        loop {
            while world.deliver(0) {}
            if world.begin_call(0) {
                return true;
            }
            match world.replicas[0].allocator.poll_timeout() {
                Some(at) if at <= self.deadline => world.advance(at - world.now.time),
                Some(_) | None => return false,
            }
        }
    }

    fn end_call(&mut self, cut: Option<Cut>) {
        let world = &mut self.world;
        let (id, call) = world.replicas[0].calls.remove(0);
        self.ended += 1;
        match cut {
            None => {
                let outcome = world.land(&call);
                world.answer(0, id, outcome);
            }
            Some(Cut::AnswerLost) => {
                world.land(&call);
                world.answer(0, id, Outcome::Unknown);
            }
            Some(Cut::Lost) => world.answer(0, id, Outcome::Unknown),
            Some(Cut::Late(calls)) => {
                self.late.push((self.ended + calls, call));
                world.answer(0, id, Outcome::Unknown);
            }
            Some(Cut::KilledBefore) => world.restart(),
            Some(Cut::KilledAfter) => {
                world.land(&call);
                world.restart();
            }
            Some(Cut::KilledLate(calls)) => {
                self.late.push((self.ended + calls, call));
                world.restart();
            }
        }
        self.land_late(self.ended);
    }

    /// Lands what was to land when so many calls have ended.
    fn land_late(&mut self, ended: usize) {
        let late = std::mem::take(&mut self.late);
        let (due, rest): (Vec<_>, Vec<_>) = late.into_iter().partition(|(at, _)| *at <= ended);
        self.late = rest;
        for (_, call) in due {
            self.world.land(&call);
        }
    }

    fn end(&mut self) {
        self.land_late(usize::MAX);
        self.story.end(&mut self.world);
    }
}

/// Plays stories with every cut, which must come to so many times at least.
pub(super) fn cut_everywhere(stories: &[Story], at_least: usize) {
    let play = |story| Play::begin(story).go_on();
    let played: Vec<usize> = stories.iter().map(play).collect();
    assert!(
        played.iter().sum::<usize>() >= at_least,
        "the stories have become too short: {played:?}"
    );
}
