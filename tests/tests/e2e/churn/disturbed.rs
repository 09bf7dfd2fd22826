//! Which claims strangers have written, and when: what these say proves nothing for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrolb_tests::lab::clock;
use parking_lot::Mutex;

/// How long after a stranger's write a claim may be wrong: the Lease may have to run out before anybody
/// puts it right.
const MENDED: Duration = Duration::from_secs(10);

/// How long before or after a stranger's write to its claim a Service may have become one that is not ours,
/// for what we wrote on it to be the stranger's fault.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What strangers have done.
#[derive(Clone, Default)]
pub(super) struct Disturbed(Arc<Mutex<Past>>);

#[derive(Default)]
struct Past {
    /// When strangers wrote a claim, oldest first.
    writes: BTreeMap<IpAddr, Vec<Instant>>,
    /// The addresses that a Service has shown last, and until when.
    shown: BTreeMap<String, (BTreeSet<IpAddr>, Instant)>,
}

// === impl Disturbed ===

impl Disturbed {
    /// A stranger is about to write a claim.
    pub(super) fn disturb(&self, address: IpAddr) {
        let mut past = self.0.lock();
        past.writes.entry(address).or_default().push(clock::now());
    }

    /// A Service has ended to show addresses.
    pub(super) fn note_end(&self, service: &str, addresses: &BTreeSet<IpAddr>) {
        if !addresses.is_empty() {
            let ended = (addresses.clone(), clock::now());
            self.0.lock().shown.insert(service.to_owned(), ended);
        }
    }

    /// Whether a stranger has written a claim a moment ago.
    pub(super) fn is_disturbed(&self, address: IpAddr) -> bool {
        let past = self.0.lock();
        let last = past.writes.get(&address).and_then(|writes| writes.last());
        last.is_some_and(|at| at.elapsed() < MENDED)
    }

    /// Whether a stranger wrote the claim of an address at about the time when a Service ended to show it: then
    /// the claim may not have told the next leader of the Service, which the API server shows to nobody who
    /// watches for those of our type.
    pub(super) fn is_forgotten(&self, service: &str) -> bool {
        let past = self.0.lock();
        let Some((addresses, ended)) = past.shown.get(service) else {
            return false;
        };
        let mut writes = addresses
            .iter()
            .filter_map(|address| past.writes.get(address))
            .flatten();
        writes.any(|at| {
            let apart = at
                .saturating_duration_since(*ended)
                .max(ended.saturating_duration_since(*at));
            apart < FORGOTTEN
        })
    }
}
