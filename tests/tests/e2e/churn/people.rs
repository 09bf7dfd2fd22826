//! What people do to Services: create, edit and delete them, at random.
//!
//! Each person has Services of its own, so that no two write the same one. What the API server refuses
//! because of what somebody else has done meanwhile is no change, and no error.

use std::mem;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::pools::{self, POOLS};
use crate::tenant::Tenant;

/// Keys under which Services share.
const KEYS: [&str; 3] = ["red", "green", "blue"];

/// How much is done to Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// They come and go, and ask for nothing.
    Plain,
    /// They ask for everything that can be asked for, and are edited.
    Colorful,
}

/// One person and its Services.
pub(super) struct Person {
    tenant: Tenant,
    random: StdRng,
    life: Life,
    number: usize,
    services: Vec<Mine>,
    created: usize,
    was_refused: bool,
}

/// A Service, and what it was made to say.
#[derive(Clone, Debug)]
struct Mine {
    state: State,
    says: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    LoadBalancer,
    ClusterIp,
}

// === impl Person ===

impl Person {
    pub(super) fn new(tenant: Tenant, random: StdRng, life: Life, number: usize, services: usize) -> Self {
        Self {
            tenant,
            random,
            life,
            number,
            services: vec![
                Mine {
                    state: State::Absent,
                    says: json!({})
                };
                services
            ],
            created: 0,
            was_refused: false,
        }
    }

    /// Makes one change; says whether the API server took it.
    pub(super) async fn change(&mut self) -> Result<bool> {
        let count = self.services.len();
        // All of them once, then any of them. One that was deleted may not be gone yet, while nobody leads: after
        // that was met, one that is there.
        let place = match self.created < count {
            true => self.created,
            false => self.random.random_range(0..count),
        };
        let is_there = |mine: &Mine| mine.state != State::Absent;
        let there = self.services.iter().filter(|mine| is_there(mine)).count();
        let place = match mem::take(&mut self.was_refused) {
            true => (place..place + count)
                .map(|place| place % count)
                .find(|place| is_there(&self.services[*place]))
                .unwrap_or(place),
            false => place,
        };
        let name = format!("s{}-{place}", self.number);
        let Mine { state, mut says } = self.services[place].clone();
        let (next, done) = match state {
            State::Absent => {
                says = self.wish();
                let done = self.tenant.service(&name, says.clone()).await.map(|_| ());
                (State::LoadBalancer, done)
            }
            _ if self.life == Life::Plain || there > count / 2 && self.random.random_ratio(2, 5) => {
                (State::Absent, self.tenant.delete(&name).await)
            }
            State::LoadBalancer if self.random.random_ratio(1, 6) => {
                // The API server wants gone what only means something with the other type.
                let change = json!({ "spec": {
                    "type": "ClusterIP", "allocateLoadBalancerNodePorts": null, "loadBalancerClass": null,
                    "externalTrafficPolicy": null,
                }});
                patch(&mut says, &change);
                (State::ClusterIp, self.edit(&name, change).await)
            }
            State::LoadBalancer if self.random.random_ratio(1, 40) => (state, self.wipe(&name).await),
            State::LoadBalancer => {
                let change = self.something();
                let before = says.clone();
                patch(&mut says, &change);
                if says == before {
                    return Ok(false);
                }
                (state, self.edit(&name, change).await)
            }
            State::ClusterIp => {
                let class = self.class();
                let change = json!({ "spec": {
                    "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "loadBalancerClass": class,
                }});
                patch(&mut says, &change);
                (State::LoadBalancer, self.edit(&name, change).await)
            }
        };
        let is_done = is_taken(done)?;
        self.was_refused = !is_done;
        if is_done {
            self.services[place] = Mine { state: next, says };
            self.created += usize::from(self.created < self.services.len());
        }
        Ok(is_done)
    }

    async fn edit(&self, name: &str, change: Value) -> Result<()> {
        self.tenant.change(name, change).await.map(|_| ())
    }

    /// Takes the status or the condition off a Service, as a stranger might.
    async fn wipe(&mut self, name: &str) -> Result<()> {
        let status = match self.random.random_range(0..2) {
            0 => json!({ "loadBalancer": null }),
            _ => json!({ "conditions": null }),
        };
        self.tenant.change_status(name, status).await.map(|_| ())
    }

    /// What a new Service asks for.
    fn wish(&mut self) -> Value {
        let mut wish = json!({});
        if self.life == Life::Plain {
            return wish;
        }
        let class = self.class();
        patch(&mut wish, &json!({ "spec": { "loadBalancerClass": class } }));
        for _ in 0..self.random.random_range(0..4) {
            let more = self.something();
            patch(&mut wish, &more);
        }
        wish
    }

    fn class(&mut self) -> Value {
        match self.random.random_range(0..10) {
            0 => json!("example.com/other"),
            1..3 => json!("ferrolb.io/layer2"),
            _ => Value::Null,
        }
    }

    /// One thing that a Service may say, another one or not at all.
    fn something(&mut self) -> Value {
        let random = &mut self.random;
        let is_off = random.random_ratio(1, 3);
        let number = random.random_range(0..POOLS);
        let annotation =
            |key: &str, value: Option<String>| json!({ "metadata": { "annotations": { key: value } } });
        match random.random_range(0..8) {
            0 => annotation("ferrolb.io/address-pool", (!is_off).then(|| pools::name(number))),
            1 => {
                let address = pools::some_address(random);
                annotation(
                    "ferrolb.io/load-balancer-ips",
                    (!is_off).then(|| address.to_string()),
                )
            }
            2 | 3 => {
                let key = KEYS[random.random_range(0..KEYS.len())];
                annotation("ferrolb.io/sharing-key", (!is_off).then(|| key.to_owned()))
            }
            4 => {
                let protocol = ["TCP", "UDP"][random.random_range(0..2)];
                let port = random.random_range(80..84);
                json!({ "spec": { "ports": [{ "protocol": protocol, "port": port }] } })
            }
            5 => {
                let policy = if is_off { "Local" } else { "Cluster" };
                let app = ["web", "mail"][random.random_range(0..2)];
                json!({ "spec": { "externalTrafficPolicy": policy, "selector": { "app": app } } })
            }
            6 => {
                let team = ["a", "b"][random.random_range(0..2)];
                json!({ "metadata": { "labels": { "team": (!is_off).then_some(team) } } })
            }
            _ => {
                let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
                json!({ "spec": { "ipFamilyPolicy": policies[random.random_range(0..policies.len())] } })
            }
        }
    }
}

/// Does what the API server does with a merge patch: a null takes away.
fn patch(base: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *base = change.clone();
        return;
    };
    if !base.is_object() {
        *base = json!({});
    }
    for (key, value) in change {
        match value {
            Value::Null => {
                base.as_object_mut().unwrap().remove(key);
            }
            value => patch(&mut base[key], value),
        }
    }
}

/// Whether a change was taken; an error unless it was refused for what somebody else has done.
pub(super) fn is_taken(done: Result<()>) -> Result<bool> {
    let error = match done {
        Ok(()) => return Ok(true),
        Err(error) => error,
    };
    match error.downcast_ref::<kube::Error>() {
        // Not gone yet, gone already, or written by two at once.
        Some(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
        _ => Err(error),
    }
}
