//! Whether a Service carries `service.kubernetes.io/load-balancer-cleanup`.
//!
//! Without the option nothing of it is needed: a claim outlives its Service, and who is gone is
//! found out by a read. With it, a Service is not gone before its addresses are given back: the
//! finalizer is set by the write that first shows an address, and taken off once every claim has
//! let the Service go and nobody answers any more; only then does a claim rest.
//!
//! The name is not ours alone: other load balancers set it before they show anything. It is ours on a
//! Service that we have given an address, which our annotation says for as long as the finalizer is on.

use crate::allocator::Allocator;
use crate::allocator::call::FinalizerEdit;
use crate::allocator::services::ServiceEntry;
use crate::request::{Eligibility, Service};
use crate::service::ServiceKey;

// === impl Allocator ===

impl Allocator {
    /// What the next write does to the finalizer of a Service that the watch shows.
    pub(super) fn finalizer_edit(&self, entry: &ServiceEntry) -> FinalizerEdit {
        let service = &entry.service;
        let has_it = service.status.has_finalizer;
        let holds = !entry.decision.addresses.is_empty();
        match service.request.eligibility {
            Eligibility::Eligible if self.options.service_finalizer && holds => match has_it {
                true => FinalizerEdit::Keep,
                false => FinalizerEdit::Add,
            },
            _ if !self.has_our_finalizer(service) => FinalizerEdit::Keep,
            // Whoever sets it again after we took it off is somebody else.
            Eligibility::Eligible if !self.options.service_finalizer => match entry.has_lost_finalizer {
                true => FinalizerEdit::Keep,
                false => FinalizerEdit::Remove,
            },
            Eligibility::Eligible
            | Eligibility::Deleting
            | Eligibility::NotLoadBalancer
            | Eligibility::ForeignClass => match self.is_let_go(&service.key) {
                true => FinalizerEdit::Remove,
                false => FinalizerEdit::Keep,
            },
        }
    }

    /// Whether the finalizer keeps a claim of a Service from resting.
    pub(super) fn awaits_finalizer(&self, entry: &ServiceEntry) -> bool {
        let service = &entry.service;
        let holds = !entry.decision.addresses.is_empty();
        let is_kept = match service.request.eligibility {
            Eligibility::Eligible => self.options.service_finalizer && !holds,
            Eligibility::Deleting | Eligibility::NotLoadBalancer | Eligibility::ForeignClass => true,
        };
        is_kept && self.has_our_finalizer(service)
    }

    /// Whether no claim waits for a Service but for its finalizer: it shows no address, and nobody
    /// answers for one because of it.
    ///
    /// Where others hold the address, somebody goes on answering; and of several who leave together
    /// the first stays until nobody does.
    pub(super) fn is_let_go(&self, key: &ServiceKey) -> bool {
        let entry = self.services.get(key);
        self.ledger.addresses_of(key).all(|address| {
            let Some(slot) = self.ledger.slot(address) else {
                return true;
            };
            let shows = entry.is_some_and(|entry| entry.shows(address));
            let has_it = slot.holders.contains_key(key) || slot.is_left_to(key);
            let is_answered = slot.is_releasing_from(key) && !slot.progress.is_withdrawn;
            !shows && !has_it && !is_answered
        })
    }

    /// Whether our finalizer stays on a Service that loses its addresses until a claim lets it go.
    pub(super) fn keeps_finalizer(&self, service: &Service) -> bool {
        self.has_our_finalizer(service) && !self.is_let_go(&service.key)
    }

    /// Whether a Service has the finalizer, and something says that we have given it an address, and the
    /// finalizer with it.
    pub(super) fn has_our_finalizer(&self, service: &Service) -> bool {
        if !service.status.has_finalizer {
            return false;
        }
        let key = &service.key;
        let condition = service.status.condition.as_ref();
        let is_told = condition.is_some_and(|condition| condition.status);
        let is_named = |address| {
            let slot = self.ledger.slot(address);
            slot.is_some_and(|slot| slot.names(key) || slot.is_releasing_from(key))
        };
        service.status.allocated_from.is_some() || is_told || self.ledger.addresses_of(key).any(is_named)
    }
}
