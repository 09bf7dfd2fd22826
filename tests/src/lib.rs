//! What the tests, the demo and the benchmarks share: a lab of network namespaces with a real
//! Kubernetes in it, and the instruments to look at it.
//!
//! Nothing here is a mock: the control plane, kube-proxy and kubelet are upstream's, the links are
//! the kernel's, and FerroLB's binaries are the ones that are released.

<<<<<<< HEAD
pub mod chart;
pub mod demo;
=======
pub mod cluster;
pub mod helm;
>>>>>>> 36d87da (Check samples against the real API server, and that labs end)
pub mod lab;
pub mod oracle;
