//! What one machine knows of one other member, and whether it counts as live.
//!
//! A member is live while membership says it is up, or while it was heard a moment ago: a Down
//! that its own datagrams belie moves nothing. A member that left stays gone for that boot. What
//! a member published is dropped when it is no longer live: dead records only raise floors.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::message::{Have, Profile, Stage};
use crate::node::Boot;
use crate::table::{Replica, Version};
use crate::time::Time;

/// One other member.
#[derive(Debug)]
pub(super) struct Member {
    /// Its newest boot that is known.
    pub(super) boot: Boot,
    /// Membership says so.
    pub(super) is_up: bool,
    /// It said that it leaves.
    pub(super) has_left: bool,
    /// When it was heard last.
    pub(super) heard: Option<Time>,
    /// What the liveness was when it was looked at last; everything below is kept only while live.
    pub(super) is_live: bool,
    /// What it published, and how far it is held.
    pub(super) inbound: Inbound,
    /// How far it holds what this member publishes.
    pub(super) outbound: Outbound,
}

/// What a member published, as held here.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) profile: Option<Profile>,
    pub(super) replica: Replica,
    /// The version of the table that it said to have; `None` before it said any.
    pub(super) advertised: Option<Version>,
    /// When it said so last.
    pub(super) digest_heard: Option<Time>,
    /// Since when what it advertised is not held.
    pub(super) behind_since: Option<Time>,
    pub(super) floors: FloorsProgress,
}

/// How far its floors are held: a new boot asks every member for them.
#[derive(Debug, Default)]
pub(super) struct FloorsProgress {
    /// The last address that is held.
    pub(super) after: Option<IpAddr>,
    pub(super) is_done: bool,
    pub(super) asked_at: Option<Time>,
}

/// How far a member holds what this one publishes.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) profile: Version,
    pub(super) table: Version,
    /// Up to where the table was sent.
    pub(super) sent: Version,
    /// The ends of the sent ranges that are not acknowledged.
    pub(super) in_flight: VecDeque<Version>,
    /// When the unacknowledged is sent again; `None` = when the member asks.
    pub(super) resend_at: Option<Time>,
    /// How often it was sent again since something changed.
    pub(super) resends: u32,
}

// === impl Member ===

impl Member {
    pub(super) fn new(boot: Boot) -> Self {
        Self {
            boot,
            is_up: false,
            has_left: false,
            heard: None,
            is_live: false,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
        }
    }

    /// Whether the member counts as live at this time.
    pub(super) fn counts_as_live(&self, now: Time, heard_for: Duration) -> bool {
        let is_heard = self.heard.is_some_and(|heard| now < heard + heard_for);
        !self.has_left && (self.is_up || is_heard)
    }

    /// When its liveness ends if nothing more is heard; `None` while membership vouches for it.
    pub(super) fn live_until(&self, heard_for: Duration) -> Option<Time> {
        if !self.is_live || self.is_up {
            return None;
        }
        self.heard.map(|heard| heard + heard_for)
    }

    /// Its profile, if it is live and in this stage.
    pub(super) fn profile_in(&self, stage: Stage) -> Option<&Profile> {
        self.inbound
            .profile
            .as_ref()
            .filter(|profile| self.is_live && profile.stage == stage)
    }

    /// What is held of this member, as it is told.
    pub(super) fn have(&self) -> Have {
        Have {
            boot: self.boot,
            profile: self.inbound.profile_version(),
            table: self.inbound.replica.version(),
        }
    }
}

// === impl Inbound ===

impl Inbound {
    pub(super) fn profile_version(&self) -> Version {
        self.profile
            .as_ref()
            .map_or(Version::NONE, |profile| profile.version)
    }

    /// Notes that the member has a table of this version.
    pub(super) fn advertise(&mut self, now: Time, table: Version) {
        self.advertised = self.advertised.max(Some(table));
        self.check_behind(now);
    }

    /// What it said to have may be old: it counts as held again once it says so again.
    pub(super) fn forget_advertised(&mut self, now: Time) {
        self.advertised = None;
        self.floors = FloorsProgress::default();
        self.check_behind(now);
    }

    /// Keeps `behind_since` true to its name; to be called after each change of what is held.
    pub(super) fn check_behind(&mut self, now: Time) {
        let is_held = self
            .advertised
            .is_some_and(|advertised| advertised <= self.replica.version());
        if is_held {
            self.behind_since = None;
        } else if self.behind_since.is_none() {
            self.behind_since = Some(now);
        }
    }
}
