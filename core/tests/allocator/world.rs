//! Replicas of the controller against one API server, in virtual time.
//!
//! Each kind of object has a watch of its own, and each watch may lag behind the others.

mod replica;

use std::time::Duration;

use ferrolb_core::allocator::{Call, CallId, Event, Options, Outcome};
use ferrolb_core::time::{Now, Time, Timestamp};

use crate::api::Api;
use crate::objects::{key, mk_pool, mk_service};
use crate::oracle;
pub(crate) use replica::Replica;

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) now: Now,
    pub(crate) replicas: Vec<Replica>,
    /// With which every controller is started from now on.
    pub(crate) options: Options,
    /// Whether strangers write claims and status: then a write may be wrong by the time it lands.
    pub(crate) is_vandalized: bool,
}

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Namespace,
    Node,
    Pool,
    Claim,
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Service,
        Self::Namespace,
        Self::Node,
        Self::Pool,
        Self::Claim,
    ];

    fn of(event: &Event) -> Self {
        match event {
            Event::ServiceApplied(_) | Event::ServiceDeleted(_) => Self::Service,
            Event::NamespaceApplied(..) | Event::NamespaceDeleted(_) => Self::Namespace,
            Event::NodeApplied(..) | Event::NodeDeleted(_) => Self::Node,
            Event::PoolApplied(_) | Event::PoolDeleted(_) => Self::Pool,
            Event::ClaimApplied(_) | Event::ClaimDeleted { .. } => Self::Claim,
            Event::Synced => unreachable!("no watch shows it"),
        }
    }
}

// === impl World ===

impl World {
    /// An empty cluster and one controller, synced.
    pub(crate) fn new() -> Self {
        Self::with(Api::default())
    }

    /// A cluster as it is, and one controller, synced.
    pub(crate) fn with(api: Api) -> Self {
        Self::start(api, Options::default())
    }

    /// An empty cluster and one controller with these options, synced.
    pub(crate) fn started_with(options: Options) -> Self {
        Self::start(Api::default(), options)
    }

    /// A cluster with a pool of these addresses and Services that take the first of them, and one
    /// controller, which has done its work.
    pub(crate) fn serving(addresses: &[&str], names: &[&str]) -> Self {
        let mut world = Self::new();
        world.api.put_pool(mk_pool("pool", addresses));
        for name in names {
            world.api.create_service(mk_service(name));
        }
        world.run(Duration::from_secs(5));
        world
    }

    fn start(api: Api, options: Options) -> Self {
        let now = Now {
            time: Time::ZERO,
            wall: Timestamp(1_000_000),
        };
        let replicas = vec![Replica::start(&api, options, now)];
        Self {
            api,
            now,
            replicas,
            options,
            is_vandalized: false,
        }
    }

    /// Kills every controller and starts one anew. What is under way is lost.
    pub(crate) fn restart(&mut self) {
        self.replicas = vec![Replica::start(&self.api, self.options, self.now)];
    }

    /// Restarts the controller with another option.
    pub(crate) fn restart_with(&mut self, service_finalizer: bool) {
        self.options = Options { service_finalizer };
        self.restart();
    }

