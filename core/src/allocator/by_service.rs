//! Addresses by Service: those that it has to do with, and those that people reserve for it.
//!
//! The ledger keeps a slot by its address; this finds it by those whom it concerns.

use std::net::IpAddr;

use foldhash::HashMap;

use crate::allocator::few::FewSet;
use crate::service::ServiceKey;

/// Addresses by Service.
#[derive(Clone, Debug, Default)]
pub(super) struct ByService {
    addresses: HashMap<ServiceKey, FewSet<IpAddr>>,
}

// === impl ByService ===

impl ByService {
    /// The addresses of a Service, IPv4 first.
    pub(super) fn of(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.addresses.get(key).into_iter().flatten().copied()
    }

    /// An address concerns others than before.
    pub(super) fn replace(
        &mut self,
        address: IpAddr,
        before: &FewSet<ServiceKey>,
        after: &FewSet<ServiceKey>,
    ) {
        for key in before.difference(after) {
            if let Some(addresses) = self.addresses.get_mut(key) {
                addresses.remove(&address);
                if addresses.is_empty() {
                    self.addresses.remove(key);
                }
            }
        }
        for key in after.difference(before) {
            self.addresses.entry(key.clone()).or_default().insert(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_those_whom_it_concerns() {
        let (a, b) = (ServiceKey::new("default", "a"), ServiceKey::new("default", "b"));
        let (first, second) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let set = |keys: &[&ServiceKey]| keys.iter().copied().cloned().collect::<FewSet<_>>();
        let mut index = ByService::default();
        index.replace(second, &set(&[]), &set(&[&a]));
        index.replace(first, &set(&[]), &set(&[&a, &b]));
        assert!(index.of(&a).eq([first, second]));
        index.replace(first, &set(&[&a, &b]), &set(&[&b]));
        assert!(index.of(&a).eq([second]));
        assert!(index.of(&b).eq([first]));
        index.replace(second, &set(&[&a]), &set(&[]));
        assert_eq!(index.of(&a).next(), None);
        assert_eq!(index.addresses.len(), 1);
    }
}
