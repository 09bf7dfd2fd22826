//! Real nodes that run pods.

mod chart;
mod commands;
mod nodes;
mod readiness;
mod services;
mod stage;
mod updates;
