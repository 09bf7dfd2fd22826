//! Real nodes that run pods.

mod chart;
mod nodes;
mod readiness;
mod services;
mod stage;
mod updates;
