//! The allocator against an API server in memory: the rules, crashes, and random histories.
//!
//! `api` is that server: it creates, updates and deletes under the rules of the real one.
//! `world` drives replicas of the controller against it, as exactly or as badly as a test wants.
//! `oracle` says what must hold after every step and what must hold at rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod admission;
mod allocation;
mod api;
mod class;
mod contested;
mod crashes;
mod examples;
mod exhaustive;
mod finalizer;
mod history;
mod notices;
mod objects;
mod oracle;
mod order;
mod plain;
mod pressed;
mod properties;
mod ranges;
mod repair;
mod requests;
mod reservations;
mod reshaped;
mod scale;
mod sharing;
mod shown;
mod subnets;
mod throttled;
mod unreadable;
mod world;
