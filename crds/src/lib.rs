//! FerroLB's Kubernetes objects: their types, the rules the API server enforces on them, the
//! annotation keys, and the way from an object to `core`'s types.
//!
//! The types are the single source of the YAML under `charts/ferrolb/crds` (`crdgen` prints it).
//! A field exists here only once something honors it.

pub mod address_claim;
pub mod address_pool;
pub mod annotation;
pub mod convert;
pub mod entry;
pub mod manifest;

pub use address_claim::{AddressClaim, AddressClaimSpec, AddressClaimStatus};
pub use address_pool::{AddressPool, AddressPoolSpec, AddressPoolStatus};

/// The API group of every object of ours.
pub const GROUP: &str = "ferrolb.io";

/// The version of every object of ours.
pub const VERSION: &str = "v1alpha1";
