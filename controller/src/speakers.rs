//! Notices a speaker DaemonSet that has no pods: addresses would be lent and nobody would answer.
//!
//! The usual cause is a namespace whose pod security level refuses pods on the host's network.
//! That shows only as an Event on the DaemonSet, where nobody looks who wonders about a Service.

use std::time::Duration;

use ferrolb_runtime::index::Change;
use ferrolb_runtime::latest;
use ferrolb_runtime::lease::Leadership;
use ferrolb_runtime::readiness::Readiness;
use ferrolb_runtime::watch::{Watch, WatchMetrics, follow};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::Api;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::notices::{Notices, Report};

/// By what the chart marks the speakers' DaemonSet.
const LABELS: &str = "app.kubernetes.io/name=ferrolb,app.kubernetes.io/component=speaker";

/// The topic in `/readyz`, and the reason of the Event.
const TOPIC: &str = "speakers";
const REASON: &str = "NoSpeakerPods";

/// Pods of a new DaemonSet take a moment.
const GRACE: Duration = Duration::from_secs(10);

/// What a DaemonSet has, as far as we look.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pods {
    name: String,
    uid: Option<String>,
    wanted: i32,
    present: i32,
}

/// Looks after the speakers' DaemonSet.
pub struct Speakers {
    /// To list it with.
    pub client: Client,
    /// Where FerroLB is installed.
    pub namespace: String,
    /// Counts of the watch.
    pub metrics: WatchMetrics,
    /// Shows a complaint in `/readyz`.
    pub readiness: Readiness,
    /// Makes an Event of it ...
    pub notices: Notices,
    /// ... on the replica that leads.
    pub leadership: Leadership,
}

/// What the complaint depends on.
#[derive(Default)]
struct Judge {
    missing: Option<Missing>,
}

/// A DaemonSet without pods.
struct Missing {
    pods: Pods,
    since: Instant,
    /// Whether this replica has made the Event.
    is_told: bool,
}

// === impl Speakers ===

impl Speakers {
    /// Watches until dropped. Nothing depends on it: without the right to look, it only logs.
    pub async fn run(self) {
        let (sender, mut changes) = mpsc::channel(8);
        let daemon_sets = Api::namespaced(self.client.clone(), &self.namespace);
        // Not the process's readiness: a controller outside of a cluster has no such DaemonSet.
        let guard = Readiness::new().guard("list of DaemonSets");
        let watch = Watch::new(daemon_sets, guard, &self.metrics).labels(LABELS);
        let mut leadership = self.leadership.clone();
        let judging = async {
            let mut judge = Judge::default();
            loop {
                let due = judge.due(Instant::now());
                tokio::select! {
                    change = changes.recv() => match change {
                        Some(change) => judge.look(change, Instant::now()),
                        None => return,
                    },
                    () = async { if let Some(due) = due { sleep_until(due).await } }, if due.is_some() => {}
                    () = latest::changed(&mut leadership) => {}
                }
                let now = Instant::now();
                let is_leading = leadership.borrow_and_update().is_some();
                self.complain(judge.complaint(now));
                if let Some(pods) = judge.tell(now, is_leading) {
                    self.notices.report(report(&self.namespace, pods));
                }
            }
        };
        tokio::join!(follow(watch, pods, |change| change, sender), judging);
    }

    /// Shows a complaint, or its end, in `/readyz` and in the log.
    fn complain(&self, missing: Option<&Pods>) {
        let namespace = &self.namespace;
        let message = missing.map(|pods| complaint(namespace, pods));
        if !self.readiness.notice(TOPIC, message.clone()) {
            return;
        }
        match message {
            Some(message) => warn!(namespace, error = message, "Speakers have no pods"),
            None => info!(namespace, "Speakers have pods"),
        }
    }
}

// === impl Judge ===

impl Judge {
    fn look(&mut self, change: Change<Pods>, now: Instant) {
        let known = self.missing.take();
        self.missing = without_pods(change).map(|pods| match known {
            Some(known) => Missing { pods, ..known },
            None => Missing {
                pods,
                since: now,
                is_told: false,
            },
        });
    }

    /// When there will be a complaint, if there is none yet.
    fn due(&self, now: Instant) -> Option<Instant> {
        let due = self.missing.as_ref()?.since + GRACE;
        (due > now).then_some(due)
    }

    /// What has had no pods for too long.
    fn complaint(&self, now: Instant) -> Option<&Pods> {
        let missing = self.missing.as_ref()?;
        (missing.since + GRACE <= now).then_some(&missing.pods)
    }

