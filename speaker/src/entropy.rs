//! Random numbers for what must differ between runs, and need not be secret.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number from the keys that the kernel gives the standard library's hasher.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
