//! What is said of Services by their class. Nothing may be written to one of a class that is not handled
//! here, so that only the log and `/debug/state` can tell why nobody serves it.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_core::service::ServiceKey;
use serde_json::{Value, json};
use tracing::info;

use crate::project::{Classes, KnownService};

/// Classes that the log mentions. Whoever may create Services makes up as many as they like; the page
/// shows the rest.
const MENTIONED: usize = 64;

/// The classes that the log has mentioned; `None` = Services without one.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    classes: BTreeSet<Option<String>>,
}

// === impl Mentioned ===

impl Mentioned {
    /// Mentions the first Service of each class that is not handled here.
    pub(super) fn note(&mut self, key: &ServiceKey, class: Option<&String>) {
        if self.classes.len() >= MENTIONED || !self.classes.insert(class.cloned()) {
            return;
        }
        match class {
            Some(class) => info!(
                service = %key,
                class,
                "Services of this class are left alone: no --load-balancer-class names it"
            ),
            None => info!(
                service = %key,
                "Services without a class are left alone, as --handle-unset-class=false says"
            ),
        }
    }
}

/// How many Services name each class, and each that is handled whether any does: a class that is handled
/// and that nobody names may be misspelled.
pub(super) fn by_class<'a>(
    classes: &Classes,
    services: impl Iterator<Item = &'a KnownService>,
) -> Vec<Value> {
    let handled = classes.handled.iter().map(|class| Some(class.as_str()));
    let unset = classes.handle_unset.then_some(None);
    let mut counts: BTreeMap<Option<&str>, usize> = handled.chain(unset).map(|class| (class, 0)).collect();
    for known in services {
        *counts.entry(known.class.as_deref()).or_default() += 1;
    }
    let line = |(class, services): (Option<&str>, usize)| json!({"class": class, "isHandled": classes.handles(class), "services": services});
    counts.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_known(classes: &Classes, class: Option<&str>) -> KnownService {
        let object = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": class},
        });
        classes.know(&serde_json::from_value(object).expect("a Service"))
    }

    #[test]
    fn every_class_that_is_handled_or_named_is_counted() {
        let classes = Classes {
            handled: ["a/b", "a/typo"].map(str::to_owned).into(),
            handle_unset: false,
        };
        let services = [Some("a/b"), Some("x/y"), None, Some("a/b")];
        let services = services.map(|class| mk_known(&classes, class));
        let line = |class: Option<&str>, is_handled: bool, services: usize| json!({"class": class, "isHandled": is_handled, "services": services});
        assert_eq!(
            by_class(&classes, services.iter()),
            [
                line(None, false, 1),
                line(Some("a/b"), true, 2),
                line(Some("a/typo"), true, 0),
                line(Some("x/y"), false, 1),
            ]
        );
    }

    #[test]
    fn only_so_many_classes_are_mentioned() {
        let mut mentioned = Mentioned::default();
        for number in 0..MENTIONED + 3 {
            mentioned.note(&ServiceKey::new("default", "web"), Some(&format!("x/{number}")));
        }
        assert_eq!(mentioned.classes.len(), MENTIONED);
    }
}
