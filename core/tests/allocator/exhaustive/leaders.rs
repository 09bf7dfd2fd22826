//! A story with two leaders: the first is deposed and does not know it, and what is left of its work
//! meets all of its successor's, in every order of their next steps.
//!
//! What people do meanwhile has its place in that order, too. Only the successor sees it.

use std::time::Duration;

use super::{Edit, Story};
use crate::world::{Replica, World};

/// The leader is deposed after each of so many first steps.
const FIRST: usize = 10;
/// Whose each of so many next steps is, is tried in every order.
const STEPS: usize = 7;
/// The same, where people do something at each place of the order.
const STEPS_WITH_EDIT: usize = 4;

/// A story as far as it was played. From here it may go on in several ways.
#[derive(Clone)]
struct Play<'a> {
    story: &'a Story,
    world: World,
    /// How many steps the first leader made before it was deposed.
    before: usize,
    /// Whose turn it was since then.
    turns: Vec<Turn>,
    /// What people have yet to do.
    edits: &'a [Edit],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Leader(usize),
    People,
}

// === impl Play ===

impl<'a> Play<'a> {
    fn begin(story: &'a Story, before: usize, mut world: World) -> Self {
        world.depose();
        let successor = Replica::start(&world.api, world.options, world.now);
        world.replicas.push(successor);
        Self {
            story,
            world,
            before,
            turns: Vec::new(),
            edits: story.meanwhile,
        }
    }

    /// Plays on in every order.
    fn go_on(mut self) {
        let leaders = (0..self.world.replicas.len()).map(Turn::Leader);
        let people = self.edits.first().map(|_| Turn::People);
        let others = leaders.chain(people).filter_map(|turn| self.after(turn));
        let others: Vec<Self> = others.collect();
        if others.is_empty() {
            self.attempt(Self::end);
        }
        others.into_iter().for_each(Self::go_on);
    }

    /// How it stands after one more turn; `None` if nothing is done in it, or it is one too many.
    fn after(&self, turn: Turn) -> Option<Self> {
        let mut other = self.clone();
        other.turns.push(turn);
        let leader = match turn {
            Turn::Leader(leader) => leader,
            Turn::People => {
                let (edit, later) = self.edits.split_first()?;
                edit(&mut other.world.api);
                other.edits = later;
                return Some(other);
            }
        };
        let steps = other.turns.iter().filter(|turn| **turn != Turn::People);
        let most = if self.story.meanwhile.is_empty() {
            STEPS
        } else {
            STEPS_WITH_EDIT
        };
        let may_go_on = steps.count() <= most;
        (may_go_on && other.attempt(|play| play.world.step(leader))).then_some(other)
    }

    fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let how = (self.before, self.turns.clone());
        self.story.attempt(how, || act(self))
    }

    fn end(&mut self) {
        self.world.run(Duration::from_secs(1));
        self.world.replicas.remove(0);
        self.story.end(&mut self.world);
    }
}

/// Plays stories with two leaders in every order.
pub(super) fn interleave(stories: &[Story]) {
    for story in stories {
        let mut world = story.begin();
        for before in 0..FIRST {
            Play::begin(story, before, world.clone()).go_on();
            if !world.step(0) {
                break;
            }
        }
    }
}
