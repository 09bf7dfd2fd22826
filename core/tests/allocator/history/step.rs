//! What may happen in one step.

use std::net::IpAddr;

use ferrolb_core::claim::{ClaimSpec, ClaimState, Holder};
use ferrolb_core::pool::Pool;
use ferrolb_core::request::{Ingress, ServiceRequest};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::ServiceKey;
use ferrolb_core::time::Timestamp;

use super::service_key;
use crate::api::Api;
use crate::world::Kind;

/// One step of a history. Numbers name things by their place.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// People do something.
    Do(Box<Deed>),
    /// Speakers or strangers write something.
    Meddle(Meddling),
    /// Milliseconds pass.
    Wait(u64),
    WaitForTimeout,
    /// A watch of a controller shows something.
    Watch(usize, Watching),
    /// A controller calls, and the network does what it does.
    Call(usize, Calling),
    /// A write that got no answer lands at last.
    LandLate(usize),
    /// Controllers that start from now on set finalizers, or take them off.
    SetFinalizer(bool),
    /// All controllers die.
    Crash,
    /// A standby leads, with caches that lag; the old leader does not know yet.
    TakeOver([usize; Kind::ALL.len()]),
    /// The old leader dies.
    Retire,
}

/// What people do.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Create a Service, or change what it asks for.
    PutService(usize, ServiceRequest),
    DeleteService(usize),
    /// Create a pool, or change it.
    PutPool(Box<Pool>),
    DeletePool(usize),
    /// Reserve an address: by a claim of its own, or in the one that there is.
    Reserve(ClaimSpec),
    /// Take a reservation off its claim.
    Unreserve(usize),
    /// Delete a reservation that nobody holds.
    DeleteReservation(usize),
    /// A Node joins, and has an address; or it leaves.
    SetNode(Option<IpAddr>),
    /// Label a namespace.
    LabelNamespace(&'static str, Labels),
}

/// What others write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meddling {
    /// A speaker says whether a claim has an owner, and in which subnet it is announced then.
    SetOwner(usize, bool),
    EditClaim(usize, Vandalism),
    EditStatus(usize, StatusEdit),
}

/// What watches do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watching {
    Show(Kind),
    /// Go back by so many events.
    ShowAgain(Kind, usize),
    Relist,
}

/// What controllers and the network do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Calling {
    /// So many steps without any trouble.
    Work(usize),
    Begin,
    Finish(usize),
    /// A call gets no answer.
    Lose(usize, Fate),
    Reject(usize),
    /// The API server has too much to do.
    Throttle(usize),
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
    DropHolder(usize),
    /// Put another Service into the place of one.
    GiveTo(usize, usize),
    /// Have another Service say what the first one says.
    AddHolder(usize),
    SetLastHolder(usize),
    DateForward,
}

/// What somebody who does not know better does to a Service's status, or to what else we write there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StatusEdit {
    /// Another address, or none.
    Show(Option<IpAddr>),
    /// The same addresses in another form.
    Reform,
    Hostname,
    DropCondition,
    ForgeCondition,
    DropPool,
    ForgePool,
    DropFinalizer,
}

// === impl StatusEdit ===

impl StatusEdit {
    /// What is ours is changed where it is: nobody makes up marks on what was never ours.
    pub(super) fn act(self, api: &mut Api, key: &ServiceKey) {
        api.edit_service(key, |service| {
            let status = &mut service.status;
            match self {
                Self::Show(address) => status.ingress = address.into_iter().map(Ingress::vip).collect(),
                Self::Reform => {
                    for entry in &mut status.ingress {
                        entry.is_ours = false;
                    }
                }
                Self::Hostname => status.ingress = vec![Ingress::default()],
                Self::DropCondition => status.condition = None,
                Self::ForgeCondition => {
                    if let Some(condition) = &mut status.condition {
                        condition.reason = "Nonsense".to_owned();
                    }
                }
                Self::DropPool => status.allocated_from = None,
                Self::ForgePool => {
                    if let Some(pool) = &mut status.allocated_from {
                        *pool = "elsewhere".into();
                    }
                }
                Self::DropFinalizer => status.has_finalizer = false,
            }
            if matches!(self, Self::Show(_) | Self::Reform | Self::Hostname) {
                status.other_manager = Some("somebody".to_owned());
            }
        });
        if api.terminating.contains(key) && !api.services[key].status.has_finalizer {
            // It was all that kept it.
            api.delete_service(key);
        }
    }
}

// === impl Vandalism ===

impl Vandalism {
    pub(super) fn act(self, api: &mut Api, address: IpAddr, now: Timestamp) {
        let mut edit = |edit: &dyn Fn(&mut ClaimSpec)| api.edit_claim(address, |claim| edit(&mut claim.spec));
        match self {
            Self::Delete => api.remove_claim(address),
            Self::ChangePool => edit(&|spec| spec.pool = Some("elsewhere".into())),
            Self::ChangePorts => edit(&|spec| {
                for holder in &mut spec.holders {
                    holder.ports.clear();
                }
            }),
            Self::SetState(state) => edit(&|spec| spec.state = state),
            Self::EmptyHolders => edit(&|spec| spec.holders.clear()),
            Self::DropHolder(place) => edit(&|spec| {
                if place < spec.holders.len() {
                    spec.holders.remove(place);
                }
            }),
            Self::GiveTo(place, number) => edit(&|spec| {
                let service = service_key(number);
                // The API server refuses a list that names one twice.
                let is_named = spec.holders.iter().any(|holder| holder.service == service);
                if let Some(holder) = spec.holders.get_mut(place).filter(|_| !is_named) {
                    holder.service = service;
                }
            }),
            Self::AddHolder(number) => edit(&|spec| {
                let service = service_key(number);
                let is_named = spec.holders.iter().any(|holder| holder.service == service);
                if let Some(holder) = spec.holders.first().cloned().filter(|_| !is_named) {
                    spec.holders.push(Holder { service, ..holder });
                }
            }),
            Self::SetLastHolder(number) => edit(&|spec| spec.last_holder = Some(service_key(number))),
            Self::DateForward => edit(&|spec| spec.state_since = Some(Timestamp(now.0 + 1_000_000))),
        }
    }
}
