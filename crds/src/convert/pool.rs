//! What a pool says about announcing.

use std::time::Duration;

use ferrolb_core::facts::Advertisement;

use super::selector::selector;
use crate::address_pool::{AddressPoolSpec, Layer2Advertisement};

/// The name of the one advertisement of a pool that lists none.
pub const DEFAULT_ADVERTISEMENT: &str = "default";

/// The advertisements of a pool; absent means one that covers every node by its default
/// interfaces, an empty list means nowhere.
pub fn advertisements(spec: &AddressPoolSpec) -> Vec<Advertisement> {
    spec.layer2.as_ref().map_or_else(
        || {
            vec![Advertisement {
                name: DEFAULT_ADVERTISEMENT.to_owned(),
                node_selectors: Vec::new(),
                interfaces: Vec::new(),
            }]
        },
        |entries| entries.iter().map(advertisement).collect(),
    )
}

/// How long freed addresses rest; `None` when the text is no time, which the API server's rule
/// for the field makes impossible.
pub fn quarantine(spec: &AddressPoolSpec) -> Option<Duration> {
    let parsed: kube::core::Duration = spec.quarantine.parse().ok()?;
    (!parsed.is_negative()).then(|| parsed.into())
}

fn advertisement(entry: &Layer2Advertisement) -> Advertisement {
    Advertisement {
        name: entry.name.clone(),
        node_selectors: entry.node_selectors.iter().map(selector).collect(),
        interfaces: entry.interfaces.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_spec(json: serde_json::Value) -> AddressPoolSpec {
        serde_json::from_value(json).expect("a pool spec")
    }

    #[test]
    fn a_pool_without_layer2_is_announced_by_every_node() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"]}));
        let expected = Advertisement {
            name: "default".to_owned(),
            node_selectors: vec![],
            interfaces: vec![],
        };
        assert_eq!(advertisements(&spec), [expected]);
    }

    #[test]
    fn a_pool_with_an_empty_layer2_is_announced_nowhere() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"], "layer2": []}));
        assert_eq!(advertisements(&spec), []);
    }

    #[test]
    fn the_quarantine_is_a_minute_unless_said_otherwise() {
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"]}));
        assert_eq!(quarantine(&spec), Some(Duration::from_secs(60)));
        let spec = mk_spec(serde_json::json!({"addresses": ["192.0.2.1"], "quarantine": "1h30m"}));
        assert_eq!(quarantine(&spec), Some(Duration::from_secs(5400)));
    }
}
