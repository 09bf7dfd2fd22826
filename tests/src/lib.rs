//! What the tests, the demo and the benchmarks share: a lab of network namespaces with a real
//! Kubernetes in it, and the instruments to look at it.
//!
//! Nothing here is a mock: the control plane, kube-proxy and kubelet are upstream's, the links are
//! the kernel's, and FerroLB's binaries are the ones that are released.

pub mod bench;
pub mod chart;
pub mod cluster;
pub mod demo;
#[cfg(test)]
mod invariants;
pub mod lab;
pub mod lent;
pub mod oracle;
#[cfg(test)]
mod reasons;
