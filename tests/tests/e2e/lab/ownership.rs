//! Who answers for a VIP, on real kernels with a real client: taking, failing over, handing over,
//! giving up, and an API server that is away.

mod claims;
mod failover;
mod handover;
mod outage;
mod stage;

/// How often each way to lose an owner is tried.
const ROUNDS: usize = 10;
