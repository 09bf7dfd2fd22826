//! Changes of Services and claims, in the order in which they were made.

use std::collections::BTreeMap;
use std::fmt;

use ferrolb_crds::AddressClaim;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

/// Which watch something comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The watch of Services.
    Services,
    /// The watch of claims.
    Claims,
}

/// One change.
#[derive(Debug)]
pub enum Seen {
    /// A Service as it is now.
    Service(Box<Service>),
    /// A Service as it was when it went.
    ServiceGone(Box<Service>),
    /// A claim as it is now.
    Claim(Box<AddressClaim>),
    /// A claim as it was when it went.
    ClaimGone(Box<AddressClaim>),
}

/// Puts the changes of both watches into the order in which they were made.
#[derive(Debug, Default)]
pub struct Order {
    waiting: BTreeMap<u64, Seen>,
    /// How far each watch has told everything.
    told: BTreeMap<Source, u64>,
}

// === impl Seen ===

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) | Self::ServiceGone(service) => {
                let spec = service.spec.clone().unwrap_or_default();
                let status = service.status.clone().unwrap_or_default();
                let ingress = status.load_balancer.and_then(|balancer| balancer.ingress);
                let ingress = ingress.into_iter().flatten().filter_map(|entry| entry.ip);
                let conditions = status.conditions.into_iter().flatten();
                let conditions = conditions.map(|condition| (condition.reason, condition.message));
                write!(
                    f,
                    "{} {} {:?} class {:?} deleted {:?} finalizers {:?} shows {:?} says {:?} annotations {:?}",
                    if matches!(self, Self::Service(_)) {
                        "Service"
                    } else {
                        "gone: Service"
                    },
                    service.name_any(),
                    spec.type_.unwrap_or_default(),
                    spec.load_balancer_class.unwrap_or_default(),
                    service.metadata.deletion_timestamp.is_some(),
                    service.finalizers(),
                    ingress.collect::<Vec<_>>(),
                    conditions.collect::<Vec<_>>(),
                    service.annotations(),
                )
            }
            Self::Claim(claim) => write!(f, "claim {} {:?}", claim.name_any(), claim.spec),
            Self::ClaimGone(claim) => write!(f, "gone: claim {} {:?}", claim.name_any(), claim.spec),
        }
    }
}

// === impl Order ===

impl Order {
    /// Takes what a watch tells: how far it has come, and what it saw there, if anything.
    pub fn push(&mut self, source: Source, version: u64, seen: Option<Seen>) {
        self.told.insert(source, version);
        if let Some(seen) = seen {
            self.waiting.insert(version, seen);
        }
    }

    /// The next change, as soon as neither watch can tell of an earlier one.
    pub fn pop(&mut self) -> Option<(u64, Seen)> {
        let told = |source| self.told.get(&source).copied().unwrap_or(0);
        let complete = told(Source::Services).min(told(Source::Claims));
        let next = self.waiting.first_entry()?;
        (*next.key() <= complete).then(|| next.remove_entry())
    }
}
