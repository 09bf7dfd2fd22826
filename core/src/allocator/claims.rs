//! Claims: taking them in, and the next call for each that is held.
//!
//! The order with respect to Service status is what keeps two Services from showing one address: a
//! Service shows an address only after the claim names it, and the claim lets a Service go only
//! after the Service has let go of the address. How a claim ends is decided in `release`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::allocator::Allocator;
use crate::allocator::agenda::Task;
use crate::allocator::call::Call;
use crate::allocator::contest::Parts;
use crate::allocator::few::FewSet;
use crate::allocator::slot::Slot;
use crate::claim::{Claim, ClaimSpec, ClaimState, Holder};
use crate::object::Uid;
use crate::pool::PoolName;
use crate::service::ServiceKey;
use crate::sharing::Terms;
use crate::time::{Now, Timestamp};

// === impl Allocator ===

impl Allocator {
    /// Takes in a version of a claim that the watch shows.
    pub(super) fn see_claim(&mut self, claim: Claim) {
        let address = claim.spec.address;
        let version = claim.resource_version.clone();
        self.apply_claim(claim);
        let slot = self.ledger.slot(address);
        let is_news = slot.is_some_and(|slot| {
            let is_this = |live: &Claim| live.resource_version == version;
            slot.progress.is_unseen && slot.live.as_deref().is_some_and(is_this)
        });
        if is_news {
            self.ledger.note(address, |progress| progress.is_unseen = false);
            self.agenda.push(Task::Claim(address));
        }
    }

    /// Takes in a version of a claim that a read has found.
    pub(super) fn read_claim(&mut self, claim: Claim) {
        let address = claim.spec.address;
        let version = |this: &Self| {
            let slot = this.ledger.slot(address);
            let live = slot.and_then(|slot| slot.live.as_ref());
            live.map(|live| live.resource_version.clone())
        };
        let before = version(self);
        self.apply_claim(claim);
        let is_new = version(self) != before;
        self.ledger.note(address, |progress| progress.is_unseen |= is_new);
    }

    /// Takes in a version of a claim.
    pub(super) fn apply_claim(&mut self, claim: Claim) {
        let address = claim.spec.address;
        if self.ledger.is_buried(address, &claim.uid) {
            return;
        }
        let live = self.ledger.slot(address).and_then(|slot| slot.live.as_deref());
        if let Some(live) = live
            && live.uid == claim.uid
            && (live.resource_version == claim.resource_version
                || claim.resource_version.is_older_than(&live.resource_version))
        {
            return;
        }
        let is_same_spec = live.is_some_and(|live| live.spec == claim.spec);
        self.set_live(address, Some(claim), is_same_spec);
    }

    /// The watch shows that a claim was deleted.
    pub(super) fn delete_claim(&mut self, address: IpAddr, uid: Option<&Uid>) {
        self.ledger.forget_grave(address);
        let live = self.ledger.slot(address).and_then(|slot| slot.live.as_deref());
        if live.is_some_and(|live| uid.is_none_or(|uid| live.uid == *uid)) {
            self.set_live(address, None, false);
        }
    }

    /// Puts what is stored into the ledger, and has everybody concerned decided about anew.
    pub(super) fn set_live(&mut self, address: IpAddr, live: Option<Claim>, is_same_spec: bool) {
        let live = live.map(Arc::new);
        self.agenda.push(Task::Claim(address));
        let before = self.ledger.slot(address).and_then(|slot| slot.live.as_ref());
        let before = before.and_then(|claim| claim.subnet);
        self.note_subnet(before, live.as_ref().and_then(|claim| claim.subnet));
        if is_same_spec {
            self.ledger.update(address, |slot| slot.live = live);
            return;
        }
        let beneficiaries = |slot: &Slot| {
            let keys = slot.reservation().into_iter().flat_map(ClaimSpec::beneficiaries);
            keys.cloned().collect::<Vec<_>>()
        };
        let before = self.ledger.slot(address);
        let mut concerned = before.map(Slot::mentions).unwrap_or_default();
        concerned.extend(before.into_iter().flat_map(beneficiaries));
        let named = before.and_then(|slot| slot.live.as_ref()).into_iter();
        let unnamed: Vec<ServiceKey> = named
            .flat_map(|claim| &claim.spec.holders)
            .map(|holder| &holder.service)
            .filter(|key| live.as_ref().is_none_or(|claim| !claim.names(key)))
            .cloned()
            .collect();
        let losers = live
            .as_ref()
            .map(|claim| self.losers(address, claim))
            .unwrap_or_default();
        let settled = before.zip(live.as_ref());
        let settled = settled.map_or_else(FewSet::default, |(slot, claim)| slot.settled_in(claim));
        self.ledger.update(address, |slot| {
            let uid = |claim: &Option<Arc<Claim>>| claim.as_ref().map(|claim| claim.uid.clone());
            slot.progress.is_fenced &= uid(&slot.live) == uid(&live);
            slot.progress.is_unseen &= live.is_some();
            let specs = slot.live.as_ref().zip(live.as_ref());
            let between =
                |(old, new): (&Arc<Claim>, &Arc<Claim>)| Parts::between_claims(&old.spec, &new.spec);
            slot.progress.contest.see(specs.map_or(Parts::CLAIM, between));
            slot.live = live;
            if !slot.is_releasing() {
                slot.progress.withdraw_by = None;
                slot.progress.is_withdrawn = false;
            }
            for key in &losers {
                slot.drop_holder(key);
            }
            slot.confirm();
            concerned.extend(slot.mentions());
            concerned.extend(beneficiaries(slot));
        });
        // Somebody may have edited it, and nothing else says that there are marks to look for.
        for key in unnamed {
            if !self.services.contains_key(&key) {
                self.seek_departed(&key);
            }
        }
        for key in concerned.difference(&settled) {
            self.want_decision(key);
            self.prune_departed(key);
        }
    }

