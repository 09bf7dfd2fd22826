//! Why a Service did not get the address that it wants.

use std::fmt;

/// Why an address was not lent; the reason of the condition, the Event and the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// The text that asks for addresses is no list of addresses, one per family.
    InvalidAddress,
    /// The field and the annotation ask for different addresses.
    ConflictingRequest,
    /// The families of the addresses asked for are not those that the Service has.
    FamilyMismatch,
    /// Both families are required, and the Service has cluster IPs of one.
    SingleClusterIp,
    /// There is no pool at all.
    NoPool,
    /// The pool asked for does not exist.
    PoolNotFound,
    /// No pool lends without being asked for.
    NoAutoAssignPool,
    /// The pools that could serve it are for other namespaces, or for Services with other labels.
    NotAdmitted,
    /// No pool covers the address asked for.
    AddressNotInPool,
    /// The address asked for lies in another pool than the one asked for.
    AddressInOtherPool,
    /// The two addresses asked for, or reserved for the Service, lie in two pools.
    AddressesInTwoPools,
    /// Another Service holds the address asked for, or held it a moment ago.
    AddressInUse,
    /// The address asked for is reserved for others, or for nobody.
    AddressReserved,
    /// Two addresses of one family are reserved for the Service.
    SeveralReservations,
    /// No pool lends the address that is reserved for the Service, or not the one that the
    /// reservation names.
    ReservationOutsidePool,
    /// The Service asks for something else than what is reserved for it, and has what is reserved.
    RequestOverridden,
    /// A Service of the same sharing key holds the address asked for, and the two cannot share it.
    SharingRefused,
    /// Every pool that may serve the Service is exhausted.
    PoolExhausted,
    /// Its namespace holds as many addresses of the pool as the pool lends to one.
    QuotaExceeded,
    /// Both families are required, and no pool has both.
    NoDualStackPool,
    /// A pool cannot lend because one of its entries means nothing.
    PoolInvalid,
    /// Somebody else keeps changing back what we write on the Service: it has its address, and may
    /// not show it for long.
    StatusContested,
}

/// A reason with the sentence that explains it: which pools were tried, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Refused,
    /// The sentence. It depends on what is, never on how it came about, so that a restarted
    /// controller says the same and has nothing to write.
    pub message: String,
}

// === impl Refused ===

impl Refused {
    /// Every reason, in the order in which they are listed above.
    pub const ALL: [Self; 22] = [
        Self::InvalidAddress,
        Self::ConflictingRequest,
        Self::FamilyMismatch,
        Self::SingleClusterIp,
        Self::NoPool,
        Self::PoolNotFound,
        Self::NoAutoAssignPool,
        Self::NotAdmitted,
        Self::AddressNotInPool,
        Self::AddressInOtherPool,
        Self::AddressesInTwoPools,
        Self::AddressInUse,
        Self::AddressReserved,
        Self::SeveralReservations,
        Self::ReservationOutsidePool,
        Self::RequestOverridden,
        Self::SharingRefused,
        Self::PoolExhausted,
        Self::QuotaExceeded,
        Self::NoDualStackPool,
        Self::PoolInvalid,
        Self::StatusContested,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAddress => "InvalidAddress",
            Self::ConflictingRequest => "ConflictingRequest",
            Self::FamilyMismatch => "FamilyMismatch",
            Self::SingleClusterIp => "SingleClusterIP",
            Self::NoPool => "NoPool",
            Self::PoolNotFound => "PoolNotFound",
            Self::NoAutoAssignPool => "NoAutoAssignPool",
            Self::NotAdmitted => "NotAdmitted",
            Self::AddressNotInPool => "AddressNotInPool",
            Self::AddressInOtherPool => "AddressInOtherPool",
            Self::AddressesInTwoPools => "AddressesInTwoPools",
            Self::AddressInUse => "AddressInUse",
            Self::AddressReserved => "AddressReserved",
            Self::SeveralReservations => "SeveralReservations",
            Self::ReservationOutsidePool => "ReservationOutsidePool",
            Self::RequestOverridden => "RequestOverridden",
            Self::SharingRefused => "SharingRefused",
            Self::PoolExhausted => "PoolExhausted",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::NoDualStackPool => "NoDualStackPool",
            Self::PoolInvalid => "PoolInvalid",
            Self::StatusContested => "StatusContested",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Refusal ===

impl Refusal {
    /// A reason with its sentence.
    pub fn new(reason: Refused, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_listed_and_has_a_word_of_its_own() {
        let last = Refused::StatusContested as usize;
        assert_eq!(Refused::ALL.len(), last + 1, "a reason is missing in the list");
        for (place, reason) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        let words: BTreeSet<&str> = Refused::ALL.map(Refused::as_str).into();
        assert_eq!(words.len(), Refused::ALL.len());
    }
}
