//! Somebody who sees every version of every Service and claim, and fails at the first that breaks a rule.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ferrolb_tests::lab::clock;
use ferrolb_tests::lent::{Lent, Order, Seen, Source};
use futures::{StreamExt, TryStreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, Sender};

use super::Course;
use super::disturbed::Disturbed;
use crate::tenant::{Tenant, version};

/// The Service and, beside it, the claim by which the watcher knows that it has seen everything.
pub(super) const THE_END: &str = "the-end";

/// How much earlier than at its end the watcher may believe a quarantine to be over: it hears of the begin
/// and of what comes after with different delays.
const SLACK: Duration = Duration::from_secs(1);

/// What a watch tells.
type Told = (Source, u64, Option<Seen>);

/// Judges everything from now until the Service [`THE_END`] is seen, and writes it into a file, so that who
/// looks for a cause sees what came before.
pub(super) async fn watch(
    tenant: Tenant,
    (services, claims): (String, String),
    quarantine: Duration,
    (course, disturbed): (Arc<Course>, Disturbed),
    mut record: impl Write,
) -> Result<()> {
    let (sender, mut told) = mpsc::channel(64);
    let service = |service, is_gone| match is_gone {
        false => Seen::Service(Box::new(service)),
        true => Seen::ServiceGone(Box::new(service)),
    };
    let claim = |claim, is_gone| match is_gone {
        false => Seen::Claim(Box::new(claim)),
        true => Seen::ClaimGone(Box::new(claim)),
    };
    let services = follow(
        tenant.services(),
        services,
        Source::Services,
        service,
        sender.clone(),
    );
    let claims = follow(tenant.claims(), claims, Source::Claims, claim, sender);
    let judge = async {
        let (mut order, mut lent) = (Order::default(), Lent::default());
        let mut freed: BTreeMap<IpAddr, (String, Instant)> = BTreeMap::new();
        while let Some((source, version, seen)) = told.recv().await {
            order.push(source, version, seen);
            while let Some((version, seen)) = order.pop() {
                writeln!(record, "{version} {seen}")?;
                let turn = lent.apply(&seen, |address| disturbed.is_disturbed(address));
                let turn = turn.with_context(|| format!("in version {version}"))?;
                for address in &turn.begins {
                    let freed = freed.get(address).filter(|(last, _)| *last != turn.service);
                    let rested = freed.map(|(last, at)| (last, at.elapsed()));
                    ensure!(
                        rested.is_none_or(|(_, rested)| rested + SLACK >= quarantine),
                        "{} shows {address} too soon after {rested:?} did, in version {version}",
                        turn.service
                    );
                }
                for address in turn.ends {
                    freed.insert(address, (turn.service.clone(), clock::now()));
                }
                course.versions.fetch_add(1, Ordering::Relaxed);
                if !turn.begins.is_empty() {
                    course.lent.fetch_add(1, Ordering::Relaxed);
                }
                if matches!(&seen, Seen::Service(service) if service.name_any() == THE_END) {
                    return Ok(());
                }
            }
        }
        bail!("the watches have ended")
    };
    tokio::select! {
        ended = services => ended,
        ended = claims => ended,
        judged = judge => judged,
    }
}

/// The version of a list, to watch from.
pub(super) async fn version_of<K>(api: &Api<K>) -> Result<String>
where
    K: Clone + DeserializeOwned + Debug,
{
    let list = api.list(&ListParams::default()).await?;
    list.metadata.resource_version.context("a list has a version")
}

/// Tells every change of one kind, as the API server orders them.
async fn follow<K>(
    api: Api<K>,
    mut last: String,
    source: Source,
    seen: impl Fn(K, bool) -> Seen,
    told: Sender<Told>,
) -> Result<()>
where
    K: ResourceExt + Clone + DeserializeOwned + Debug,
{
    loop {
        let mut events = api
            .watch(&WatchParams::default().timeout(290), &last)
            .await?
            .boxed();
        while let Some(event) = events.try_next().await? {
            let (object, is_gone) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    last = bookmark.metadata.resource_version;
                    told.send((source, last.parse()?, None)).await?;
                    continue;
                }
                WatchEvent::Error(status) => bail!("the watch ends: {}", status.message),
            };
            last = object.resource_version().context("a version")?;
            let number = version(&object)?;
            told.send((source, number, Some(seen(object, is_gone)))).await?;
        }
    }
}