    /// The holders, by the ledger, that a claim leaves without the address.
    ///
    /// A claim that names somebody else, with whom they cannot share, is never overwritten, with
    /// one exception: it named this holder before, the holder shows the address, and nobody else
    /// does. Then somebody edited the claim, and it is repaired.
    fn losers(&self, address: IpAddr, claim: &Claim) -> FewSet<ServiceKey> {
        let Some(slot) = self.ledger.slot(address) else {
            return FewSet::default();
        };
        let shows = |key: &ServiceKey| self.services.get(key).is_some_and(|entry| entry.shows(address));
        let share = self.ledger.pool_of(address);
        let share = share.and_then(|pool| self.ledger.layout().share(pool));
        let sharing = share.map(|share| share.sharing).unwrap_or_default();
        let strangers = claim.spec.holders.iter();
        let strangers: Vec<(&ServiceKey, Terms)> = strangers
            .filter(|holder| !slot.holders.contains_key(&holder.service))
            .map(|holder| (&holder.service, Terms::of_holder(holder)))
            .collect();
        let is_lost = |(key, terms): &(&ServiceKey, &Arc<Terms>)| {
            if claim.names(key) {
                return false;
            }
            let is_confirmed = slot.confirmed.contains(*key);
            let is_rival = |(other, theirs): &&(&ServiceKey, Terms)| {
                let may_meet = is_confirmed || sharing.may_meet(&key.namespace, &other.namespace).is_ok();
                terms.may_share(theirs).is_err() || !may_meet
            };
            let mut rivals = strangers.iter().filter(is_rival).peekable();
            let is_others = if claim.is_idle_reservation() {
                claim.spec.is_reserved_from(key)
            } else if claim.is_vacant() {
                let last = claim.spec.last_holder.as_ref();
                claim.spec.is_reserved_from(key) || last.is_some_and(|last| last != *key)
            } else {
                claim.spec.is_reserved_from(key) || rivals.peek().is_some()
            };
            let is_shown_by_rival = rivals.any(|(other, _)| shows(other));
            is_others && !(is_confirmed && shows(key) && !is_shown_by_rival)
        };
        let lost = slot.holders.iter().filter(is_lost);
        lost.map(|(key, _)| key.clone()).collect()
    }

    /// The next call for an address, if its claim is not what it should be.
    pub(super) fn converge_claim(&mut self, address: IpAddr, now: Now) -> Option<Call> {
        let call = self.next_claim_call(address, now)?;
        self.spare_contested(address, call, now)
    }

    fn next_claim_call(&mut self, address: IpAddr, now: Now) -> Option<Call> {
        self.check_reservation(address, false);
        let slot = self.ledger.slot(address)?;
        if slot.progress.call.is_some() {
            return None;
        }
        if let Some(time) = slot.progress.retry.wait(now.time) {
            self.agenda.set_alarm(Task::Claim(address), time);
            return None;
        }
        if slot.progress.must_read {
            return Some(Call::ReadClaim(address));
        }
        match slot.live.clone() {
            None => self
                .held_spec(address, None, &[], now.wall)
                .map(Call::CreateClaim),
            Some(claim) => {
                let is_held = !slot.holders.is_empty();
                let is_unseen = slot.progress.is_unseen;
                let staying = self.staying(&claim);
                if is_held {
                    self.converge_held(&claim, &staying, now)
                } else if is_unseen {
                    None
                } else if claim.is_vacant() {
                    self.converge_vacant(&claim, now)
                } else {
                    self.converge_left(&claim, &staying, now)
                }
            }
        }
    }

