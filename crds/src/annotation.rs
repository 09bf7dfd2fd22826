//! The annotation, label and condition words that FerroLB reads and writes on objects that are
//! not its own.
//!
//! Each wish can be spelled in several ways: our key first, then the keys of MetalLB, so that a
//! cluster can move over without touching its Services. Ours wins where both are present.

use std::collections::BTreeMap;

/// The `loadBalancerClass` that is ours when nothing else is configured.
pub const DEFAULT_LOAD_BALANCER_CLASS: &str = "ferrolb.io/layer2";

/// Written on a Service: the pool that its addresses were lent from.
pub const ALLOCATED_FROM_POOL: &str = "ferrolb.io/allocated-from-pool";

/// The type of the one condition that we write on a Service.
pub const ADDRESS_ASSIGNED: &str = "ferrolb.io/AddressAssigned";

/// A label of a claim: the pool that the address was lent from.
pub const POOL_LABEL: &str = "ferrolb.io/pool";

/// Keys that ask for certain addresses: a list, one per family.
pub const LOAD_BALANCER_IPS: Wish = Wish(&[
    "ferrolb.io/load-balancer-ips",
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
]);

/// Keys that ask for a certain pool.
pub const ADDRESS_POOL: Wish = Wish(&[
    "ferrolb.io/address-pool",
    "metallb.io/address-pool",
    "metallb.universe.tf/address-pool",
]);

/// Keys that name whom a Service is willing to share its address with.
pub const SHARING_KEY: Wish = Wish(&[
    "ferrolb.io/sharing-key",
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
]);

/// One wish and every key it may be spelled with, the winning one first.
#[derive(Clone, Copy, Debug)]
pub struct Wish(&'static [&'static str]);

// === impl Wish ===

impl Wish {
    /// The value of the first key that is present, without blanks around it, and that key.
    ///
    /// A value of blanks alone counts as absent.
    pub fn find(self, annotations: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
        self.0.iter().find_map(|key| {
            let value = annotations.get(*key)?.trim();
            (!value.is_empty()).then_some((*key, value))
        })
    }

    /// Our own key.
    pub const fn key(self) -> &'static str {
        match self.0 {
            [ours, ..] => ours,
            [] => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn our_key_wins_over_the_aliases() {
        let annotations = mk_annotations(&[
            ("metallb.io/address-pool", "theirs"),
            ("ferrolb.io/address-pool", " ours "),
        ]);
        assert_eq!(
            ADDRESS_POOL.find(&annotations),
            Some(("ferrolb.io/address-pool", "ours"))
        );
    }

    #[test]
    fn aliases_of_both_generations_are_read() {
        for key in [
            "metallb.io/allow-shared-ip",
            "metallb.universe.tf/allow-shared-ip",
        ] {
            let annotations = mk_annotations(&[(key, "k")]);
            assert_eq!(SHARING_KEY.find(&annotations), Some((key, "k")));
        }
    }

    #[test]
    fn a_blank_value_is_no_wish() {
        let annotations = mk_annotations(&[("ferrolb.io/load-balancer-ips", "  ")]);
        assert_eq!(LOAD_BALANCER_IPS.find(&annotations), None);
    }
}
