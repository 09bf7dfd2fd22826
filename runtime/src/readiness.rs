//! What is still missing before this process can do its work.
//!
//! Whoever must finish something first takes a guard and hands it back when done. Notices are
//! things that an operator should know and that do not make the process any less ready.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;

/// The list of what is missing. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

/// Holds readiness back until [`Guard::ready`]. Dropping it says nothing: a task that died
/// before it was ready has not become ready.
#[derive(Debug)]
pub struct Guard {
    readiness: Readiness,
    what: &'static str,
}

#[derive(Debug, Default)]
struct State {
    /// By what is missing: since when and why it fails, if it does.
    missing: BTreeMap<&'static str, Option<String>>,
    notices: BTreeMap<&'static str, String>,
}

// === impl Readiness ===

impl Readiness {
    /// Nothing is missing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something more that must be there first.
    pub fn guard(&self, what: &'static str) -> Guard {
        self.state.lock().missing.insert(what, None);
        Guard {
            readiness: self.clone(),
            what,
        }
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.state.lock().missing.is_empty()
    }

    /// Says, or takes back, something that an operator should know. True if that is news.
    pub fn notice(&self, topic: &'static str, text: Option<String>) -> bool {
        let mut state = self.state.lock();
        match text {
            Some(text) => state.notices.insert(topic, text.clone()) != Some(text),
            None => state.notices.remove(topic).is_some(),
        }
    }

    /// The text of `/readyz`.
    pub fn report(&self) -> String {
        let state = self.state.lock();
        let mut report = String::new();
        if state.missing.is_empty() {
            report.push_str("ok\n");
        }
        for (what, why) in &state.missing {
            // Writing into a String cannot fail.
            let _ = match why {
                Some(why) => writeln!(report, "missing: {what} ({why})"),
                None => writeln!(report, "missing: {what}"),
            };
        }
        for (topic, text) in &state.notices {
            let _ = writeln!(report, "notice: {topic}: {text}");
        }
        report
    }
}

// === impl Guard ===

impl Guard {
    /// It is there now. Saying so again changes nothing.
    pub fn ready(&self) {
        self.readiness.state.lock().missing.remove(self.what);
    }

    /// It is not there (any more), for this reason.
    pub fn missing(&self, why: impl Into<String>) {
        self.readiness
            .state
            .lock()
            .missing
            .insert(self.what, Some(why.into()));
    }

    /// Another handle on the same guard.
    pub fn again(&self) -> Self {
        Self {
            readiness: self.readiness.clone(),
            what: self.what,
        }
    }

    /// If it is not there yet, this is why.
    pub fn explain(&self, why: &str) {
        if let Some(reason) = self.readiness.state.lock().missing.get_mut(self.what) {
            *reason = Some(why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_must_be_handed_back() {
        let readiness = Readiness::new();
        let services = readiness.guard("list of Services");
        let pools = readiness.guard("list of AddressPools");
        services.ready();
        pools.explain("not installed");
        assert!(!readiness.is_ready());
        assert_eq!(
            readiness.report(),
            "missing: list of AddressPools (not installed)\n"
        );
        pools.ready();
        pools.explain("too late to matter");
        assert!(readiness.is_ready());
        assert_eq!(readiness.report(), "ok\n");
    }

    #[test]
    fn a_guard_that_is_dropped_stays_missing() {
        let readiness = Readiness::new();
        drop(readiness.guard("list of Services"));
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_notice_is_news_once_and_holds_nothing_back() {
        let readiness = Readiness::new();
        let text = || Some("0 of 3 pods".to_owned());
        assert!(readiness.notice("speakers", text()));
        assert!(!readiness.notice("speakers", text()));
        assert!(readiness.is_ready());
        assert_eq!(readiness.report(), "ok\nnotice: speakers: 0 of 3 pods\n");
        assert!(readiness.notice("speakers", None));
        assert!(!readiness.notice("speakers", None));
    }
}
