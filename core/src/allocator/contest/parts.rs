//! What of an object somebody else has changed.

use std::ops::{BitAnd, BitOr, BitOrAssign};

use crate::claim::ClaimSpec;
use crate::condition::Condition;
use crate::request::ServiceStatus;

/// Some of the parts that we write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::allocator) struct Parts(u8);

// === impl Parts ===

impl Parts {
    pub(in crate::allocator) const NONE: Self = Self(0);
    pub(in crate::allocator) const INGRESS: Self = Self(1);
    pub(in crate::allocator) const CONDITION: Self = Self(1 << 1);
    pub(in crate::allocator) const ANNOTATION: Self = Self(1 << 2);
    pub(in crate::allocator) const FINALIZER: Self = Self(1 << 3);
    /// Of a claim, whatever is not a person's.
    pub(in crate::allocator) const CLAIM: Self = Self(1 << 4);

    /// This part, if it is so.
    pub(in crate::allocator) const fn when(self, is_so: bool) -> Self {
        if is_so { self } else { Self::NONE }
    }

    pub(in crate::allocator) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether one of these is among them.
    pub(in crate::allocator) fn has(self, part: Self) -> bool {
        !(self & part).is_empty()
    }

    /// What differs between two versions of a Service.
    pub(in crate::allocator) fn between(before: &ServiceStatus, after: &ServiceStatus) -> Self {
        Self::INGRESS.when(before.ingress != after.ingress)
            | Self::CONDITION.when(!say_same(before.condition.as_ref(), after.condition.as_ref()))
            | Self::ANNOTATION.when(before.allocated_from != after.allocated_from)
            | Self::FINALIZER.when(before.has_finalizer != after.has_finalizer)
    }

    /// What differs between two versions of a claim, but for what a person reserves by it.
    pub(in crate::allocator) fn between_claims(before: &ClaimSpec, after: &ClaimSpec) -> Self {
        let is_same = before.pool == after.pool
            && before.state == after.state
            && before.state_since == after.state_since
            && before.held_by == after.held_by
            && before.last_holder == after.last_holder
            && before.holders == after.holders;
        Self::CLAIM.when(!is_same)
    }

    /// How people call the one of them that matters most to them.
    pub(super) fn name(self) -> &'static str {
        if self.has(Self::INGRESS) {
            "status.loadBalancer"
        } else if self.has(Self::CONDITION) {
            "the condition ferrolb.io/AddressAssigned"
        } else if self.has(Self::ANNOTATION) {
            "the annotation ferrolb.io/allocated-from-pool"
        } else if self.has(Self::FINALIZER) {
            "the finalizer service.kubernetes.io/load-balancer-cleanup"
        } else {
            "the claim"
        }
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Parts {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl BitAnd for Parts {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Whether two conditions say the same; absent ones do.
pub(in crate::allocator) fn say_same(one: Option<&Condition>, other: Option<&Condition>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.says_same(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
