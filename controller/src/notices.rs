//! Kubernetes Events, for people who look at an object and wonder.
//!
//! They are best effort: the conditions say the same and stay. So they are written one after the
//! other, the queue is bounded, what does not fit is dropped and counted, and an Event that cannot
//! be written is counted and not tried again, unless the API server asked for a moment's patience.

use std::time::Duration;

use ferrolb_runtime::clock;
use ferrolb_runtime::trouble::Trouble;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::patch::FIELD_MANAGER;

/// A thousand Services that get their addresses at once, with some room.
const QUEUE: usize = 2048;

/// An Event is not worth waiting for any longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an Event is tried while the API server has too much to do.
const ATTEMPTS: usize = 3;

/// What the API server allows.
const LONGEST_NOTE: usize = 1024;

/// Longer names would not leave room for what makes an Event's own name unique.
const LONGEST_NAME: usize = 200;

/// Something that people should hear about.
#[derive(Clone, Debug)]
pub struct Report {
    /// The object that it is about.
    pub regarding: ObjectReference,
    /// Whether somebody should act.
    pub is_warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Takes reports from those who have them. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Notices {
    queue: mpsc::Sender<Report>,
    dropped: Counter,
}

/// Writes reports as Events.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Receiver<Report>,
    client_instance: String,
    failed: Counter,
}

/// A queue, and the one who empties it.
pub fn channel(instance: String, registry: &mut Registry) -> (Notices, Publisher) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let dropped = Counter::default();
    registry.register(
        "events_dropped",
        "Events that found the queue full",
        dropped.clone(),
    );
    let failed = Counter::default();
    registry.register(
        "events_failed",
        "Events that could not be written",
        failed.clone(),
    );
    let notices = Notices {
        queue: sender,
        dropped,
    };
    let publisher = Publisher {
        queue: receiver,
        client_instance: instance,
        failed,
    };
    (notices, publisher)
}

// === impl Notices ===

impl Notices {
    /// Has an Event written, if there is room in the queue.
    pub fn report(&self, report: Report) {
        if self.queue.try_send(report).is_err() {
            self.dropped.inc();
        }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Writes Events until nobody reports any more. Cancel safe; what is queued is lost with it.
    pub async fn run(mut self, client: Client) {
        let mut count = 0_u64;
        while let Some(report) = self.queue.recv().await {
            count += 1;
            let event = self.event(report, count);
            let namespace = event.metadata.namespace.clone().unwrap_or_default();
            let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            self.write(&events, &params, &event).await;
        }
    }

    /// Writes one Event. Only a refusal for too much to do is a reason to try again, after the time
    /// that was asked for: nothing was done, and nobody is the worse for an Event that comes late.
    async fn write(&self, events: &Api<Event>, params: &PostParams, event: &Event) {
        for _ in 0..ATTEMPTS {
            let trouble = match timeout(PATIENCE, events.create(params, event)).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => Trouble::of(&error),
                Err(_) => Trouble::timed_out(),
            };
            debug!(
                reason = trouble.reason.as_str(),
                error = trouble.sentence,
                "Event not written"
            );
            match trouble.wait {
                Some(wait) => sleep(wait).await,
                None => break,
            }
        }
        self.failed.inc();
    }

    fn event(&self, report: Report, count: u64) -> Event {
        let Report {
            regarding,
            is_warning,
            reason,
            message,
        } = report;
        let now = clock::timestamp();
        let name = cut(regarding.name.as_deref().unwrap_or(FIELD_MANAGER), LONGEST_NAME);
        // Two replicas never write at the same microsecond about the same object and count alike.
        let name = format!("{name}.{:x}{:x}", now.as_microsecond(), count & 0xfff);
        // Events about cluster-scoped objects belong to this namespace.
        let namespace = regarding
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            regarding: Some(regarding),
            type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
            action: Some(reason.clone()),
            reason: Some(reason),
            note: Some(cut(&message, LONGEST_NOTE).to_owned()),
            reporting_controller: Some(format!("ferrolb.io/{FIELD_MANAGER}")),
            reporting_instance: Some(cut(&self.client_instance, 128).to_owned()),
            ..Event::default()
        }
    }
}

/// The start of a text, at most so many bytes.
fn cut(text: &str, longest: usize) -> &str {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_report(message: &str) -> Report {
        Report {
            regarding: ObjectReference {
                kind: Some("AddressPool".to_owned()),
                name: Some("home".to_owned()),
                ..ObjectReference::default()
            },
            is_warning: true,
            reason: "Overlap".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn an_event_fits_what_the_api_server_allows() {
        let (_notices, publisher) = channel("pod-1_1".to_owned(), &mut Registry::default());
        let event = publisher.event(mk_report(&"ä".repeat(600)), 1);
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(event.note.map(|note| note.len()), Some(1024));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let another = publisher.event(mk_report("x"), 2);
        assert_ne!(event.metadata.name, another.metadata.name);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (notices, _publisher) = channel("pod-1_1".to_owned(), &mut Registry::default());
        for _ in 0..QUEUE + 3 {
            notices.report(mk_report("x"));
        }
        assert_eq!(notices.dropped.get(), 3);
    }
}

#[cfg(test)]
mod scripted;