    /// The leaders lead no more, and do not know it.
    pub(crate) fn depose(&mut self) {
        for replica in &mut self.replicas {
            replica.is_deposed = true;
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        let before = self.now.time.since_origin().as_secs();
        self.now.time = self.now.time + by;
        let passed = self.now.time.since_origin().as_secs() - before;
        self.now.wall.0 += i64::try_from(passed).expect("short");
    }

    /// Shows a replica the next change in the order in which they happened; false when it has
    /// seen all.
    pub(crate) fn deliver(&mut self, replica: usize) -> bool {
        let next = |kind: &Kind| self.replicas[replica].next_in(&self.api, *kind);
        let next = Kind::ALL.iter().filter_map(|kind| Some((next(kind)?, *kind)));
        match next.min_by_key(|(index, _)| *index) {
            Some((_, kind)) => self.deliver_one(replica, kind),
            None => false,
        }
    }

    /// How many changes a replica has not seen yet.
    pub(crate) fn unseen(&self, replica: usize) -> usize {
        self.replicas[replica].unseen(&self.api)
    }

    /// Shows a replica the next change of a kind of object; false when it has seen all.
    pub(crate) fn deliver_one(&mut self, replica: usize, kind: Kind) -> bool {
        let replica = &mut self.replicas[replica];
        let Some(index) = replica.next_in(&self.api, kind) else {
            return false;
        };
        replica.cursors[kind as usize] = index + 1;
        replica.show(self.api.log[index].clone(), self.now);
        true
    }

    /// Lets a replica begin its next call; false when it has none.
    ///
    /// A driver that sleeps until the timeout must not be woken at once, again and again.
    pub(crate) fn begin_call(&mut self, replica: usize) -> bool {
        let replica = &mut self.replicas[replica];
        let call = replica.allocator.poll_call(self.now);
        replica.drain_notices();
        match call {
            None => {
                let timeout = replica.allocator.poll_timeout();
                assert!(
                    timeout.is_none_or(|timeout| timeout > self.now.time),
                    "nothing is to be done now, and yet it wants to be polled at {timeout:?}"
                );
                let work = replica.allocator.work();
                assert!(replica.allocator.poll_call(self.now).is_none());
                assert_eq!(replica.allocator.work(), work, "it is busy with nothing");
                false
            }
            Some(call) => {
                replica.calls.push(call);
                true
            }
        }
    }

    /// Lets the API server do a call that is under way, and tells the replica.
    pub(crate) fn finish_call(&mut self, replica: usize, call: usize) {
        let (id, call) = self.replicas[replica].calls.remove(call);
        let outcome = self.land(&call);
        self.answer(replica, id, outcome);
    }

    /// Lets the API server do a call.
    pub(crate) fn land(&mut self, call: &Call) -> Outcome {
        let before = self.api.objects.clone();
        let outcome = self.api.perform(call);
        oracle::check_class(&before, call, &outcome);
        oracle::sharers::check_write(&before, call, &outcome);
        if !self.is_vandalized {
            oracle::check_always(&self.api);
            oracle::sharers::check_namespaces(&before, &self.api.log, call, &outcome);
            oracle::check_write(&before, call, &outcome);
        }
        outcome
    }

    pub(crate) fn answer(&mut self, replica: usize, id: CallId, outcome: Outcome) {
        let replica = &mut self.replicas[replica];
        replica.allocator.handle_outcome(id, outcome, self.now);
        replica.drain_notices();
    }

    /// One step of a replica that works well; false when there is nothing to do now.
    pub(crate) fn step(&mut self, replica: usize) -> bool {
        if self.deliver(replica) {
            return true;
        }
        if !self.replicas[replica].calls.is_empty() {
            self.finish_call(replica, 0);
            return true;
        }
        self.begin_call(replica)
    }

    /// Everything that can be done now, without time passing.
    pub(crate) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 200_000, "the controller never comes to rest");
            let steps: Vec<bool> = (0..self.replicas.len()).map(|index| self.step(index)).collect();
            if !steps.contains(&true) {
                return;
            }
        }
    }

    /// Everything that happens within a time.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        loop {
            self.settle();
            let timeouts = self
                .replicas
                .iter()
                .filter_map(|replica| replica.allocator.poll_timeout());
            match timeouts.min() {
                Some(next) if next <= end => self.advance(next - self.now.time),
                Some(_) | None => break,
            }
        }
        self.advance(end - self.now.time);
        self.settle();
    }

    /// What the controller does from here on is nothing: also after a restart.
    pub(crate) fn assert_at_rest(&mut self) {
        oracle::check_at_rest(&self.api, self.now.wall);
        oracle::check_finalizers(&self.api, self.options, self.is_vandalized);
        let writes = self.api.writes.len();
        self.run(Duration::from_secs(600));
        assert_eq!(
            self.api.writes[writes..],
            [] as [String; 0],
            "writes in steady state"
        );
        self.restart();
        self.run(Duration::from_secs(600));
        assert_eq!(
            self.api.writes[writes..],
            [] as [String; 0],
            "writes after a restart"
        );
    }

    pub(crate) fn shown(&self, name: &str) -> Vec<String> {
        self.api.shown(&key(name))
    }

    pub(crate) fn reason(&self, name: &str) -> String {
        let condition = self.api.condition(&key(name));
        condition.map(|(_, reason)| reason).unwrap_or_default()
    }

    pub(crate) fn message(&self, name: &str) -> String {
        let service = &self.api.services[&key(name)];
        let condition = service.status.condition.as_ref();
        condition
            .map(|condition| condition.message.clone())
            .unwrap_or_default()
    }
}
