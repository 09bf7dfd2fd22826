//! A story with two leaders: the first is deposed and does not know it, and what is left of its work
//! meets all of its successor's, in every order of their next steps.

use std::time::Duration;

use super::Story;
use crate::world::{Replica, World};

/// The leader is deposed after each of so many first steps.
const FIRST: usize = 10;
/// Whose each of so many next steps is, is tried in every order.
const STEPS: usize = 7;

/// Plays stories with two leaders in every order.
pub(super) fn interleave(stories: &[Story]) {
    for story in stories {
        let mut world = story.begin();
        for before in 0..FIRST {
            let mut both = world.clone();
            both.depose();
            let successor = Replica::start(&both.api, both.options, both.now);
            both.replicas.push(successor);
            go_on(story, before, both, &mut Vec::new());
            world.step(0);
        }
    }
}

/// Plays on from where so many steps were made before the first leader was deposed, and these turns
/// after that.
fn go_on(story: &Story, before: usize, mut world: World, turns: &mut Vec<usize>) {
    if turns.len() == STEPS {
        story.attempt((before, turns), || {
            world.run(Duration::from_secs(1));
            world.replicas.remove(0);
            story.end(&mut world);
        });
        return;
    }
    for turn in 0..world.replicas.len() {
        let mut world = world.clone();
        turns.push(turn);
        story.attempt((before, &turns), || world.step(turn));
        go_on(story, before, world, turns);
        turns.pop();
    }
}
