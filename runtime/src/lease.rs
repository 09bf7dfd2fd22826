//! Which replica may write: the holder of one Lease.
//!
//! The Lease only reduces noise; safety never depends on it (two leaders still cannot lend one
//! address twice, the API server sees to that). So it is short: a killed leader is replaced within
//! five seconds. A leader that could not renew in time stops being one a second before anybody
//! else may take the Lease, and goes on as a standby in the same process.
//!
//! Nobody compares clocks: a Lease has run out when it has not changed for its duration, as
//! measured by the one who looks at it.

mod election;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use self::election::{Election, Step};
use crate::clock;
use crate::shutdown::Shutdown;
use crate::trouble::{Reason, Trouble};

/// The Lease must have been unchanged for this long before another replica takes it.
pub const DURATION: Duration = Duration::from_secs(4);

/// How often the leader renews.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often a standby looks: what it sees is at most this old when the duration begins to count.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// After this time without renewal the leader stops: a second before the Lease can be taken, which
/// is time enough for requests under way to come to an end.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// One time of being leader, from taking the Lease to losing it.
#[derive(Clone, Debug)]
pub struct Term {
    /// Until when it is certain, in milliseconds of `clock::boottime`.
    until: Arc<AtomicU64>,
}

/// Whether this replica is the leader now, for whoever depends on it.
pub type Leadership = watch::Receiver<Option<Term>>;

/// Takes and renews the Lease.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    election: Election,
    term: watch::Sender<Option<Term>>,
    last_trouble: Option<Trouble>,
}

/// A leadership that needs no Lease: for a single replica, and for tests.
pub fn always() -> Leadership {
    let until = Arc::new(AtomicU64::new(u64::MAX));
    let (_sender, receiver) = watch::channel(Some(Term { until }));
    receiver
}

// === impl Term ===

impl Term {
    /// Whether it is still certain that nobody else leads. To be asked right before a write.
    pub fn is_certain(&self) -> bool {
        millis(clock::boottime()) < self.until.load(Ordering::Relaxed)
    }

    fn extend(&self, until: Duration) {
        self.until.store(millis(until), Ordering::Relaxed);
    }
}

// === impl Elector ===

impl Elector {
    /// A standby that has not looked yet. The identity must be this process's alone.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> (Self, Leadership) {
        let (term, leadership) = watch::channel(None);
        let elector = Self {
            api: Api::namespaced(client, namespace),
            election: Election::new(name.to_owned(), identity),
            term,
            last_trouble: None,
        };
        (elector, leadership)
    }

    /// Takes and renews the Lease until the end is requested, then hands it over. Whoever writes
    /// must have stopped before that. Not cancel safe: dropped, the Lease runs out by itself.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            let wait = self.turn().await;
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.release().await;
    }

    /// One look or renewal; answers with the time until the next.
    async fn turn(&mut self) -> Duration {
        let now = clock::boottime();
        // A leader's request must end in time for it to step down; a standby's may take as long.
        let patience = self
            .election
            .certain_until()
            .map_or(GIVE_UP_AFTER, |until| until.saturating_sub(now));
        let mut asked = Duration::ZERO;
        match timeout(patience, self.request()).await {
            Ok(Ok(())) => self.last_trouble = None,
            Ok(Err(trouble)) => {
                // Longer than this would cost a leader its Lease for the API server's good.
                asked = trouble.wait.unwrap_or_default().min(RENEW_EVERY);
                self.report(trouble);
            }
            Err(_) => self.report(Trouble::timed_out()),
        }
        let now = clock::boottime();
        self.election.expire(now);
        self.publish();
        self.election.next_look(now).max(asked)
    }

    async fn request(&mut self) -> Result<(), Trouble> {
        if !self.election.may_renew_unseen() {
            let name = self.election.name();
            let seen = self
                .api
                .get_opt(name)
                .await
                .map_err(|error| Trouble::of(&error))?;
            // The time of the answer: it may have been written while the question was under way.
            self.election.see(seen, clock::boottime());
        }
        // The time before the write: it counts from when it may have been written.
        let now = clock::boottime();
        let written = match self.election.step(now) {
            Step::Wait => return Ok(()),
            Step::Create(lease) => self.api.create(&PostParams::default(), &lease).await,
            Step::Replace(lease) => {
                self.api
                    .replace(self.election.name(), &PostParams::default(), &lease)
                    .await
            }
        };
        match written {
            Ok(lease) => {
                self.election.written(lease, now);
                Ok(())
            }
            Err(error) => {
                let trouble = Trouble::of(&error);
                // Whatever became of the write, the next look will tell.
                self.election.forget();
                match trouble.reason {
                    Reason::Conflict => Ok(()),
                    _ => Err(trouble),
                }
            }
        }
    }

    fn publish(&mut self) {
        let until = self.election.certain_until();
        self.term.send_if_modified(|term| match (&term, until) {
            (Some(term), Some(until)) => {
                term.extend(until);
                false
            }
            (None, Some(until)) => {
                info!(lease = self.election.name(), "Leading");
                *term = Some(Term {
                    until: Arc::new(AtomicU64::new(millis(until))),
                });
                true
            }
            (Some(_), None) => {
                warn!(lease = self.election.name(), "Lease lost, standing by");
                *term = None;
                true
            }
            (None, None) => false,
        });
    }

    fn report(&mut self, trouble: Trouble) {
        if self.last_trouble.as_ref() != Some(&trouble) {
            warn!(
                lease = self.election.name(),
                reason = trouble.reason.as_str(),
                error = trouble.sentence,
                "Lease cannot be read or renewed"
            );
            self.last_trouble = Some(trouble);
        }
    }

    /// Gives the Lease back, so that the other replica need not wait for it to run out.
    async fn release(mut self) {
        self.term.send_replace(None);
        let Some(lease) = self.election.released() else {
            return;
        };
        let name = self.election.name();
        match timeout(
            RENEW_EVERY,
            self.api.replace(name, &PostParams::default(), &lease),
        )
        .await
        {
            Ok(Ok(_)) => info!(lease = name, "Lease released"),
            Ok(Err(error)) => self.report(Trouble::of(&error)),
            Err(_) => self.report(Trouble::timed_out()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod scripted;
