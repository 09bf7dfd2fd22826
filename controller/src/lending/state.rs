//! The page `/debug/state`: what the controller knows, has decided, and is doing.

use ferrolb_core::allocator::Allocator;
use ferrolb_core::claim::Claim;
use ferrolb_core::pool::Pool;
use serde_json::{Value, json};

use super::classes::by_class;
use super::world::World;
use crate::project::Classes;

pub(super) fn page(
    world: &World,
    classes: &Classes,
    allocator: Option<&Allocator>,
    calls: &[&'static str],
) -> Value {
    let services = world.services.iter().map(|(_, known)| known);
    json!({
        "leading": allocator.is_some(),
        "listed": world.is_listed(),
        "services": world.services.len(),
        "classes": by_class(classes, services),
        "pools": world.pools.iter().map(|(_, pool)| pool_line(pool)).collect::<Vec<_>>(),
        "claims": world.claims.iter().filter_map(|(_, claim)| claim.as_ref()).map(claim_line).collect::<Vec<_>>(),
        "decisions": allocator.map(decisions),
        "callsUnderWay": calls,
    })
}

fn pool_line(pool: &Pool) -> Value {
    json!({
        "name": pool.name.as_str(),
        "addresses": pool.spec.addresses,
        "autoAssign": pool.spec.auto_assign,
    })
}

fn claim_line(claim: &Claim) -> Value {
    json!({
        "address": claim.spec.address,
        "pool": claim.spec.pool.as_ref().map(ToString::to_string),
        "state": claim.spec.state.map(ferrolb_core::claim::ClaimState::as_str),
        "heldBy": claim.spec.held_by,
        "isAnswered": claim.has_owner,
    })
}

fn decisions(allocator: &Allocator) -> Vec<Value> {
    let line = |(key, addresses, refusal): (
        &ferrolb_core::service::ServiceKey,
        Vec<std::net::IpAddr>,
        Option<&ferrolb_core::reason::Refusal>,
    )| {
        json!({
            "service": key.to_string(),
            "addresses": addresses,
            "refused": refusal.map(|refusal| refusal.reason.as_str()),
            "message": refusal.map(|refusal| refusal.message.as_str()),
        })
    };
    allocator.decisions().map(line).collect()
}
