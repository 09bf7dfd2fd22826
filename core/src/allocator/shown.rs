//! Which Services show an address, rightly or not.
//!
//! An address that a Service shows is in use, with or without a claim: another load balancer may
//! serve it, or somebody deleted the claim. It is lent to nobody else as long as it is shown. And
//! whether a status is ours to correct depends on what becomes of the addresses in it, so that
//! whoever shows an address is looked at again when its slot changes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::allocator::few::FewMap;
use crate::service::ServiceKey;

/// Addresses and who shows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// With each Service, whether it is foreign: another load balancer serves it, so that we
    /// cannot take the address from it.
    by_address: BTreeMap<IpAddr, FewMap<ServiceKey, bool>>,
}

// === impl Shown ===

impl Shown {
    /// A Service shows an address.
    pub(super) fn add(&mut self, address: IpAddr, service: &ServiceKey, is_foreign: bool) {
        let services = self.by_address.entry(address).or_default();
        services.insert(service.clone(), is_foreign);
    }

    /// A Service does not show an address any more.
    pub(super) fn remove(&mut self, address: IpAddr, service: &ServiceKey) {
        if let Some(services) = self.by_address.get_mut(&address) {
            services.remove(service);
            if services.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    /// Every address that is shown.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Whether somebody shows an address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Who shows an address.
    pub(super) fn by(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.by_address.get(&address).into_iter().flat_map(FewMap::keys)
    }

    /// A foreign Service that shows an address.
    pub(super) fn by_foreign(&self, address: IpAddr) -> Option<&ServiceKey> {
        let mut services = self.by_address.get(&address).into_iter().flatten();
        services
            .find(|(_, is_foreign)| **is_foreign)
            .map(|(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_with_the_last_who_shows_it() {
        let address = "10.0.0.1".parse().expect("an address");
        let (a, b) = (ServiceKey::new("default", "a"), ServiceKey::new("default", "b"));
        let mut shown = Shown::default();
        shown.add(address, &a, false);
        shown.add(address, &b, true);
        assert!(shown.by(address).eq([&a, &b]));
        assert_eq!(shown.by_foreign(address), Some(&b));
        shown.remove(address, &b);
        assert!(shown.by(address).eq([&a]));
        assert_eq!(shown.by_foreign(address), None);
        shown.remove(address, &a);
        assert!(!shown.contains(address));
        assert!(shown.by_address.is_empty());
    }
}
