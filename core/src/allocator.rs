//! Lends addresses to Services: a pure machine, with one owner and without I/O.
//!
//! It is told what the watches show ([`Event`]), it asks for calls to the API server ([`Call`]),
//! and it is told what became of each ([`Outcome`]). It never assumes that a write happened: the
//! write sequence is part of the machine, and every step of it can be taken up again by another
//! replica that knows nothing but the objects.
//!
//! ```text
//!  watches --Event--> apply() ----+
//!                                 v
//!                     +-----------------------+
//!                     |  decide, per Service  |   which addresses it should have
//!                     |          |            |
//!                     |       ledger          |   one slot per address: who is to hold it,
//!                     |          |            |   and the claim as it is stored
//!                     |  converge, per object |   one call at a time for each object
//!                     +-----------------------+
//!                       |                   ^
//!                 poll_call()        handle_outcome()
//!                       v                   |
//!                      Call ---driver--> Outcome
//! ```
//!
//! # Driving it
//!
//! ```text
//! for every watch event:      allocator.apply(event, now)
//! when all lists are there:   allocator.apply(Event::Synced, now)
//! while a slot is free:       allocator.poll_call(now) -> Some((id, call)): make the call
//! when a call has ended:      allocator.handle_outcome(id, outcome, now)
//! after each of these:        drain poll_notice(); wake at poll_timeout()
//! ```
//!
//! The driver bounds how many calls are under way by not polling. Waking at
//! `poll_timeout()` means to call `poll_call` again. On loss of the Lease the driver drops the
//! allocator with all that is under way, and builds a new one when it leads again: everything
//! that matters is in the objects.

pub mod call;
pub mod event;

pub use call::{Call, CallId, Outcome, PoolPatch, ServicePatch, Stored};
pub use event::{Event, Notice, Regarding};
