//! The speaker: the part of FerroLB that runs on every node and answers for VIPs.
//!
//! A library only so that tests can drive its parts against a real kernel; the program is
//! `main.rs`.

pub mod announcer;
pub mod api;
pub mod app;
pub mod args;
mod entropy;
pub mod gossip;
pub mod mailbox;
pub mod netlink;
pub mod privileges;
pub mod protocol;
pub mod socket;
