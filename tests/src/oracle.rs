//! The packet oracle: watches every frame on a lab's LAN, and in the end says whether any node ever
//! spoke for an address that it did not own.
//!
//! It sees what switches see: frames as they enter the bridge, port by port, stamped by the kernel.
//! What each node owned at which instant it takes from the speakers' own logs, where "Announcing VIP"
//! and "Withdrew VIP" stand at the moment in which their responders begin and stop, and from what it is
//! told about cut cables, frozen and ended programs ([`Oracle::tell`]). What must hold is in `judge`.
//!
//! Why the logs, and not the claims' status: status is written later, joined, as well as it goes, and not
//! at all while the API server is away; no frame can be held against it to the millisecond. What a log
//! cannot hide: a speaker that answers without saying so, and a kernel or another program that answers,
//! speak for what they do not own; a speaker that wrongly says to own a VIP overlaps with its owner.
//! What is left is a speaker alone that says and does what it ought not to, for a VIP without another
//! owner: whether it is a candidate, and of a claim with holders, the ownership model decides after each
//! step (O3, O5), and the tests of this rung compare the claims' status with who answers.
//!
//! Every lab has one. It is no part of what it judges and shares no code with it: frames are decoded
//! here once more (`frame`).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::lab::clock;
use crate::lab::netns::Netns;

mod capture;
mod frame;
mod history;
mod judge;
mod logs;

use capture::Capture;
use history::History;
use judge::Case;
pub use judge::{Judged, Violation};
use logs::Logs;

/// A time since the Unix epoch: frames and logs are stamped by the same clock.
type Instant = Duration;

/// One speaker that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The node's name.
    pub node: String,
    /// The bridge's port that its cable is plugged into.
    pub port: String,
    /// Its own addresses: it may speak for these whatever the speaker says.
    pub own: Vec<IpAddr>,
    /// Where its speaker logs to, in JSON. May not be there yet. Below a directory, all files count:
    /// that is how a kubelet keeps the logs of pods.
    pub log: PathBuf,
}

/// What happens to a node beyond what its speaker can log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Its speaker, or all of it, ended without warning.
    Ended,
    /// Others cannot hear it any more.
    Isolated(Cause),
    /// Others can hear it again, as far as this cause goes.
    Reachable(Cause),
}

/// Why a node cannot be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its cable is cut.
    Cable,
    /// Its power is off.
    Power,
    /// Its speaker hangs.
    Freeze,
    /// A test keeps it from some of the others.
    Partition,
}

/// Watches one bridge. Ask it with [`Oracle::verdict`]; dropping it only stops the watch.
#[derive(Debug)]
pub struct Oracle {
    capture: Capture,
    logs: Logs,
    watched: Mutex<Vec<Watched>>,
    told: Mutex<Vec<Told>>,
    served: Mutex<BTreeSet<IpAddr>>,
}

/// What was told, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    node: String,
    at: Instant,
    happening: Happening,
}

/// Everything that was seen and is against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// How much was looked at.
    pub judged: Judged,
    /// What was found.
    pub violations: Vec<Violation>,
}

// === impl Oracle ===

impl Oracle {
    /// Starts to watch the ports of the bridges in a namespace.
    pub fn start(bridge: &Netns) -> Result<Self> {
        let capture = Capture::start(bridge).context("the packet oracle cannot capture")?;
        Ok(Self {
            capture,
            logs: Logs::start(),
            watched: Mutex::default(),
            told: Mutex::default(),
            served: Mutex::default(),
        })
    }

    /// Adds a speaker; it should be told before it starts. The same again changes nothing.
    pub fn watch(&self, watched: Watched) {
        self.logs.add(&watched.log);
        let mut all = self.watched.lock();
        if !all.contains(&watched) {
            all.push(watched);
        }
    }

    /// Says that something happens to a node now. Tell [`Happening::Ended`] and
    /// [`Happening::Reachable`] after it is done, [`Happening::Isolated`] before it is begun.
    pub fn tell(&self, node: &str, happening: Happening) {
        let at = clock::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        let node = node.to_owned();
        self.told.lock().push(Told { node, at, happening });
    }

    /// Says that a client was answered for a VIP: from now on a verdict for which no frame of its owner
    /// was seen is a violation, and not an acquittal.
    pub fn expect(&self, vip: IpAddr) {
        self.served.lock().insert(vip);
    }

    /// Judges everything that was seen so far, and goes on watching.
    pub fn verdict(&self) -> Result<Result<Judged, Violations>> {
        let seen = self.capture.seen()?;
        let told = self.told.lock().clone();
        let watched = self.watched.lock().clone();
        let histories = watched
            .into_iter()
            .map(|watched| {
                let sayings = self.logs.sayings(&watched.log)?;
                Ok(History::new(watched, sayings, &told))
            })
            .collect::<Result<Vec<_>>>()?;
        let case = Case {
            seen: &seen,
            histories: &histories,
            served: &self.served.lock().clone(),
        };
        let (judged, violations) = case.judge();
        Ok(if violations.is_empty() {
            Ok(judged)
        } else {
            Err(Violations { judged, violations })
        })
    }
}

// === impl Violations ===

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More than these say nothing new.
        const SHOWN: usize = 10;
        let Self { judged, violations } = self;
        writeln!(f, "{judged}; {} violations:", violations.len())?;
        for violation in violations.iter().take(SHOWN) {
            writeln!(f, "- {violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