    /// Those whom a claim names, who are not to hold it, and whom it must go on naming as long as it
    /// is held: they have not let go of it yet, or still carry our marks.
    fn staying(&mut self, claim: &Claim) -> Vec<Holder> {
        let address = claim.spec.address;
        let is_staying = |holder: &&Holder| {
            let slot = self.ledger.slot(address);
            let (is_holder, is_unseen) = slot.map_or((false, false), |slot| {
                (
                    slot.holders.contains_key(&holder.service),
                    slot.progress.is_unseen,
                )
            });
            // Whoever leads no more and has read this version may not know what they show.
            let may_go = !is_unseen
                && !is_holder
                && self.may_begin_release(&holder.service, address)
                && self.may_end_release(&holder.service, address);
            !is_holder && !may_go
        };
        let holders = claim.spec.holders.iter();
        holders.filter(is_staying).cloned().collect()
    }

    fn converge_held(&mut self, claim: &Claim, staying: &[Holder], now: Now) -> Option<Call> {
        let address = claim.spec.address;
        let mut spec = self.held_spec(address, Some(claim), staying, now.wall)?;
        let shows = |key: &ServiceKey| self.services.get(key).is_some_and(|entry| entry.shows(address));
        let slot = self.ledger.slot(address)?;
        if !slot.progress.is_fenced && !slot.holders.keys().all(shows) {
            // Somebody may have asked to release it a moment ago: a write of our own, however
            // little it changes, makes the other one fail.
            spec.state_since = Some(now.wall);
            return Some(update(claim, spec));
        }
        (spec != claim.spec).then(|| update(claim, spec))
    }

    /// What the claim of an address should say while it is held; `None` when nobody holds it.
    fn held_spec(
        &self,
        address: IpAddr,
        claim: Option<&Claim>,
        staying: &[Holder],
        now: Timestamp,
    ) -> Option<ClaimSpec> {
        let slot = self.ledger.slot(address)?;
        let pool = slot.recorded_pool()?;
        let holders = self.written_holders(slot, pool, claim, staying);
        if holders.is_empty() {
            return None;
        }
        let since = claim
            .filter(|claim| claim.spec.state == Some(ClaimState::Held))
            .and_then(|claim| claim.spec.state_since);
        let (reserved, reserved_for) = claim
            .map(|claim| (claim.spec.reserved, claim.spec.reserved_for.clone()))
            .unwrap_or_default();
        Some(ClaimSpec {
            address,
            reserved,
            reserved_for,
            pool: Some(pool.clone()),
            state: Some(ClaimState::Held),
            state_since: since.or(Some(now)),
            held_by: ClaimSpec::join_holders(&holders),
            last_holder: None,
            holders,
        })
    }

    /// The holders as the claim should record them: each two of them go together.
    ///
    /// Who does not go together with somebody whom the claim must go on naming waits: it keeps the
    /// record that it has, or has none yet.
    fn written_holders(
        &self,
        slot: &Slot,
        pool: &PoolName,
        claim: Option<&Claim>,
        staying: &[Holder],
    ) -> Vec<Holder> {
        let mut fixed = staying.to_vec();
        let holders = slot.holders.iter();
        let mut wanted: Vec<Holder> = holders
            .filter_map(|(key, terms)| self.mk_holder(key, terms, pool, claim))
            .collect();
        let mut is_settled = fixed.is_empty();
        while !is_settled {
            let kept: Vec<Terms> = fixed.iter().map(Terms::of_holder).collect();
            let fits = |holder: &Holder| {
                let terms = Terms::of_holder(holder);
                kept.iter().all(|kept| terms.may_share(kept).is_ok())
            };
            let (fitting, waiting): (Vec<_>, Vec<_>) = wanted.into_iter().partition(fits);
            let records = waiting
                .iter()
                .filter_map(|holder| slot.record_of(&holder.service));
            fixed.extend(records.cloned());
            wanted = fitting;
            is_settled = waiting.is_empty();
        }
        fixed.extend(wanted);
        fixed.sort_by(|a, b| a.service.cmp(&b.service));
        fixed
    }

    fn mk_holder(
        &self,
        key: &ServiceKey,
        terms: &Terms,
        pool: &PoolName,
        claim: Option<&Claim>,
    ) -> Option<Holder> {
        let service = &self.services.get(key)?.service;
        let advertisements = match self.pools.advertisements(pool) {
            Some(names) => names.to_vec(),
            // The pool is gone, for the moment at least: as before.
            None => claim
                .and_then(|claim| claim.spec.holders.iter().find(|holder| holder.service == *key))
                .map(|holder| holder.advertisements.clone())
                .unwrap_or_default(),
        };
        Some(Holder {
            service: key.clone(),
            uid: service.uid.clone(),
            ports: terms.ports.clone(),
            traffic_policy: terms.policy,
            sharing_key: terms.key.clone(),
            selector: terms.selector.clone(),
            advertisements,
        })
    }
}

/// The call that changes a claim, if it still is the one that was looked at.
pub(super) fn update(claim: &Claim, spec: ClaimSpec) -> Call {
    Call::UpdateClaim {
        resource_version: claim.resource_version.clone(),
        spec,
    }
}
