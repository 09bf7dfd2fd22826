//! The one task that owns the allocator: feeds it with what the watches show, makes the calls
//! that it asks for, and tells it what became of them.
//!
//! While this replica does not lead there is no allocator, only the objects, kept warm. A term
//! begins with a new allocator that is told everything; its end drops the allocator and every
//! call under way. Nothing is lost with them, since everything that matters is in the objects.

mod classes;
mod state;
mod telling;
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::allocator::{Allocator, Call, CallId, Event, Options, Outcome};
use ferrolb_core::time::{Now, Time, Timestamp};
use ferrolb_runtime::clock;
use ferrolb_runtime::index::Change;
use ferrolb_runtime::latest;
use ferrolb_runtime::lease::{Leadership, Term};
use ferrolb_runtime::shutdown::Shutdown;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use self::classes::Mentioned;
use self::telling::tell;
pub use self::world::Input;
use self::world::World;
use crate::executor::Executor;
use crate::metrics::{Metrics, call_word};
use crate::notices::Notices;

/// Calls under way at a time: enough to keep a busy API server busy, and few enough for it to
/// treat us as one client among many.
const CALLS_AT_ONCE: usize = 16;

/// Changes that wait for this task. A watch that finds it full waits, and the API server keeps
/// the rest.
pub const INBOX: usize = 64;

/// Changes that are taken in before the next call is made.
const BATCH: usize = 64;

/// How old the gauges may be.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// When the Lease is in doubt, look again after this time.
const DOUBT: Duration = Duration::from_millis(100);

/// Calls under way may end within this time when the process is asked to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Somebody wants to see the state.
pub type Question = oneshot::Sender<Value>;

/// What the task is connected to.
pub struct Lending {
    /// What an administrator decides for all Services.
    pub options: Options,
    /// What the watches show.
    pub inbox: mpsc::Receiver<Input>,
    /// Questions of the admin server.
    pub questions: mpsc::Receiver<Question>,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Makes the calls.
    pub executor: Executor,
    /// Tells people.
    pub notices: Notices,
    /// Counts.
    pub metrics: Metrics,
}

/// The task at work.
struct Lender {
    options: Options,
    world: World,
    reign: Option<Reign>,
    executor: Executor,
    notices: Notices,
    metrics: Metrics,
    mentioned: Mentioned,
    gauges_due: Option<Duration>,
}

/// A term, and what lives only as long as it.
struct Reign {
    term: Term,
    allocator: Allocator,
    is_synced: bool,
    calls: JoinSet<(CallId, Outcome)>,
    under_way: BTreeMap<CallId, &'static str>,
}

// === impl Lending ===

impl Lending {
    /// Works until asked to end, or until the watches have ended. What is under way then has a
    /// moment to come to an end. Dropping it cancels the calls under way; their outcome is then
    /// unknown, as after a crash.
    pub async fn run(self, stop: Shutdown) {
        let Self {
            options,
            mut inbox,
            mut questions,
            mut leadership,
            executor,
            notices,
            metrics,
        } = self;
        let mut lender = Lender {
            options,
            world: World::default(),
            reign: None,
            executor,
            notices,
            metrics,
            mentioned: Mentioned::default(),
            gauges_due: None,
        };
        let mut batch = Vec::with_capacity(BATCH);
        lender.follow(leadership.borrow_and_update().clone());
        loop {
            let wake = lender.pump();
            tokio::select! {
                // The end and the Lease first: they forbid everything else. Then what has ended,
                // since it makes room, before what is new.
                biased;
                () = stop.requested() => break,
                () = latest::changed(&mut leadership) => lender.follow(leadership.borrow_and_update().clone()),
                Some((id, outcome)) = lender.next_outcome() => lender.settle(id, outcome),
                count = inbox.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|input| lender.absorb(input));
                }
                Some(question) = questions.recv() => {
                    // Who asked may have gone.
                    let _nobody_waits = question.send(lender.state());
                }
                () = tokio::time::sleep(wake) => {}
            }
        }
        lender.drain().await;
    }
}

// === impl Lender ===

impl Lender {
    fn follow(&mut self, term: Option<Term>) {
        self.metrics.leading(term.is_some());
        // Dropping the old reign aborts its calls.
        self.reign = term.map(|term| {
            let mut reign = Reign::new(term, self.options);
            let now = now();
            for event in self.world.everything() {
                reign.allocator.apply(event, now);
            }
            reign
        });
        self.sync();
    }

    fn absorb(&mut self, input: Input) {
        let is_list_of_claims = matches!(input, Input::Claim(Change::Reset { .. }));
        let events = self.world.absorb(input);
        for event in &events {
            match event {
                Event::PoolApplied(pool) => self.metrics.pool(pool),
                Event::PoolDeleted(name) => self.metrics.no_pool(name),
                Event::ServiceApplied(service) => {
                    if let Some(class) = self.world.foreign_class(service) {
                        self.mentioned.note(&service.key, class);
                    }
                }
                Event::ServiceDeleted(_)
                | Event::NamespaceApplied(..)
                | Event::NamespaceDeleted(_)
                | Event::NodeApplied(..)
                | Event::NodeDeleted(_)
                | Event::ClaimApplied(_)
                | Event::ClaimDeleted { .. }
                | Event::Synced => {}
            }
        }
        if let Some(reign) = &mut self.reign {
            let now = now();
            for event in events {
                reign.allocator.apply(event, now);
            }
            if is_list_of_claims {
                reign.miss_claims(&self.world, now);
            }
        }
        self.sync();
    }

