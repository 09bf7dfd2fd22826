//! Which addresses people reserve for which Service.
//!
//! A reservation is a claim that a person makes; the ledger keeps it like any other, and this
//! finds it by the Service that it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::service::ServiceKey;

/// Reserved addresses by Service.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    by_service: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
}

// === impl Reservations ===

impl Reservations {
    /// The addresses that are reserved for a Service, IPv4 first.
    pub(super) fn of(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> + '_ {
        self.by_service.get(key).into_iter().flatten().copied()
    }

    /// An address is reserved for others than before.
    pub(super) fn replace(
        &mut self,
        address: IpAddr,
        before: &BTreeSet<ServiceKey>,
        after: &BTreeSet<ServiceKey>,
    ) {
        for key in before.difference(after) {
            if let Some(addresses) = self.by_service.get_mut(key) {
                addresses.remove(&address);
                if addresses.is_empty() {
                    self.by_service.remove(key);
                }
            }
        }
        for key in after.difference(before) {
            self.by_service.entry(key.clone()).or_default().insert(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_those_for_whom_it_is_reserved() {
        let (a, b) = (ServiceKey::new("default", "a"), ServiceKey::new("default", "b"));
        let (first, second) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let set = |keys: &[&ServiceKey]| keys.iter().copied().cloned().collect::<BTreeSet<_>>();
        let mut reservations = Reservations::default();
        reservations.replace(second, &set(&[]), &set(&[&a]));
        reservations.replace(first, &set(&[]), &set(&[&a, &b]));
        assert!(reservations.of(&a).eq([first, second]));
        reservations.replace(first, &set(&[&a, &b]), &set(&[&b]));
        assert!(reservations.of(&a).eq([second]));
        assert!(reservations.of(&b).eq([first]));
        reservations.replace(second, &set(&[&a]), &set(&[]));
        assert_eq!(reservations.of(&a).next(), None);
        assert_eq!(reservations.by_service.len(), 1);
    }
}
