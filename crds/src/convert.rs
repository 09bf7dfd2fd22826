//! From Kubernetes objects to the types of `core`.
//!
//! A conversion keeps what decides and drops the rest, so that two objects that mean the same
//! compare equal. What cannot be understood becomes a value that matches nothing, or an error
//! that names the field; it never becomes a guess.

pub mod claim;
pub mod condition;
pub mod node;
pub mod pool;
pub mod selector;
pub mod time;
