//! A story with every set of at most two cuts: the controller crashes before or after a call, or the
//! call's answer is lost and it landed, never lands, or lands late.
//!
//! Or with one cut, and something that people do meanwhile: between any two calls, or while any one
//! is under way. Then watches may lag, too, and calls overtake each other.

use std::time::Duration;

use ferrolb_core::allocator::{Call, CallId, Outcome};
use ferrolb_core::time::Time;

use super::{Edit, Story};
use crate::world::{Kind, Replica, World};

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
    /// It lands and is answered, and from then on the watches are late by so many events.
    Lagging(usize),
    /// The controller is killed once it has landed, and the next one makes a call before its watch of
    /// Services shows the last so many events.
    KilledUnseen(usize),
    /// It takes long: it lands and is answered when so many more calls have begun and ended.
    Slow(usize),
    /// It lands, and is answered when so many more calls have begun and ended.
    AnsweredLate(usize),
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

/// More of them, where people do something meanwhile.
const LAGS: [Cut; 8] = [
    Cut::Lagging(1),
    Cut::Lagging(2),
    Cut::Lagging(4),
    Cut::KilledUnseen(1),
    Cut::KilledUnseen(3),
    Cut::Slow(1),
    Cut::Slow(3),
    Cut::AnsweredLate(2),
];

/// How many cuts there are at most; one less for each thing that people do meanwhile.
const MOST: usize = 2;

/// How long the controller is waited for before nothing more is expected of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A story as far as it was played. From here it may go on in several ways.
#[derive(Clone)]
struct Play<'a> {
    story: &'a Story,
    world: World,
    /// What people have yet to do.
    edits: &'a [Edit],
    /// What has happened, each with how many calls had ended.
    past: Vec<(usize, Happening)>,
    /// How many more cuts there may be.
    cuts: usize,
    /// Calls that land when so many have ended.
    late: Vec<(usize, Call)>,
    /// Calls under way that are answered when so many others have ended: they land then, unless they
    /// have landed.
    slow: Vec<(usize, CallId, Result<Outcome, Call>)>,
    /// How many calls have ended, or are slow.
    ended: usize,
    /// By how many events the watches are late; the greatest number for one call only.
    lag: usize,
    /// When nobody waits for calls any more.
    deadline: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Cut(Cut),
    /// People did something: before the next call, or while it is under way.
    Edit {
        is_under_way: bool,
    },
}

// === impl Play ===

impl<'a> Play<'a> {
    fn begin(story: &'a Story) -> Self {
        let world = story.begin();
        Self {
            deadline: world.now.time + PATIENCE,
            story,
            world,
            edits: story.meanwhile,
            past: Vec::new(),
            cuts: MOST - story.meanwhile.len(),
            late: Vec::new(),
            slow: Vec::new(),
            ended: 0,
            lag: 0,
        }
    }

    /// Plays on with as many more cuts as there may be, and with each edit at every moment; returns how
    /// many times it came to an end.
    fn go_on(mut self) -> usize {
        let mut played = 1;
        loop {
            played += self.edited().map_or(0, Self::go_on);
            if !self.attempt(Self::begin_call) {
                let Some(edited) = self.edited() else {
                    break;
                };
                self = edited;
                continue;
            }
            played += self.edited().map_or(0, Self::go_on);
            if self.cuts > 0 {
                let lags = LAGS.into_iter().filter(|_| !self.story.meanwhile.is_empty());
                for cut in CUTS.into_iter().chain(lags) {
                    let mut other = self.clone();
                    other.cuts -= 1;
                    other.past.push((self.ended, Happening::Cut(cut)));
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
        self.story.attempt(self.past.clone(), || act(self))
    }

    /// How it stands after people did what they do next, if there is anything.
    fn edited(&self) -> Option<Self> {
        let (edit, later) = self.edits.split_first()?;
        let mut other = self.clone();
        let is_under_way = !other.world.replicas[0].calls.is_empty();
        other.past.push((self.ended, Happening::Edit { is_under_way }));
        edit(&mut other.world.api);
        other.edits = later;
        other.deadline = other.world.now.time + PATIENCE;
        Some(other)
    }

    /// Lets the controller begin its next call, however long it waits for it; false when there is none.
    fn begin_call(&mut self) -> bool {
        let world = &mut self.world;
        if !world.replicas[0].calls.is_empty() {
            return true;
        }
        loop {
            while world.unseen(0) > self.lag {
                world.deliver(0);
            }
            if world.begin_call(0) {
                return true;
            }
            // Nothing is left to do but to wait for what is late.
            if std::mem::take(&mut self.lag) > 0 {
                continue;
            }
            if let Some((_, id, call)) = self.slow.pop() {
                answer(world, id, call);
                continue;
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
        if self.lag == usize::MAX {
            // The first call of one that has just begun to lead.
            self.lag = 0;
        }
        match cut {
            None => answer(world, id, Err(call)),
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
            Some(Cut::Lagging(events)) => {
                answer(world, id, Err(call));
                self.lag = events;
            }
            Some(Cut::Slow(calls)) => self.slow.push((self.ended + calls, id, Err(call))),
            Some(Cut::AnsweredLate(calls)) => {
                let outcome = world.land(&call);
                self.slow.push((self.ended + calls, id, Ok(outcome)));
            }
            Some(Cut::KilledUnseen(events)) => {
                world.land(&call);
                let lags = Kind::ALL.map(|kind| if kind == Kind::Service { events } else { 0 });
                world.replicas = vec![Replica::promote(&world.api, lags, world.options, world.now)];
                self.lag = usize::MAX;
            }
        }
        self.land_late(self.ended);
    }

    /// Lands what was to land when so many calls have ended.
    fn land_late(&mut self, ended: usize) {
        for (_, id, call) in self.slow.extract_if(.., |(at, ..)| *at <= ended) {
            answer(&mut self.world, id, call);
        }
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

/// Answers a call, which lands now unless it has.
fn answer(world: &mut World, id: CallId, call: Result<Outcome, Call>) {
    let outcome = call.unwrap_or_else(|call| world.land(&call));
    world.answer(0, id, outcome);
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