    /// Nothing is lent before every list is complete.
    fn sync(&mut self) {
        if let Some(reign) = &mut self.reign
            && !reign.is_synced
            && self.world.is_listed()
        {
            reign.is_synced = true;
            reign.allocator.apply(Event::Synced, now());
            info!(
                services = self.world.services.len(),
                namespaces = self.world.namespaces.len(),
                pools = self.world.pools.len(),
                claims = self.world.claims.len(),
                "Lending addresses"
            );
        }
    }

    /// Makes every call that can be made now; answers with how long there is nothing to do.
    fn pump(&mut self) -> Duration {
        let now = now();
        let idle = self.gauges(now.time.since_origin());
        let Some(reign) = &mut self.reign else {
            return idle;
        };
        let mut wake = idle;
        while reign.calls.len() < CALLS_AT_ONCE {
            if !reign.term.is_certain() {
                wake = wake.min(DOUBT);
                break;
            }
            let Some((id, call)) = reign.allocator.poll_call(now) else {
                break;
            };
            reign.start(id, call, &self.executor, &self.metrics);
        }
        if let Some(at) = reign.allocator.poll_timeout()
            && reign.calls.len() < CALLS_AT_ONCE
        {
            wake = wake.min(at - now.time);
        }
        while let Some(notice) = reign.allocator.poll_notice() {
            tell(&self.world, &self.notices, notice);
        }
        wake
    }

    async fn next_outcome(&mut self) -> Option<(CallId, Outcome)> {
        let reign = self.reign.as_mut()?;
        match reign.calls.join_next().await? {
            Ok(ended) => Some(ended),
            // Nobody aborts a single call, so it has panicked.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }

    fn settle(&mut self, id: CallId, outcome: Outcome) {
        if let Some(reign) = &mut self.reign {
            reign.under_way.remove(&id);
            reign.allocator.handle_outcome(id, outcome, now());
        }
    }

    /// Brings the gauges up to date if they are old; answers with how long they may stay.
    fn gauges(&mut self, now: Duration) -> Duration {
        let due = *self.gauges_due.get_or_insert(now);
        if now < due {
            return due - now;
        }
        self.gauges_due = Some(now + GAUGES_EVERY);
        if let Some(reign) = &self.reign {
            self.metrics.sizes(&reign.allocator.sizes());
            self.metrics.refusals(&reign.allocator.refusals());
        }
        GAUGES_EVERY
    }

    fn state(&self) -> Value {
        let reign = self.reign.as_ref();
        let calls: Vec<_> = reign
            .into_iter()
            .flat_map(|reign| reign.under_way.values().copied())
            .collect();
        let allocator = reign.map(|reign| &reign.allocator);
        state::page(&self.world, self.executor.classes(), allocator, &calls)
    }

    async fn drain(mut self) {
        let Some(reign) = &mut self.reign else { return };
        let all = async { while reign.calls.join_next().await.is_some() {} };
        if timeout(DRAIN, all).await.is_err() {
            warn!(calls = reign.under_way.len(), "Calls under way were canceled");
        }
    }
}

// === impl Reign ===

impl Reign {
    fn new(term: Term, options: Options) -> Self {
        Self {
            term,
            allocator: Allocator::with(options),
            is_synced: false,
            calls: JoinSet::new(),
            under_way: BTreeMap::new(),
        }
    }

    /// Tells the allocator of claims that it made, that no watch has shown yet, and that a new list
    /// lacks: they were deleted while the watch was cut.
    fn miss_claims(&mut self, world: &World, now: Now) {
        let is_missed = |address: &IpAddr| !world.has_claim(*address);
        let missed: Vec<IpAddr> = self.allocator.claims().filter(is_missed).collect();
        for address in missed {
            let deleted = Event::ClaimDeleted { address, uid: None };
            self.allocator.apply(deleted, now);
        }
    }

    fn start(&mut self, id: CallId, call: Call, executor: &Executor, metrics: &Metrics) {
        let word = call_word(&call);
        let executor = executor.clone();
        let metrics = metrics.clone();
        self.under_way.insert(id, word);
        self.calls.spawn(async move {
            let began = clock::boottime();
            let outcome = executor.call(call).await;
            let took = clock::boottime().saturating_sub(began);
            metrics.called(word, &outcome, took.as_secs_f64());
            (id, outcome)
        });
    }
}

fn now() -> Now {
    Now {
        time: Time::from_origin(clock::boottime()),
        wall: Timestamp(i64::try_from(clock::wall().as_secs()).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod scripted;
