//! Histories: what people, machines, the network and time do to controllers, step by step.
//!
//! A step means something in every state, since it names things by their place among those that
//! there are; so a history that fails can be made shorter and still is one.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::allocator::{Call, Outcome};
use ferrolb_core::claim::{Claim, ClaimState};
use ferrolb_core::pool::{Pool, PoolName};
use ferrolb_core::request::{Eligibility, Ingress, ServiceRequest};
use ferrolb_core::service::ServiceKey;
use ferrolb_core::time::Timestamp;

use crate::objects::{ip, key};
use crate::world::{Kind, Replica, World};

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    // What people do.
    /// Creates the Service of a number, or changes what it asks for.
    PutService(usize, ServiceRequest),
    DeleteService(usize),
    /// Creates a pool, or changes it.
    PutPool(Pool),
    DeletePool(usize),
    // What speakers do.
    SetOwner(usize, bool),
    // What vandals do.
    EditClaim(usize, Vandalism),
    EditStatus(usize, Option<IpAddr>),
    // What time does.
    Wait(u64),
    WaitForTimeout,
    // What watches do.
    Show(usize, Kind),
    ShowAgain(usize, Kind, usize),
    Relist(usize),
    // What controllers and the network do.
    Work(usize, usize),
    Begin(usize),
    Finish(usize, usize),
    /// A call gets no answer.
    Lose(usize, usize, Fate),
    Reject(usize, usize),
    /// A write that got no answer lands at last.
    LandLate(usize),
    /// All controllers die.
    Crash,
    /// A standby leads, with caches that lag; the old leader does not know yet.
    TakeOver([usize; 3]),
    /// The old leader dies.
    Retire,
}

/// What becomes of a write that gets no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Landed,
    Late,
    Never,
}

/// What somebody who does not know better does to a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vandalism {
    Delete,
    ChangePool,
    ChangePorts,
    SetState(Option<ClaimState>),
    EmptyHolders,
    GiveTo(usize),
    SetLastHolder(usize),
    DateForward,
}

/// A world with writes that may still land.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) world: World,
    lost: VecDeque<Call>,
}

const SERVICES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

// === impl History ===