    /// What the leader has to make an Event of: once, and also if it leads only since later.
    fn tell(&mut self, now: Instant, is_leading: bool) -> Option<&Pods> {
        self.complaint(now)?;
        let missing = self.missing.as_mut()?;
        if !is_leading || std::mem::replace(&mut missing.is_told, true) {
            return None;
        }
        Some(&missing.pods)
    }
}

fn pods(object: DaemonSet) -> Pods {
    let status = object.status.unwrap_or_default();
    Pods {
        name: object.metadata.name.unwrap_or_default(),
        uid: object.metadata.uid,
        wanted: status.desired_number_scheduled,
        present: status.current_number_scheduled,
    }
}

/// The DaemonSet that should have pods and has none, if the change shows one.
fn without_pods(change: Change<Pods>) -> Option<Pods> {
    let shown: Vec<Pods> = match change {
        Change::Apply(_, pods) => vec![pods],
        Change::Delete(_) => vec![],
        Change::Reset { objects, .. } => objects.into_values().collect(),
    };
    shown
        .into_iter()
        .find(|pods| pods.wanted > 0 && pods.present == 0)
}

fn complaint(namespace: &str, pods: &Pods) -> String {
    let Pods { name, wanted, .. } = pods;
    format!(
        "DaemonSet {namespace}/{name} should have {wanted} pods and has none, so no address is announced; \
         `kubectl -n {namespace} describe daemonset {name}` says why. If pod security refuses them: \
         `kubectl label --overwrite namespace {namespace} pod-security.kubernetes.io/enforce=privileged`"
    )
}

fn report(namespace: &str, pods: &Pods) -> Report {
    Report {
        regarding: ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("DaemonSet".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(pods.name.clone()),
            uid: pods.uid.clone(),
            ..ObjectReference::default()
        },
        is_warning: true,
        reason: REASON.to_owned(),
        message: complaint(namespace, pods),
    }
}

#[cfg(test)]
mod tests {
    use ferrolb_runtime::index::ObjectKey;
    use serde_json::json;

    use super::*;

    fn mk_change(wanted: i32, present: i32) -> Change<Pods> {
        let object: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "ferrolb-speaker", "namespace": "ferrolb-system", "uid": "u1"},
            "status": {
                "desiredNumberScheduled": wanted, "currentNumberScheduled": present,
                "numberMisscheduled": 0, "numberReady": 0,
            },
        }))
        .expect("a DaemonSet");
        Change::Apply(
            ObjectKey::namespaced("ferrolb-system", "ferrolb-speaker"),
            pods(object),
        )
    }

    #[test]
    fn only_a_daemon_set_that_wants_pods_and_has_none_is_a_complaint() {
        assert!(without_pods(mk_change(3, 0)).is_some());
        assert_eq!(without_pods(mk_change(3, 1)), None);
        assert_eq!(without_pods(mk_change(0, 0)), None);
        let deleted = Change::Delete(ObjectKey::namespaced("ferrolb-system", "ferrolb-speaker"));
        assert_eq!(without_pods(deleted), None);
    }

    #[test]
    fn the_complaint_says_what_to_do() {
        let text = complaint(
            "ferrolb-system",
            &without_pods(mk_change(3, 0)).expect("a complaint"),
        );
        assert!(text.contains("should have 3 pods and has none"), "{text}");
        assert!(
            text.contains("kubectl label --overwrite namespace ferrolb-system pod-security"),
            "{text}"
        );
    }

    #[test]
    fn a_complaint_waits_for_the_grace_and_is_told_once() {
        let start = Instant::now();
        let mut judge = Judge::default();
        judge.look(mk_change(3, 0), start);
        judge.look(mk_change(4, 0), start + GRACE / 2);
        let early = start + GRACE * 3 / 4;
        assert_eq!(judge.complaint(early), None);
        assert_eq!(judge.tell(early, true), None);
        let due = start + GRACE;
        assert_eq!(
            judge.due(early),
            Some(due),
            "a change of numbers starts no new grace"
        );
        assert_eq!(judge.due(due), None);
        assert_eq!(judge.tell(due, true).map(|pods| pods.wanted), Some(4));
        judge.look(mk_change(3, 0), due + GRACE);
        assert!(judge.complaint(due + GRACE).is_some());
        assert_eq!(judge.tell(due + GRACE, true), None);
        judge.look(mk_change(3, 1), due + GRACE * 2);
        assert_eq!(judge.complaint(due + GRACE * 2), None);
    }

    #[test]
    fn who_leads_only_later_tells_then() {
        let start = Instant::now();
        let mut judge = Judge::default();
        judge.look(mk_change(3, 0), start);
        assert_eq!(judge.tell(start + GRACE, false), None);
        assert!(judge.tell(start + GRACE * 2, true).is_some());
        assert_eq!(judge.tell(start + GRACE * 3, true), None);
    }
}
