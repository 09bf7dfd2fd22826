//! The rounds of a test, of which those count in which its clients kept their pace.
//!
//! A machine that does other work as well may hold a client up for some milliseconds, again and again: a kernel
//! built without preemption lets whoever is in it finish. What such a client lost is lost all the same, but that it lost nothing proves too little: its round is played again.

use std::fmt;

use anyhow::{Result, ensure};

/// How often each way to lose an owner is tried.
pub(super) const ROUNDS: usize = 10;

/// How many rounds more there may be before nothing can be said of this machine.
const SPARE: usize = ROUNDS;

/// How many rounds were played.
#[derive(Default)]
pub(super) struct Rounds {
    counted: usize,
    spoilt: usize,
}

// === impl Rounds ===

impl Rounds {
    /// The number of the next round, unless all that are needed were played.
    pub(super) fn next(&self) -> Option<usize> {
        (self.counted < ROUNDS).then_some(self.counted + self.spoilt)
    }

    /// Counts a round if every client kept its pace.
    ///
    /// # Errors
    /// With what held a client up, if that has spoilt more rounds than there are to spare.
    pub(super) fn count(&mut self, paces: [Result<()>; 2]) -> Result<()> {
        let Some(error) = paces.into_iter().find_map(Result::err) else {
            self.counted += 1;
            return Ok(());
        };
        println!("a round does not count: {error:#}");
        self.spoilt += 1;
        ensure!(
            self.spoilt <= SPARE,
            "of {} rounds {} do not count, the last one because {error:#}",
            self.counted + self.spoilt,
            self.spoilt
        );
        Ok(())
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counted, spoilt } = self;
        write!(f, "{counted} rounds, {spoilt} more that do not count")
    }
}