impl History {
    pub(crate) fn new(is_vandalized: bool) -> Self {
        let mut world = World::new();
        world.is_vandalized = is_vandalized;
        let lost = VecDeque::new();
        Self { world, lost }
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::PutService(number, request) => self.put_service(number, request),
            Step::DeleteService(number) => {
                if let Some(key) = self.service(number) {
                    self.world.api.delete_service(&key);
                }
            }
            Step::PutPool(pool) => self.world.api.put_pool(pool),
            Step::DeletePool(number) => {
                let names: Vec<PoolName> = self.world.api.pools.keys().cloned().collect();
                if let Some(name) = pick(&names, number) {
                    self.world.api.delete_pool(name.as_str());
                }
            }
            Step::SetOwner(..) | Step::EditClaim(..) | Step::EditStatus(..) => self.interfere(step),
            Step::Wait(millis) => self.world.advance(Duration::from_millis(millis)),
            Step::WaitForTimeout => self.wait_for_timeout(),
            Step::Show(..) | Step::ShowAgain(..) | Step::Relist(_) => self.watch(step),
            Step::Work(..) | Step::Begin(_) | Step::Finish(..) | Step::Lose(..) | Step::Reject(..) => {
                self.call(step);
            }
            Step::LandLate(number) => {
                if !self.lost.is_empty() {
                    let number = number % self.lost.len();
                    let call = self.lost.remove(number).expect("in range");
                    self.world.land(&call);
                }
            }
            Step::Crash => {
                self.retire(0);
                let (api, now) = (&self.world.api, self.world.now);
                self.world.replicas = vec![Replica::promote(api, [0; 3], now)];
            }
            Step::TakeOver(lags) => {
                self.retire(1);
                let replica = Replica::promote(&self.world.api, lags, self.world.now);
                self.world.replicas.push(replica);
            }
            Step::Retire => self.retire(1),
        }
    }

    /// The last writes land, whoever made them; one controller remains and sees everything; and
    /// then all must be well.
    pub(crate) fn end(mut self) {
        self.retire(1);
        while let Some(call) = self.lost.pop_front() {
            self.world.land(&call);
        }
        self.world.run(Duration::from_secs(7200));
        self.world.assert_at_rest();
    }

    /// Only the youngest controllers stay; what the others were about to write may land yet.
    fn retire(&mut self, stay: usize) {
        self.world.was_restarted |= self.world.replicas.len() > stay;
        let old = self.world.replicas.len() - stay.min(self.world.replicas.len());
        for replica in self.world.replicas.drain(..old) {
            self.lost.extend(replica.calls.into_iter().map(|(_, call)| call));
        }
    }

    fn put_service(&mut self, number: usize, request: ServiceRequest) {
        let key = key(SERVICES[number % SERVICES.len()]);
        let api = &mut self.world.api;
        match api.services.get(&key).map(|service| service.request.eligibility) {
            // Nobody comes back from being deleted.
            Some(Eligibility::Deleting) => {}
            Some(_) => api.edit_service(&key, |service| service.request = request),
            None => {
                let mut service = crate::objects::mk_service(&key.name);
                service.request = request;
                api.create_service(service);
            }
        }
    }

    fn interfere(&mut self, step: Step) {
        let addresses: Vec<IpAddr> = self.world.api.claims.keys().copied().collect();
        match step {
            Step::SetOwner(number, has_owner) => {
                if let Some(address) = pick(&addresses, number) {
                    self.world
                        .api
                        .edit_claim(*address, |claim| claim.has_owner = has_owner);
                }
            }
            Step::EditClaim(number, Vandalism::Delete) => {
                if let Some(address) = pick(&addresses, number) {
                    self.world.api.remove_claim(*address);
                }
            }
            Step::EditClaim(number, vandalism) => {
                if let Some(address) = pick(&addresses, number) {
                    let now = self.world.now.wall;
                    self.world
                        .api
                        .edit_claim(*address, |claim| vandalism.act(claim, now));
                }
            }
            Step::EditStatus(number, address) => {
                if let Some(key) = self.service(number) {
                    self.world.api.edit_service(&key, |service| {
                        service.status.ingress = address.into_iter().map(Ingress::vip).collect();
                        service.status.other_manager = Some("somebody".to_owned());
                    });
                }
            }
            _ => unreachable!("no interference: {step:?}"),
        }
    }

    fn wait_for_timeout(&mut self) {
        let timeouts = self.world.replicas.iter();
        let next = timeouts
            .filter_map(|replica| replica.allocator.poll_timeout())
            .min();
        if let Some(next) = next {
            self.world.advance(next - self.world.now.time);
        }
    }

    fn watch(&mut self, step: Step) {
        let count = self.world.replicas.len();
        match step {
            Step::Show(replica, kind) => drop(self.world.deliver_one(replica % count, kind)),
            Step::ShowAgain(replica, kind, events) => {
                self.world.replicas[replica % count].rewind(&self.world.api, kind, events);
            }
            Step::Relist(replica) => {
                self.world.replicas[replica % count].relist(&self.world.api, self.world.now);
            }
            _ => unreachable!("no watch: {step:?}"),
        }
    }

    fn call(&mut self, step: Step) {
        let count = self.world.replicas.len();
        match step {
            Step::Work(replica, steps) => {
                for _ in 0..steps {
                    self.world.step(replica % count);
                }
            }
            Step::Begin(replica) => drop(self.world.begin_call(replica % count)),
            Step::Finish(replica, call) => {
                let replica = replica % count;
                let calls = self.world.replicas[replica].calls.len();
                if calls > 0 {
                    self.world.finish_call(replica, call % calls);
                }
            }
            Step::Lose(replica, call, fate) => self.end_call(replica, call, |this, call| {
                match fate {
                    Fate::Landed => drop(this.world.land(&call)),
                    Fate::Late => this.lost.push_back(call),
                    Fate::Never => {}
                }
                Outcome::Unknown
            }),
            Step::Reject(replica, call) => {
                self.end_call(replica, call, |_, _| Outcome::Rejected("denied".to_owned()));
            }
            _ => unreachable!("no call: {step:?}"),
        }
    }

    fn end_call(&mut self, replica: usize, call: usize, end: impl FnOnce(&mut Self, Call) -> Outcome) {
        let replica = replica % self.world.replicas.len();
        let calls = &mut self.world.replicas[replica].calls;
        if calls.is_empty() {
            return;
        }
        let (id, call) = calls.remove(call % calls.len());
        let outcome = end(self, call);
        self.world.answer(replica, id, outcome);
    }

    fn service(&self, number: usize) -> Option<ServiceKey> {
        let keys: Vec<ServiceKey> = self.world.api.services.keys().cloned().collect();
        pick(&keys, number).cloned()
    }
}

// === impl Vandalism ===

impl Vandalism {
    fn act(self, claim: &mut Claim, now: Timestamp) {
        let spec = &mut claim.spec;
        match self {
            Self::Delete => unreachable!("no edit"),
            Self::ChangePool => spec.pool = Some("elsewhere".into()),
            Self::ChangePorts => {
                for holder in &mut spec.holders {
                    holder.ports.clear();
                }
            }
            Self::SetState(state) => spec.state = state,
            Self::EmptyHolders => spec.holders.clear(),
            Self::GiveTo(number) => {
                if let Some(holder) = spec.holders.first_mut() {
                    holder.service = key(SERVICES[number % SERVICES.len()]);
                }
            }
            Self::SetLastHolder(number) => {
                spec.last_holder = Some(key(SERVICES[number % SERVICES.len()]));
            }
            Self::DateForward => spec.state_since = Some(Timestamp(now.0 + 1_000_000)),
        }
    }
}

/// Something that a Service may ask for.
pub(crate) fn addresses() -> Vec<IpAddr> {
    [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.255",
        "fd00::",
        "fd00::2",
    ]
    .map(ip)
    .into()
}

fn pick<T>(items: &[T], number: usize) -> Option<&T> {
    items.get(number % items.len().max(1))
}
