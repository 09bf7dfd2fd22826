//! Which claims strangers have written, and when: what these say proves nothing for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrolb_tests::lab::clock;
use parking_lot::Mutex;

/// How long after a stranger's write a claim may be wrong: the Lease may have to run out before anybody
/// puts it right.
const MENDED: Duration = Duration::from_secs(10);

/// When strangers last wrote each claim.
#[derive(Clone, Default)]
pub(super) struct Disturbed(Arc<Mutex<BTreeMap<IpAddr, Instant>>>);

// === impl Disturbed ===

impl Disturbed {
    /// A stranger is about to write a claim.
    pub(super) fn disturb(&self, address: IpAddr) {
        self.0.lock().insert(address, clock::now());
    }

    /// Whether a stranger has written a claim a moment ago.
    pub(super) fn is_disturbed(&self, address: IpAddr) -> bool {
        let past = self.0.lock();
        past.get(&address).is_some_and(|at| at.elapsed() < MENDED)
    }
}
