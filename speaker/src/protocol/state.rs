//! The protocol side of `/debug/state`.

use std::net::IpAddr;

use ferrolb_core::membership::Membership;
use ferrolb_core::ownership::Ownership;
use serde_json::{Map, Value, json};

use crate::announcer::answering::Answering;

/// Members, and what is known of each VIP.
pub(super) fn state(membership: &Membership, ownership: &Ownership, answering: &Answering) -> Value {
    let live = ownership.live_members();
    let members: Vec<_> = membership
        .members()
        .map(|member| {
            json!({
                "name": member.name,
                "boot": member.boot.0,
                "address": member.address,
                "isLive": live.contains(&member.name),
            })
        })
        .collect();
    let vips: Map<_, _> = ownership
        .views()
        .map(|view| {
            let value = json!({
                "owner": view.owner,
                "epoch": view.epoch,
                "withheld": view.withheld,
                "answeringOn": answering_on(answering, view.vip),
            });
            (view.vip.to_string(), value)
        })
        .collect();
    json!({
        "boot": membership.boot().0,
        "isSynced": ownership.is_synced(),
        "awaited": ownership.awaited(),
        "members": members,
        "vips": vips,
    })
}

fn answering_on(answering: &Answering, vip: IpAddr) -> Vec<u32> {
    let interfaces = answering.get(&vip).map(|answered| &answered.interfaces);
    interfaces.into_iter().flatten().map(|index| index.0).collect()
}
