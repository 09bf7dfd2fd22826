//! Real nodes that run pods.

mod nodes;
