//! How far the calls for one claim have come: what the machine remembers about its own writes.
//!
//! Nobody but the claim itself depends on it: who may hold the address, and what else is free, is
//! the same before and after.

use crate::allocator::call::CallId;
use crate::allocator::contest::Contest;
use crate::allocator::retry::Retry;
use crate::time::Time;

/// The calls for one claim.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// A write of ours was the last to land: whatever else was based on an older version, by a
    /// former leader or by us, can no longer land.
    pub(super) is_fenced: bool,
    /// The watch has not shown this version of the claim yet. Whoever leads no more and does not
    /// know it may read claims, but its watches stand still.
    pub(super) is_unseen: bool,
    /// A write went astray: read before anything else is decided.
    pub(super) must_read: bool,
    /// The call under way.
    pub(super) call: Option<CallId>,
    /// People have heard that the reservation reserves nothing.
    pub(super) is_told_misplaced: bool,
    /// Until when the owner's withdrawal is waited for.
    pub(super) withdraw_by: Option<Time>,
    /// The owner has withdrawn, or was waited for long enough.
    pub(super) is_withdrawn: bool,
    /// Pauses after calls that did not work.
    pub(super) retry: Retry,
    /// Whether somebody else keeps changing back what we write.
    pub(super) contest: Contest,
}
