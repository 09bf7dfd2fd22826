//! Histories: what people, machines, the network and time do to controllers, step by step.
//!
//! A step means something in every state, since it names things by their place among those that
//! there are; so a history that fails can be made shorter and still is one.

mod step;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::allocator::{Call, Options, Outcome};
use ferrolb_core::claim::Claim;
use ferrolb_core::pool::PoolName;
use ferrolb_core::request::{Eligibility, ServiceRequest};
use ferrolb_core::service::ServiceKey;

use crate::api::Api;
use crate::objects::ip;
use crate::oracle::subnets::subnet_of;
use crate::world::{Kind, Replica, World};
pub(crate) use step::{Calling, Deed, Fate, Meddling, StatusEdit, Step, Vandalism, Watching};

/// A world with writes that may still land.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) world: World,
    lost: VecDeque<Call>,
    next: Options,
}

/// Of two namespaces.
pub(crate) const SERVICES: [(&str, &str); 6] = [
    ("default", "s0"),
    ("default", "s1"),
    ("default", "s2"),
    ("default", "s3"),
    ("other", "s4"),
    ("other", "s5"),
];

// === impl History ===

impl History {
    pub(crate) fn new(is_vandalized: bool) -> Self {
        let mut world = World::new();
        world.is_vandalized = is_vandalized;
        Self::of(world)
    }

