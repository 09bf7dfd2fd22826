//! Which Services show an address, rightly or not.
//!
//! Whether a status is ours to correct depends on what becomes of the addresses in it, so that
//! whoever shows an address is looked at again when its slot changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::request::ServiceStatus;
use crate::service::ServiceKey;

/// Addresses and who shows them.
#[derive(Debug, Default)]
pub(super) struct Shown {
    by_address: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
}

// === impl Shown ===

impl Shown {
    /// A Service shows something else than before.
    pub(super) fn change(&mut self, key: &ServiceKey, before: &ServiceStatus, after: &ServiceStatus) {
        let addresses = |status: &ServiceStatus| -> BTreeSet<IpAddr> {
            status.ingress.iter().filter_map(|entry| entry.address).collect()
        };
        let (before, after) = (addresses(before), addresses(after));
        for address in before.difference(&after) {
            if let Some(keys) = self.by_address.get_mut(address) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        for address in after.difference(&before) {
            self.by_address.entry(*address).or_default().insert(key.clone());
        }
    }

    /// Who shows an address.
    pub(super) fn by(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.by_address.get(&address).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Ingress;

    fn mk_status(addresses: &[&str]) -> ServiceStatus {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address"));
        ServiceStatus {
            ingress: addresses.map(Ingress::vip).collect(),
            ..ServiceStatus::default()
        }
    }

    #[test]
    fn an_address_is_forgotten_with_the_last_who_shows_it() {
        let mut shown = Shown::default();
        let (none, one, two) = (
            mk_status(&[]),
            mk_status(&["10.0.0.1"]),
            mk_status(&["10.0.0.1", "fd00::1"]),
        );
        let (a, b) = (ServiceKey::new("default", "a"), ServiceKey::new("default", "b"));
        shown.change(&a, &none, &two);
        shown.change(&b, &none, &one);
        let who = |shown: &Shown, text: &str| -> Vec<ServiceKey> {
            shown.by(text.parse().expect("an address")).cloned().collect()
        };
        assert_eq!(who(&shown, "10.0.0.1"), [a.clone(), b.clone()]);
        assert_eq!(who(&shown, "fd00::1"), std::slice::from_ref(&a));
        shown.change(&a, &two, &one);
        assert_eq!(who(&shown, "fd00::1"), []);
        shown.change(&a, &one, &none);
        assert_eq!(who(&shown, "10.0.0.1"), std::slice::from_ref(&b));
        shown.change(&b, &one, &none);
        assert!(shown.by_address.is_empty());
    }
}
