//! One kind of object, listed and followed for as long as the process lives.
//!
//! ```text
//!   list (in pages) --> Reset --> watch from there --> Apply, Delete ...
//!     ^                             |    ^  | ended, or failed after progress
//!     | too old, or failed twice    |    +--+ resume where it was
//!     +-----------------------------+
//! ```
//!
//! Objects are reduced as they arrive, so that no complete object outlives the page that it came
//! in. An object that cannot be understood is counted and named in the log; what is known of it
//! stays, in a watch and in a list alike. A failing watch changes nothing else: the last state
//! stands, and the next attempt comes within a second and a half.

mod health;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Resource;
use kube::api::{Api, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

pub use self::health::WatchMetrics;
use self::health::{Health, Verb};
use crate::backoff::Backoff;
use crate::clock;
use crate::index::{Change, ObjectKey};
use crate::readiness::Guard;
use crate::reading::{Reading, Unreadable};
use crate::trouble::{Reason, Trouble};

/// The API server ends a watch after this time, and we begin a new one where it ended.
const WATCH_SECONDS: u32 = 60;

/// A watch that has said nothing for longer than it may live is dead. (A connection whose other
/// end is dead the kernel notices much sooner, see `client`.)
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// From asking for a watch to the head of the answer; a refusal has a body, too.
const HEAD: Duration = Duration::from_secs(20);

/// A watch that ends sooner did not end because its time was over.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// What to watch, and whom to tell how it goes.
#[derive(Debug)]
pub struct Watch<K> {
    api: Api<Reading<K>>,
    fields: Option<String>,
    labels: Option<String>,
    guard: Guard,
    metrics: WatchMetrics,
    hint: Option<&'static str>,
}

/// How a watch ended.
enum End {
    /// Nobody listens to the changes any more.
    Unheard,
    /// It can be resumed from the last version.
    Resume(Option<Trouble>),
    /// Only a new list helps.
    List(Trouble),
}

/// A watch at work.
struct Follower<K, P, Q, W, M> {
    watch: Watch<K>,
    project: P,
    partly: Q,
    wrap: W,
    sink: mpsc::Sender<M>,
    health: Health,
    unreadable: BTreeSet<ObjectKey>,
    version: String,
    /// When the last list was complete.
    listed_at: Duration,
}

// === impl Watch ===

impl<K> Watch<K> {
    /// All objects of a kind; the guard is handed back after the first list.
    pub fn new(api: Api<Reading<K>>, guard: Guard, metrics: &WatchMetrics) -> Self {
        Self {
            api,
            fields: None,
            labels: None,
            guard,
            metrics: metrics.clone(),
            hint: None,
        }
    }

    /// Only objects that a field selector selects.
    #[must_use]
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.fields = Some(selector.into());
        self
    }

    /// Only objects that a label selector selects.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.labels = Some(selector.into());
        self
    }

    /// What to do if the API server does not know the kind.
    #[must_use]
    pub fn when_unknown(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// Lists and watches, and sends every change, until nobody listens any more.
///
/// Waits while the sink is full: the API server keeps what we have not read yet. Cancel safe;
/// dropping it ends the watch.
pub async fn follow<K, V, M>(
    watch: Watch<K>,
    project: impl Fn(K) -> V,
    wrap: impl Fn(Change<V>) -> M,
    sink: mpsc::Sender<M>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + fmt::Debug + Send + 'static,
{
    follow_partly(watch, project, |_| None, wrap, sink).await;
}

/// The same, where something may be made of an object that cannot be understood as a whole.
pub async fn follow_partly<K, V, M>(
    watch: Watch<K>,
    project: impl Fn(K) -> V,
    partly: impl Fn(&Unreadable) -> Option<V>,
    wrap: impl Fn(Change<V>) -> M,
    sink: mpsc::Sender<M>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + fmt::Debug + Send + 'static,
{
    let kind = K::plural(&()).into_owned();
    let follower = Follower {
        health: Health::new(kind, &watch),
        watch,
        project,
        partly,
        wrap,
        sink,
        unreadable: BTreeSet::new(),
        version: String::new(),
        listed_at: Duration::ZERO,
    };
    follower.run().await;
}

// === impl Follower ===

impl<K, P, Q, W, M> Follower<K, P, Q, W, M>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + fmt::Debug + Send + 'static,
{
    async fn run<V>(mut self)
    where
        P: Fn(K) -> V,
        Q: Fn(&Unreadable) -> Option<V>,
        W: Fn(Change<V>) -> M,
    {
        let mut backoff = Backoff::new();
        'list: loop {
            let objects = match self.list().await {
                Ok(objects) => objects,
                Err(trouble) => {
                    self.fail(trouble, &mut backoff).await;
                    continue;
                }
            };
            let unreadable = self.unreadable.clone();
            if !self.send(Change::Reset { objects, unreadable }).await {
                return;
            }
            self.watch.guard.ready();
            let mut fruitless = 0;
            loop {
                let before = self.version.clone();
                let trouble = match self.watch_once(&mut backoff).await {
                    End::Unheard => return,
                    // It has lived as long as it may.
                    End::Resume(None) => continue,
                    End::Resume(Some(trouble)) => trouble,
                    End::List(trouble) => {
                        if self.has_stood() {
                            // The API server answers: it was started anew, and every wait is over.
                            self.health.failing(trouble);
                        } else {
                            self.fail(trouble, &mut backoff).await;
                        }
                        continue 'list;
                    }
                };
                fruitless = if self.version == before { fruitless + 1 } else { 0 };
                // An event that can never be read would otherwise be asked for again for ever.
                let is_stuck = fruitless > 1 && trouble.reason == Reason::Unexpected;
                self.fail(trouble, &mut backoff).await;
                if is_stuck {
                    continue 'list;
                }
            }
        }
    }

    /// Whether the last list has been good for some time, so that another one at once is not the
    /// beginning of a storm of lists.
    fn has_stood(&self) -> bool {
        clock::boottime().saturating_sub(self.listed_at) > SHORT_LIFE
    }

    /// Says what is wrong and waits, as long as the API server asks for and a moment more, so that
    /// not everybody whom it asked comes back at once.
    async fn fail(&mut self, trouble: Trouble, backoff: &mut Backoff) {
        let asked = trouble.wait.unwrap_or_default();
        self.health.failing(trouble);
        tokio::time::sleep(asked + backoff.next_wait()).await;
    }

    async fn list<V>(&mut self) -> Result<BTreeMap<ObjectKey, V>, Trouble>
    where
        P: Fn(K) -> V,
        Q: Fn(&Unreadable) -> Option<V>,
    {
        let mut pages = page::Pages::new(self.watch.fields.clone(), self.watch.labels.clone());
        let mut objects = BTreeMap::new();
        self.unreadable.clear();
        while let Some(items) = pages.next(&self.watch.api).await? {
            for item in items {
                let key = ObjectKey::of(item.meta());
                let value = match item {
                    Reading::Whole(object) => Some((self.project)(*object)),
                    Reading::Unreadable(unreadable) => self.make_do(&key, &unreadable),
                };
                objects.extend(value.map(|value| (key, value)));
            }
        }
        self.version = pages.version;
        self.listed_at = clock::boottime();
        self.health.listed(objects.len(), self.unreadable.len());
        Ok(objects)
    }

    async fn watch_once<V>(&mut self, backoff: &mut Backoff) -> End
    where
        P: Fn(K) -> V,
        Q: Fn(&Unreadable) -> Option<V>,
        W: Fn(Change<V>) -> M,
    {
        let params = WatchParams {
            label_selector: self.watch.labels.clone(),
            field_selector: self.watch.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let events = match timeout(HEAD, self.watch.api.watch(&params, &self.version)).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return End::of(Trouble::of(&error)),
            Err(_) => return End::of(Trouble::timed_out()),
        };
        self.health.following();
        let mut events = events.boxed();
        let began = clock::boottime();
        loop {
            let event = match timeout(SILENCE, events.try_next()).await {
                Err(_) => return End::Resume(Some(Trouble::timed_out())),
                Ok(Err(error)) => return End::of(Trouble::of(&error)),
                // A server that is going down ends watches as soon as they have begun.
                Ok(Ok(None)) if clock::boottime().saturating_sub(began) < SHORT_LIFE => {
                    tokio::time::sleep(backoff.next_wait()).await;
                    return End::Resume(None);
                }
                Ok(Ok(None)) => return End::Resume(None),
                Ok(Ok(Some(event))) => event,
            };
            backoff.reset();
            let change = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.applied(object),
                WatchEvent::Deleted(object) => Some(self.deleted(&object)),
                WatchEvent::Bookmark(bookmark) => {
                    self.version = bookmark.metadata.resource_version;
                    None
                }
                WatchEvent::Error(status) => return End::of(Trouble::of_status(&status)),
            };
            if let Some(change) = change
                && !self.send(change).await
            {
                return End::Unheard;
            }
        }
    }

    fn applied<V>(&mut self, object: Reading<K>) -> Option<Change<V>>
    where
        P: Fn(K) -> V,
        Q: Fn(&Unreadable) -> Option<V>,
    {
        let key = ObjectKey::of(object.meta());
        self.advance(object.meta().resource_version.clone());
        let value = match object {
            Reading::Whole(object) => {
                self.unreadable.remove(&key);
                self.health.event(Verb::Apply);
                Some((self.project)(*object))
            }
            Reading::Unreadable(unreadable) => self.make_do(&key, &unreadable),
        };
        self.health.unreadable(self.unreadable.len());
        value.map(|value| Change::Apply(key, value))
    }

    fn deleted<V>(&mut self, object: &Reading<K>) -> Change<V> {
        let key = ObjectKey::of(object.meta());
        self.advance(object.meta().resource_version.clone());
        if self.unreadable.remove(&key) {
            self.health.unreadable(self.unreadable.len());
        }
        self.health.event(Verb::Delete);
        Change::Delete(key)
    }

    fn advance(&mut self, version: Option<String>) {
        if let Some(version) = version {
            self.version = version;
        }
    }

    /// Notes an object that cannot be understood, and makes of it what can be made of it.
    fn make_do<V>(&mut self, key: &ObjectKey, unreadable: &Unreadable) -> Option<V>
    where
        Q: Fn(&Unreadable) -> Option<V>,
    {
        warn!(
            kind = self.health.kind(),
            object = %key,
            error = unreadable.error,
            "Object cannot be understood and keeps its last good meaning; correct it"
        );
        self.unreadable.insert(key.clone());
        (self.partly)(unreadable)
    }

    async fn send<V>(&self, change: Change<V>) -> bool
    where
        W: Fn(Change<V>) -> M,
    {
        self.sink.send((self.wrap)(change)).await.is_ok()
    }
}

// === impl End ===

impl End {
    fn of(trouble: Trouble) -> Self {
        if trouble.reason == Reason::Stale {
            Self::List(trouble)
        } else {
            Self::Resume(Some(trouble))
        }
    }
}

#[cfg(test)]
mod scripted;
