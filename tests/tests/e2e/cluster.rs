//! Real nodes that run pods.

mod chart;
mod nodes;
