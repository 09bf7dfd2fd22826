//! Which Services a pool admits, and in which order it is tried.

use std::collections::BTreeSet;

use crate::selector::{Labels, Selector};

/// Who may have an address of a pool. One that says nothing admits every Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Smaller is tried first; `None` = after every pool that says a number.
    pub priority: Option<u32>,
    /// Namespaces by name.
    pub namespaces: BTreeSet<String>,
    /// Namespaces by label: any of these, or one by name.
    pub namespace_selectors: Vec<Selector>,
    /// Services by label: any of these, in a namespace that is admitted.
    pub service_selectors: Vec<Selector>,
    /// How many addresses one namespace may hold; shared ones count once.
    pub max_per_namespace: Option<u32>,
}

/// A Service as a pool looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// The namespace's labels.
    pub namespace_labels: &'a Labels,
    /// Its own labels.
    pub labels: &'a Labels,
}

/// What about a Service a pool does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unadmitted {
    /// Its namespace, by name and by labels.
    Namespace,
    /// Its own labels.
    Labels,
}

// === impl Allocation ===

impl Allocation {
    /// Whether the pool is only for some Services: those go here before they go anywhere else.
    pub fn is_pinned(&self) -> bool {
        !(self.namespaces.is_empty()
            && self.namespace_selectors.is_empty()
            && self.service_selectors.is_empty())
    }

    /// Whether a Service may have an address.
    pub fn admits(&self, applicant: Applicant<'_>) -> bool {
        self.unadmitted(applicant).is_none()
    }

    /// Why a Service may not have an address; `None` when it may.
    pub fn unadmitted(&self, applicant: Applicant<'_>) -> Option<Unadmitted> {
        if !self.admits_namespace(applicant) {
            Some(Unadmitted::Namespace)
        } else if !self.admits_labels(applicant.labels) {
            Some(Unadmitted::Labels)
        } else {
            None
        }
    }

    /// Whether a selector could not be understood: nobody new is admitted then by the list that it
    /// stands in, unless something else in that list admits.
    pub fn invalid_selector(&self) -> Option<(&'static str, usize)> {
        let find = |list: &[Selector]| list.iter().position(|selector| !selector.is_valid());
        find(&self.namespace_selectors)
            .map(|index| ("namespaceSelectors", index))
            .or_else(|| find(&self.service_selectors).map(|index| ("serviceSelectors", index)))
    }

    fn admits_namespace(&self, applicant: Applicant<'_>) -> bool {
        let is_open = self.namespaces.is_empty() && self.namespace_selectors.is_empty();
        let mut selectors = self.namespace_selectors.iter();
        is_open
            || self.namespaces.contains(applicant.namespace)
            || selectors.any(|selector| selector.matches(applicant.namespace_labels))
    }

    fn admits_labels(&self, labels: &Labels) -> bool {
        let mut selectors = self.service_selectors.iter();
        self.service_selectors.is_empty() || selectors.any(|selector| selector.matches(labels))
    }
}
