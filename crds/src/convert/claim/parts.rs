//! The small types that a claim is made of, there and back.

use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};

use crate::address_claim::{ClaimHolder, ClaimPort, ClaimProtocol, ClaimTrafficPolicy, ServiceReference};

// === impl ClaimHolder ===

impl ClaimHolder {
    /// The Service that this entry stands for.
    pub fn key(&self) -> ServiceKey {
        ServiceKey::new(&*self.namespace, &*self.name)
    }
}

// === impl ServiceReference ===

impl From<&ServiceReference> for ServiceKey {
    fn from(reference: &ServiceReference) -> Self {
        Self::new(&*reference.namespace, &*reference.name)
    }
}

impl From<ServiceKey> for ServiceReference {
    fn from(key: ServiceKey) -> Self {
        Self {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
        }
    }
}

// === impl ClaimTrafficPolicy ===

impl From<ClaimTrafficPolicy> for TrafficPolicy {
    fn from(policy: ClaimTrafficPolicy) -> Self {
        match policy {
            ClaimTrafficPolicy::Cluster => Self::Cluster,
            ClaimTrafficPolicy::Local => Self::Local,
        }
    }
}

impl From<TrafficPolicy> for ClaimTrafficPolicy {
    fn from(policy: TrafficPolicy) -> Self {
        match policy {
            TrafficPolicy::Cluster => Self::Cluster,
            TrafficPolicy::Local => Self::Local,
        }
    }
}

// === impl ClaimPort ===

impl ClaimPort {
    /// The port, unless its number is out of range.
    pub fn to_service_port(self) -> Option<ServicePort> {
        let protocol = match self.protocol {
            ClaimProtocol::Tcp => Protocol::Tcp,
            ClaimProtocol::Udp => Protocol::Udp,
            ClaimProtocol::Sctp => Protocol::Sctp,
        };
        let port = u16::try_from(self.port).ok()?;
        Some(ServicePort { protocol, port })
    }
}

impl From<ServicePort> for ClaimPort {
    fn from(port: ServicePort) -> Self {
        let protocol = match port.protocol {
            Protocol::Tcp => ClaimProtocol::Tcp,
            Protocol::Udp => ClaimProtocol::Udp,
            Protocol::Sctp => ClaimProtocol::Sctp,
        };
        Self {
            protocol,
            port: port.port.into(),
        }
    }
}
