//! The rules of taking, renewing and losing the Lease, without I/O.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::{DURATION, GIVE_UP_AFTER, LOOK_EVERY, RENEW_EVERY};
use crate::clock;

/// What to ask of the API server.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing: somebody else holds the Lease, or it is not time to renew.
    Wait,
    /// There is no Lease.
    Create(Lease),
    /// Take it or renew it; its resource version makes this a compare-and-set.
    Replace(Lease),
}

/// What one replica knows about the Lease.
#[derive(Debug)]
pub(super) struct Election {
    name: String,
    identity: String,
    seen: Seen,
    /// When the present holder's record was first seen, and that record's version.
    unchanged: Option<(String, Duration)>,
    /// Set while this replica leads.
    certain_until: Option<Duration>,
}

/// The Lease as last seen or written.
#[derive(Debug)]
enum Seen {
    /// Not looked, or the outcome of a write is unknown.
    Unknown,
    /// It does not exist.
    Absent,
    /// This is it.
    Present(Box<Lease>),
}

// === impl Election ===

impl Election {
    pub(super) fn new(name: String, identity: String) -> Self {
        Self {
            name,
            identity,
            seen: Seen::Unknown,
            unchanged: None,
            certain_until: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Until when this replica is certain to lead; `None` when it does not.
    pub(super) fn certain_until(&self) -> Option<Duration> {
        self.certain_until
    }

    /// A leader renews what it wrote last: one request, not two.
    pub(super) fn may_renew_unseen(&self) -> bool {
        self.certain_until.is_some() && matches!(self.seen, Seen::Present(_))
    }

    /// The Lease has been read.
    pub(super) fn see(&mut self, lease: Option<Lease>, now: Duration) {
        let Some(lease) = lease else {
            self.seen = Seen::Absent;
            self.unchanged = None;
            return;
        };
        let version = version(&lease);
        if self.unchanged.as_ref().is_none_or(|(known, _)| *known != version) {
            self.unchanged = Some((version, now));
        }
        if holder(&lease) != self.identity {
            self.certain_until = None;
        }
        self.seen = Seen::Present(Box::new(lease));
    }

    /// What to do now.
    pub(super) fn step(&self, now: Duration) -> Step {
        match &self.seen {
            Seen::Unknown => Step::Wait,
            Seen::Absent => Step::Create(self.record(None)),
            Seen::Present(lease) if self.is_free(lease, now) => Step::Replace(self.record(Some(lease))),
            Seen::Present(_) => Step::Wait,
        }
    }

    /// Our write has succeeded; it was begun at `began`.
    pub(super) fn written(&mut self, lease: Lease, began: Duration) {
        self.unchanged = Some((version(&lease), began));
        self.seen = Seen::Present(Box::new(lease));
        self.certain_until = Some(began + GIVE_UP_AFTER);
    }

    /// What has become of our write is unknown.
    pub(super) fn forget(&mut self) {
        self.seen = Seen::Unknown;
    }

    /// A leader that could not renew in time leads no more.
    pub(super) fn expire(&mut self, now: Duration) {
        if self.certain_until.is_some_and(|until| now >= until) {
            self.certain_until = None;
        }
    }

    /// When to look or renew again.
    pub(super) fn next_look(&self, now: Duration) -> Duration {
        if let Some(until) = self.certain_until {
            // Renewed just now: a whole interval. A renewal failed: soon, while there is time.
            let since_renewal = GIVE_UP_AFTER.saturating_sub(until.saturating_sub(now));
            return RENEW_EVERY.saturating_sub(since_renewal).max(LOOK_EVERY / 2);
        }
        // At the very moment the other's Lease runs out, not at the next look after it.
        let runs_out = match (&self.seen, &self.unchanged) {
            (Seen::Present(lease), Some((_, since))) => (*since + duration(lease)).checked_sub(now),
            _ => None,
        };
        runs_out.map_or(LOOK_EVERY, |left| {
            left.clamp(Duration::from_millis(10), LOOK_EVERY)
        })
    }

    /// The record that gives the Lease back; `None` when it is not ours.
    pub(super) fn released(&mut self) -> Option<Lease> {
        self.certain_until.take()?;
        let Seen::Present(lease) = &self.seen else {
            return None;
        };
        let mut lease = lease.as_ref().clone();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        Some(lease)
    }

    fn is_free(&self, lease: &Lease, now: Duration) -> bool {
        let holder = holder(lease);
        let has_run_out = self
            .unchanged
            .as_ref()
            .is_some_and(|(_, since)| now >= *since + duration(lease));
        holder.is_empty() || holder == self.identity || has_run_out
    }

    fn record(&self, last: Option<&Lease>) -> Lease {
        let now = MicroTime(clock::timestamp());
        let last_spec = last.and_then(|lease| lease.spec.as_ref());
        let is_renewal = last.is_some_and(|lease| holder(lease) == self.identity);
        let transitions = last_spec.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let acquired = last_spec
            .and_then(|spec| spec.acquire_time.clone())
            .filter(|_| is_renewal);
        Lease {
            metadata: last.map_or_else(
                || ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: acquired.or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if is_renewal || last.is_none() {
                    transitions
                } else {
                    transitions + 1
                }),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn version(lease: &Lease) -> String {
    lease.metadata.resource_version.clone().unwrap_or_default()
}

/// What the holder promised, which another version of FerroLB may have chosen differently.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0);
    seconds.map_or(DURATION, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(100_000 + millis)
    }

    fn mk_election() -> Election {
        Election::new("ferrolb-controller".to_owned(), "me".to_owned())
    }

    fn mk_lease(holder: &str, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some("ferrolb-controller".to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(4),
                lease_transitions: Some(2),
                ..LeaseSpec::default()
            }),
        }
    }

    fn holder_and_transitions(step: &Step) -> (String, Option<i32>) {
        match step {
            Step::Wait => panic!("expected a write"),
            Step::Create(lease) | Step::Replace(lease) => (
                holder(lease).to_owned(),
                lease.spec.as_ref().and_then(|spec| spec.lease_transitions),
            ),
        }
    }

    #[test]
    fn an_absent_lease_is_created() {
        let mut election = mk_election();
        assert_eq!(election.step(at(0)), Step::Wait, "nobody has looked yet");
        election.see(None, at(0));
        let step = election.step(at(0));
        assert!(matches!(step, Step::Create(_)));
        assert_eq!(holder_and_transitions(&step), ("me".to_owned(), Some(0)));
        assert_eq!(election.certain_until(), None, "asked is not granted");
        election.written(mk_lease("me", "1"), at(5));
        assert_eq!(election.certain_until(), Some(at(3005)));
    }

    #[test]
    fn a_lease_that_stands_still_for_its_duration_is_taken() {
        let mut election = mk_election();
        election.see(Some(mk_lease("other", "1")), at(0));
        election.see(Some(mk_lease("other", "1")), at(3999));
        assert_eq!(election.step(at(3999)), Step::Wait);
        let step = election.step(at(4000));
        assert_eq!(holder_and_transitions(&step), ("me".to_owned(), Some(3)));
    }

    #[test]
    fn a_renewal_by_the_other_starts_the_wait_anew() {
        let mut election = mk_election();
        election.see(Some(mk_lease("other", "1")), at(0));
        election.see(Some(mk_lease("other", "2")), at(3000));
        assert_eq!(election.step(at(4500)), Step::Wait);
        assert!(matches!(election.step(at(7000)), Step::Replace(_)));
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once() {
        let mut election = mk_election();
        election.see(Some(mk_lease("", "1")), at(0));
        assert!(matches!(election.step(at(0)), Step::Replace(_)));
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_the_lease_can_be_taken() {
        let mut election = mk_election();
        election.see(None, at(0));
        election.written(mk_lease("me", "1"), at(0));
        election.forget();
        election.expire(at(2999));
        assert_eq!(election.certain_until(), Some(at(3000)));
        election.expire(at(3000));
        assert_eq!(election.certain_until(), None);
    }

    #[test]
    fn a_leader_that_sees_another_holder_stops_at_once() {
        let mut election = mk_election();
        election.see(None, at(0));
        election.written(mk_lease("me", "1"), at(0));
        election.forget();
        election.see(Some(mk_lease("other", "2")), at(500));
        assert_eq!(election.certain_until(), None);
        assert_eq!(election.step(at(500)), Step::Wait);
    }

    #[test]
    fn a_lost_answer_to_our_own_renewal_is_recognized() {
        let mut election = mk_election();
        election.see(None, at(0));
        election.written(mk_lease("me", "1"), at(0));
        election.forget();
        election.see(Some(mk_lease("me", "2")), at(500));
        let step = election.step(at(500));
        assert_eq!(
            holder_and_transitions(&step),
            ("me".to_owned(), Some(2)),
            "a renewal, not a transition"
        );
    }

    #[test]
    fn the_next_look_is_when_the_lease_runs_out() {
        let mut election = mk_election();
        election.see(Some(mk_lease("other", "1")), at(0));
        assert_eq!(election.next_look(at(0)), LOOK_EVERY);
        assert_eq!(election.next_look(at(3800)), Duration::from_millis(200));
        election.written(mk_lease("me", "2"), at(4000));
        assert_eq!(election.next_look(at(4000)), RENEW_EVERY);
    }

    #[test]
    fn only_a_leader_gives_the_lease_back() {
        let mut election = mk_election();
        election.see(Some(mk_lease("other", "1")), at(0));
        assert_eq!(election.released(), None);
        election.written(mk_lease("me", "2"), at(4000));
        let released = election.released().expect("a record");
        assert_eq!(holder(&released), "");
        assert_eq!(version(&released), "2");
        assert_eq!(election.certain_until(), None);
    }
}
