//! The rounds of a test: as many as it takes for its clients to ask as much as they should.
//!
//! A machine that does other work as well may hold a client up for some milliseconds, again and again: others use
//! its processors, and a kernel built without preemption lets whoever is in it finish. What was not asked nobody
//! can have lost, so what a round could not ask, further rounds ask.

use std::fmt;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::prober::ProbeReport;

/// How many rounds more there may be before nothing can be said of this machine.
const SPARE: usize = 10;

/// What was played, and what the two clients of each round have asked.
pub(crate) struct Rounds {
    needed: usize,
    played: usize,
    /// What they should have asked in the rounds that are needed.
    due: [usize; 2],
    asked: [usize; 2],
}

// === impl Rounds ===

impl Rounds {
    /// So many are needed, if the machine lets the clients ask.
    pub(crate) const fn new(needed: usize) -> Self {
        Self {
            needed,
            played: 0,
            due: [0; 2],
            asked: [0; 2],
        }
    }

    /// The number of the next round, unless all that is needed was asked.
    pub(crate) fn next(&self) -> Option<usize> {
        (self.played < self.needed || !self.is_enough()).then_some(self.played)
    }

    /// Adds what was asked in a round. One with too long a pause has asked nothing.
    ///
    /// # Errors
    /// If that is too little, and there is no round to spare.
    pub(crate) fn count(&mut self, reports: [&ProbeReport; 2]) -> Result<()> {
        let pauses = reports.iter().try_for_each(|report| report.check_pauses());
        if let Err(error) = &pauses {
            println!("round {}: {error:#}", self.played);
        }
        for (index, report) in reports.into_iter().enumerate() {
            if self.played < self.needed {
                self.due[index] += report.due();
            }
            if pauses.is_ok() {
                self.asked[index] += report.sent();
            }
        }
        self.played += 1;
        ensure!(
            self.is_enough() || self.played < self.needed + SPARE,
            "{self}: too little to say that nothing was lost"
        );
        Ok(())
    }

    fn is_enough(&self) -> bool {
        let mut clients = self.asked.into_iter().zip(self.due);
        clients.all(|(asked, due)| ProbeReport::is_enough(asked, due))
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            needed,
            played,
            due,
            asked,
        } = self;
        write!(
            f,
            "{played} rounds, {asked:?} datagrams where {due:?} were due in {needed}"
        )
    }
}