    /// One that begins with a world as it is.
    pub(crate) fn of(world: World) -> Self {
        let lost = VecDeque::new();
        let next = world.options;
        Self { world, lost, next }
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Do(deed) => self.act(*deed),
            Step::Meddle(meddling) => self.meddle(meddling),
            Step::Wait(millis) => self.world.advance(Duration::from_millis(millis)),
            Step::WaitForTimeout => self.wait_for_timeout(),
            Step::Watch(replica, watching) => self.watch(replica, watching),
            Step::Call(replica, calling) => self.call(replica, calling),
            Step::LandLate(number) => {
                let number = number % self.lost.len().max(1);
                if let Some(call) = self.lost.remove(number) {
                    self.world.land(&call);
                }
            }
            Step::SetFinalizer(service_finalizer) => self.next = Options { service_finalizer },
            Step::Crash => {
                self.retire(0);
                self.world.options = self.next;
                let lags = [0; Kind::ALL.len()];
                let replica = Replica::promote(&self.world.api, lags, self.next, self.world.now);
                self.world.replicas = vec![replica];
            }
            Step::TakeOver(lags) => {
                self.retire(1);
                self.world.depose();
                self.world.options = self.next;
                let replica = Replica::promote(&self.world.api, lags, self.next, self.world.now);
                self.world.replicas.push(replica);
            }
            Step::Retire => self.retire(1),
        }
    }

    /// The last writes land, whoever made them; one controller remains and sees everything.
    pub(crate) fn settle(&mut self) {
        self.retire(1);
        while let Some(call) = self.lost.pop_front() {
            self.world.land(&call);
        }
        self.world.run(Duration::from_secs(7200));
    }

    /// All comes to rest, and must be well then.
    pub(crate) fn end(mut self) {
        self.settle();
        self.world.assert_at_rest();
    }

    /// Only the youngest controllers stay; what the others were about to write may land yet.
    fn retire(&mut self, stay: usize) {
        let old = self.world.replicas.len() - stay.min(self.world.replicas.len());
        for replica in self.world.replicas.drain(..old) {
            self.lost.extend(replica.calls.into_iter().map(|(_, call)| call));
        }
    }

    fn put_service(&mut self, number: usize, request: ServiceRequest) {
        let key = service_key(number);
        let api = &mut self.world.api;
        let is_headless = |request: &ServiceRequest| request.cluster_ips.is_empty();
        let before = api.services.get(&key).map(|service| &service.request);
        if before.is_some_and(|before| is_headless(before) != is_headless(&request)) {
            // That cannot be edited: people delete it and create another.
            api.delete_service(&key);
        }
        if api.terminating.contains(&key) {
            // Nobody comes back from being deleted.
            return;
        }
        match api.services.get(&key).map(|service| service.request.eligibility) {
            // Nobody comes back from being deleted.
            Some(Eligibility::Deleting) => {}
            Some(before) => {
                // The class cannot be changed but by way of another type.
                let is_class = |eligibility| eligibility == Eligibility::ForeignClass;
                if is_class(before) != is_class(request.eligibility) {
                    api.edit_service(&key, |service| {
                        service.request.eligibility = Eligibility::NotLoadBalancer;
                    });
                }
                api.edit_service(&key, |service| service.request = request);
            }
            None => {
                let mut service = crate::objects::mk_service(&key.name);
                service.key = key;
                service.request = request;
                api.create_service(service);
            }
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::PutService(number, request) => self.put_service(number, request),
            Deed::DeleteService(number) => {
                if let Some(key) = self.service(number) {
                    self.world.api.delete_service(&key);
                }
            }
            Deed::SetNode(address) => {
                self.world
                    .api
                    .set_node("n1", address.map(|address| [address].into()));
            }
            Deed::LabelNamespace(name, labels) => self.world.api.label_namespace(name, labels),
            Deed::PutPool(pool) => self.world.api.put_pool(*pool),
            Deed::DeletePool(number) => {
                let names: Vec<PoolName> = self.world.api.pools.keys().cloned().collect();
                if let Some(name) = pick(&names, number) {
                    self.world.api.delete_pool(name.as_str());
                }
            }
            Deed::Reserve(_) | Deed::Unreserve(_) | Deed::DeleteReservation(_) => {
                self.act_on_reservation(deed);
            }
        }
    }

    fn act_on_reservation(&mut self, deed: Deed) {
        let api = &mut self.world.api;
        let find = |api: &Api, number, is_fit: &dyn Fn(&Claim) -> bool| {
            let claims = api.claims.values().filter(|claim| is_fit(claim));
            let addresses: Vec<IpAddr> = claims.map(|claim| claim.spec.address).collect();
            pick(&addresses, number).copied()
        };
        match deed {
            Deed::Reserve(spec) if api.claims.contains_key(&spec.address) => {
                api.edit_claim(spec.address, |claim| {
                    claim.spec.reserved = true;
                    claim.spec.reserved_for = spec.reserved_for;
                });
            }
            Deed::Reserve(spec) => api.create_claim(spec),
            Deed::Unreserve(number) => {
                if let Some(address) = find(api, number, &|claim| claim.spec.reserved) {
                    api.edit_claim(address, |claim| claim.spec.reserved = false);
                }
            }
            Deed::DeleteReservation(number) => {
                if let Some(address) = find(api, number, &Claim::is_idle_reservation) {
                    api.remove_claim(address);
                }
            }
            Deed::PutService(..)
            | Deed::DeleteService(_)
            | Deed::LabelNamespace(..)
            | Deed::SetNode(_)
            | Deed::PutPool(_)
            | Deed::DeletePool(_) => {}
        }
    }

    fn meddle(&mut self, meddling: Meddling) {
        let addresses: Vec<IpAddr> = self.world.api.claims.keys().copied().collect();
        let now = self.world.now.wall;
        let service = |number| self.service(number);
        match meddling {
            Meddling::SetOwner(number, has_owner) => {
                if let Some(address) = pick(&addresses, number) {
                    let api = &mut self.world.api;
                    api.edit_claim(*address, |claim| {
                        claim.has_owner = has_owner;
                        if has_owner {
                            claim.subnet = Some(subnet_of(*address));
                        }
                    });
                }
            }
            Meddling::EditClaim(number, vandalism) => {
                if let Some(address) = pick(&addresses, number) {
                    vandalism.act(&mut self.world.api, *address, now);
                }
            }
            Meddling::EditStatus(number, edit) => {
                if let Some(key) = service(number) {
                    edit.act(&mut self.world.api, &key);
                }
            }
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

    fn watch(&mut self, replica: usize, watching: Watching) {
        let index = replica % self.world.replicas.len();
        let replica = &mut self.world.replicas[index];
        if replica.is_deposed {
            return;
        }
        match watching {
            Watching::Show(kind) => drop(self.world.deliver_one(index, kind)),
            Watching::ShowAgain(kind, events) => replica.rewind(&self.world.api, kind, events),
            Watching::Relist => replica.relist(&self.world.api, self.world.now),
        }
    }

    fn call(&mut self, replica: usize, calling: Calling) {
        let replica = replica % self.world.replicas.len();
        match calling {
            Calling::Work(steps) => {
                for _ in 0..steps {
                    self.world.step(replica);
                }
            }
            Calling::Begin => drop(self.world.begin_call(replica)),
            Calling::Finish(call) => {
                let calls = self.world.replicas[replica].calls.len();
                if calls > 0 {
                    self.world.finish_call(replica, call % calls);
                }
            }
            Calling::Lose(call, fate) => self.end_call(replica, call, |this, call| {
                match fate {
                    Fate::Landed => drop(this.world.land(&call)),
                    Fate::Late => this.lost.push_back(call),
                    Fate::Never => {}
                }
                Outcome::Unknown
            }),
            Calling::Reject(call) => {
                self.end_call(replica, call, |_, _| Outcome::Rejected("denied".to_owned()));
            }
            Calling::Throttle(call) => {
                self.end_call(replica, call, |_, _| {
                    Outcome::Throttled(Some(Duration::from_secs(2)))
                });
            }
        }
    }

    fn end_call(&mut self, replica: usize, call: usize, end: impl FnOnce(&mut Self, Call) -> Outcome) {
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

pub(crate) fn service_key(number: usize) -> ServiceKey {
    let (namespace, name) = SERVICES[number % SERVICES.len()];
    ServiceKey::new(namespace, name)
}

fn pick<T>(items: &[T], number: usize) -> Option<&T> {
    items.get(number % items.len().max(1))
}
