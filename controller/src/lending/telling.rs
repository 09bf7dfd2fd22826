//! From what the allocator has to say about an object to a line in the log and an Event.

use ferrolb_core::address::claim_name;
use ferrolb_core::allocator::{Notice, Regarding};
use ferrolb_crds::{GROUP, VERSION};
use ferrolb_runtime::index::ObjectKey;
use k8s_openapi::api::core::v1::ObjectReference;
use tracing::{info, warn};

use super::world::World;
use crate::notices::{Notices, Report};

/// Tells people what the allocator has to say: the log at once, Events when the API server takes them.
pub(super) fn tell(world: &World, notices: &Notices, notice: Notice) {
    let Notice {
        regarding,
        is_warning,
        reason,
        message,
    } = notice;
    let regarding = reference(world, &regarding);
    let kind = regarding.kind.as_deref().unwrap_or_default();
    let namespace = regarding.namespace.as_deref().unwrap_or_default();
    let object = regarding.name.as_deref().unwrap_or_default();
    if is_warning {
        warn!(kind, namespace, object, reason, message, "Object needs attention");
    } else {
        info!(kind, namespace, object, reason, message, "Object changed");
    }
    notices.report(Report {
        regarding,
        is_warning,
        reason,
        message,
    });
}

fn reference(world: &World, regarding: &Regarding) -> ObjectReference {
    let ours = |kind: &str, name: String, uid: Option<String>| ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(kind.to_owned()),
        name: Some(name),
        uid,
        ..ObjectReference::default()
    };
    match regarding {
        Regarding::Service { key, uid } => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(uid.as_str().to_owned()),
            ..ObjectReference::default()
        },
        Regarding::Pool { name, uid } => ours("AddressPool", name.to_string(), Some(uid.as_str().to_owned())),
        Regarding::Claim { address } => {
            let name = claim_name(*address);
            let known = world.claims.get(&ObjectKey::cluster(name.as_str()));
            let uid = known
                .and_then(|claim| claim.as_ref())
                .map(|claim| claim.uid.as_str().to_owned());
            ours("AddressClaim", name, uid)
        }
    }
}
