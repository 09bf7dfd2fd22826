//! Writes the status of claims: best effort, one patch at a time for each claim.
//!
//! Nothing that is answered waits for it. What should be written is compared with what is there
//! each time it is this claim's turn, so that a slow or absent API server costs no queue: only the
//! last word of each claim is ever sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use ferrolb_runtime::backoff::Backoff;
use ferrolb_runtime::trouble::{Reason, Trouble};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::metrics::WriteMetrics;
use super::status::{Desired, Observed};
use super::until;

/// Patches under way at a time, over all claims. The API server takes some thousand a second from
/// the whole cluster; sixteen keep a node's share of ten thousand moves below a second or two.
const CONCURRENCY: usize = 16;

/// The client gives up on a silent server sooner; this bounds an answer that trickles.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reports on claims: `None` when this node has nothing to say any more.
pub(crate) type Reports = BTreeMap<IpAddr, Option<Desired>>;

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    api: Api<AddressClaim>,
    metrics: WriteMetrics,
    /// What this node has to say, by VIP.
    desired: BTreeMap<IpAddr, Desired>,
    /// What the API server has, as far as it was read.
    observed: BTreeMap<IpAddr, Observed>,
    /// Claims to look at.
    dirty: BTreeSet<IpAddr>,
    /// Claims with a patch under way.
    busy: BTreeSet<IpAddr>,
    patches: JoinSet<(IpAddr, Result<Option<Observed>, Trouble>)>,
    backoff: Backoff,
    /// Until then nothing is sent: the API server could not be reached.
    paused_until: Option<Instant>,
    last_trouble: Option<Trouble>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(client: Client, metrics: WriteMetrics) -> Self {
        Self {
            api: Api::all(client),
            metrics,
            desired: BTreeMap::new(),
            observed: BTreeMap::new(),
            dirty: BTreeSet::new(),
            busy: BTreeSet::new(),
            patches: JoinSet::new(),
            backoff: Backoff::new(),
            paused_until: None,
            last_trouble: None,
        }
    }

    /// The watch has read these claims.
    pub(super) fn observe(&mut self, claims: Vec<(IpAddr, Option<Observed>)>) {
        for (vip, observed) in claims {
            match observed {
                Some(observed) => self.learn(vip, observed),
                None => {
                    self.observed.remove(&vip);
                }
            }
        }
    }

    /// This node has these things to say.
    pub(super) fn report(&mut self, reports: Reports) {
        for (vip, desired) in reports {
            match desired {
                Some(desired) => {
                    self.desired.insert(vip, desired);
                    self.dirty.insert(vip);
                }
                None => {
                    self.desired.remove(&vip);
                }
            }
        }
    }

    /// Whether everything that can be said has been.
    pub(super) fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.busy.is_empty()
    }

    /// Sends what is to be sent, until something comes back. Never completes while there is
    /// nothing to do. Cancel safe: patches under way go on.
    pub(super) async fn advance(&mut self) {
        self.start_patches();
        let resume = self.paused_until.filter(|_| !self.dirty.is_empty());
        tokio::select! {
            Some(ended) = self.patches.join_next() => match ended {
                Ok((vip, result)) => self.finish(vip, result),
                // Nobody aborts patches but the end of the process, so it can only be a panic.
                Err(error) => if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                },
            },
            () = until(resume) => self.paused_until = None,
        }
    }

    fn start_patches(&mut self) {
        if self.paused_until.is_some() {
            return;
        }
        while self.patches.len() < CONCURRENCY
            && let Some(vip) = self.dirty.iter().find(|vip| !self.busy.contains(*vip)).copied()
        {
            self.dirty.remove(&vip);
            if let Some(patch) = self.patch(vip) {
                self.busy.insert(vip);
                self.patches.spawn(send(self.api.clone(), vip, patch));
            }
        }
    }

    fn patch(&self, vip: IpAddr) -> Option<Value> {
        // A claim that was not read yet will be: the watch marks it then.
        self.desired.get(&vip)?.patch(self.observed.get(&vip)?)
    }

    fn finish(&mut self, vip: IpAddr, result: Result<Option<Observed>, Trouble>) {
        self.busy.remove(&vip);
        let trouble = match result {
            Ok(read) => {
                match read {
                    Some(observed) => self.learn(vip, observed),
                    // Gone: the watch will say so, too.
                    None => drop(self.observed.remove(&vip)),
                }
                self.metrics.written();
                self.works();
                return;
            }
            Err(trouble) => trouble,
        };
        self.metrics.failed(trouble.reason);
        self.dirty.insert(vip);
        let pause = trouble.wait.unwrap_or_default() + self.backoff.next_wait();
        self.paused_until = self.paused_until.max(Some(Instant::now() + pause));
        if self.last_trouble.as_ref() != Some(&trouble) {
            tracing::warn!(
                %vip,
                reason = trouble.reason.as_str(),
                error = trouble.sentence,
                "Claim status cannot be written and is retried; what is answered does not depend on it"
            );
            self.last_trouble = Some(trouble);
        }
    }

    fn works(&mut self) {
        self.backoff.reset();
        if self.last_trouble.take().is_some() {
            tracing::info!("Claim status can be written again");
        }
    }

    fn learn(&mut self, vip: IpAddr, observed: Observed) {
        let known = self.observed.get(&vip);
        if known.is_none_or(|known| observed.is_newer_than(known)) {
            self.observed.insert(vip, observed);
            self.dirty.insert(vip);
        }
    }
}

/// Sends one patch. Gives what the API server has now: when it refused, that is what it had all
/// along, and the next turn compares again if it is newer than what was compared. `None`: there
/// is no such claim.
async fn send(
    api: Api<AddressClaim>,
    vip: IpAddr,
    patch: Value,
) -> (IpAddr, Result<Option<Observed>, Trouble>) {
    let name = claim_name(vip);
    let params = PatchParams::default();
    let patch = Patch::Merge(&patch);
    let patched = in_time(api.patch_status(&name, &params, &patch)).await;
    let read = match patched {
        // Invalid is what a rule says, too: the epoch that is stored is higher.
        Err(trouble) if matches!(trouble.reason, Reason::Conflict | Reason::Invalid) => {
            in_time(api.get(&name)).await
        }
        other => other,
    };
    let result = match read {
        Ok(claim) => Ok(Some(Observed::of(&claim))),
        Err(trouble) if trouble.reason == Reason::NotFound => Ok(None),
        Err(trouble) => Err(trouble),
    };
    (vip, result)
}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
        Err(_) => Err(Trouble::timed_out()),
    }
}

#[cfg(test)]
mod scripted;
