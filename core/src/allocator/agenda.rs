//! What is to be done next: Services to decide about, objects to converge, and alarms.
//!
//! Everything is in here at most once, so that its size is bounded by the number of objects, and
//! a storm of events about one object costs one piece of work.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use foldhash::{HashMap, HashSet};

use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::time::{Time, Timestamp};

/// An object to converge: look at it, and make the next call for it if one is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Task {
    /// A Service's status.
    Service(ServiceKey),
    /// An address and its claim.
    Claim(IpAddr),
    /// A Service that claims name and that the watch does not show.
    Departed(ServiceKey),
    /// Services of other types that carry our marks.
    Leftovers,
    /// A pool's status.
    Pool(PoolName),
    /// A pool that was deleted, and whose grace ends.
    Vanished(PoolName),
}

/// Who is decided about first. The order is what keeps an address with whom it was before
/// somebody else can ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// A claim names the Service.
    Holding,
    /// Its status shows an address.
    Showing,
    /// It has nothing.
    Pending,
}

/// Work to be done. Whatever has an order has it in the fields without a hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    undecided: BTreeSet<(Standing, Timestamp, ServiceKey)>,
    undecided_by_key: HashMap<ServiceKey, (Standing, Timestamp)>,
    lanes: [VecDeque<Task>; LANES],
    queued: HashSet<Task>,
    alarms: BTreeSet<(Time, Task)>,
    alarm_by_task: HashMap<Task, Time>,
}

const LANES: usize = 4;

// === impl Task ===

impl Task {
    /// What was begun is finished first: a claim without its status helps nobody.
    const fn lane(&self) -> usize {
        match self {
            Self::Service(_) => 0,
            Self::Claim(_) => 1,
            Self::Departed(_) => 2,
            Self::Pool(_) | Self::Vanished(_) | Self::Leftovers => 3,
        }
    }
}

// === impl Agenda ===

impl Agenda {
    /// Asks for a decision about a Service.
    pub(super) fn decide(&mut self, key: &ServiceKey, standing: Standing, created: Timestamp) {
        match self.undecided_by_key.get(key) {
            Some(place) if *place == (standing, created) => {}
            Some(_) | None => {
                self.forget_decision(key);
                self.undecided_by_key.insert(key.clone(), (standing, created));
                self.undecided.insert((standing, created, key.clone()));
            }
        }
    }

    /// Drops the request for a decision about a Service that is gone.
    pub(super) fn forget_decision(&mut self, key: &ServiceKey) {
        if let Some((standing, created)) = self.undecided_by_key.remove(key) {
            self.undecided.remove(&(standing, created, key.clone()));
        }
    }

    /// The Service to decide about next: holders first, then by age.
    pub(super) fn next_undecided(&mut self) -> Option<ServiceKey> {
        let (_, _, key) = self.undecided.pop_first()?;
        self.undecided_by_key.remove(&key);
        Some(key)
    }

    /// Asks for an object to be looked at.
    pub(super) fn push(&mut self, task: Task) {
        if let Some(lane) = self.lanes.get_mut(task.lane())
            && self.queued.insert(task.clone())
        {
            lane.push_back(task);
        }
    }

    /// The object to look at next.
    pub(super) fn pop(&mut self) -> Option<Task> {
        let task = self.lanes.iter_mut().find_map(VecDeque::pop_front)?;
        self.queued.remove(&task);
        Some(task)
    }

    /// Has an object looked at, at the latest at a time; an earlier alarm for it stays.
    pub(super) fn set_alarm(&mut self, task: Task, at: Time) {
        match self.alarm_by_task.get(&task) {
            Some(earlier) if *earlier <= at => {}
            Some(_) | None => {
                self.clear_alarm(&task);
                self.alarm_by_task.insert(task.clone(), at);
                self.alarms.insert((at, task));
            }
        }
    }

    fn clear_alarm(&mut self, task: &Task) {
        if let Some(at) = self.alarm_by_task.remove(task) {
            self.alarms.remove(&(at, task.clone()));
        }
    }

    /// When the next alarm goes off.
    pub(super) fn next_alarm(&self) -> Option<Time> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Turns every alarm that is due into a task.
    pub(super) fn ring(&mut self, now: Time) {
        while let Some((at, task)) = self.alarms.pop_first() {
            if at > now {
                self.alarms.insert((at, task));
                return;
            }
            self.alarm_by_task.remove(&task);
            self.push(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("default", name)
    }

    fn service(name: &str) -> Task {
        Task::Service(key(name))
    }

    #[test]
    fn holders_are_decided_about_first_then_the_oldest() {
        let mut agenda = Agenda::default();
        agenda.decide(&key("young"), Standing::Pending, Timestamp(2));
        agenda.decide(&key("old"), Standing::Pending, Timestamp(1));
        agenda.decide(&key("shows"), Standing::Showing, Timestamp(8));
        agenda.decide(&key("holds"), Standing::Holding, Timestamp(9));
        agenda.decide(&key("gone"), Standing::Holding, Timestamp(0));
        agenda.forget_decision(&key("gone"));
        let order: Vec<_> = std::iter::from_fn(|| agenda.next_undecided()).collect();
        assert_eq!(order, ["holds", "shows", "old", "young"].map(key));
    }

    #[test]
    fn a_second_request_takes_the_place_of_the_first() {
        let mut agenda = Agenda::default();
        agenda.decide(&key("a"), Standing::Pending, Timestamp(1));
        agenda.decide(&key("b"), Standing::Showing, Timestamp(1));
        agenda.decide(&key("a"), Standing::Holding, Timestamp(1));
        let order: Vec<_> = std::iter::from_fn(|| agenda.next_undecided()).collect();
        assert_eq!(order, ["a", "b"].map(key));
    }

    #[test]
    fn an_object_is_looked_at_once_and_status_goes_before_claims() {
        let mut agenda = Agenda::default();
        let claim = Task::Claim([10, 0, 0, 1].into());
        for task in [Task::Pool("p".into()), claim.clone(), service("a"), claim.clone()] {
            agenda.push(task);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!(order, [service("a"), claim.clone(), Task::Pool("p".into())]);
        agenda.push(claim.clone());
        assert_eq!(agenda.pop(), Some(claim));
    }

    #[test]
    fn the_earliest_alarm_of_an_object_counts_and_rings_once() {
        let mut agenda = Agenda::default();
        agenda.set_alarm(service("a"), Time::from_millis(30));
        agenda.set_alarm(service("a"), Time::from_millis(10));
        agenda.set_alarm(service("a"), Time::from_millis(20));
        agenda.set_alarm(service("b"), Time::from_millis(15));
        assert_eq!(agenda.next_alarm(), Some(Time::from_millis(10)));
        agenda.ring(Time::from_millis(9));
        assert_eq!(agenda.pop(), None);
        agenda.ring(Time::from_millis(10));
        assert_eq!(agenda.pop(), Some(service("a")));
        assert_eq!(agenda.next_alarm(), Some(Time::from_millis(15)));
        agenda.ring(Time::from_millis(100));
        assert_eq!(agenda.pop(), Some(service("b")));
        assert_eq!((agenda.pop(), agenda.next_alarm()), (None, None));
    }
}
