//! The rungs of the test ladder, lowest first, and which test stands on which.
//!
//! A test says its rung by a word in the name of a module or target that it is in: inside a crate,
//! `properties`, `model` or `simulation`, `scripted`; in the `e2e` target, the first module is the
//! rung. Everything else is a unit test.

use anyhow::{Result, bail};
use clap::ValueEnum;

/// One rung. `tests/README.md` says what belongs on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Rung {
    /// One function or machine, beside the code.
    Unit,
    /// A law, against a naive model, over random input.
    Property,
    /// Several real machines against each other under random faults, in virtual time.
    Model,
    /// A real component against a scripted API server in process.
    Scripted,
    /// Our objects and our controller against the real API server.
    Api,
    /// Real binaries, real kernel, network namespaces, packet oracle.
    Lab,
    /// Real nodes, the chart, real traffic.
    Cluster,
}

// === impl Rung ===

impl Rung {
    /// All of them, lowest first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Unit,
        Self::Property,
        Self::Model,
        Self::Scripted,
        Self::Api,
        Self::Lab,
        Self::Cluster,
    ];

    /// Its name, as the summary prints it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Property => "property",
            Self::Model => "model",
            Self::Scripted => "scripted-API",
            Self::Api => "api",
            Self::Lab => "lab",
            Self::Cluster => "cluster",
        }
    }

    /// The rung of a test, by the target that holds it and its path in there.
    pub(crate) fn of(target: &str, test: &str) -> Result<Self> {
        let modules: Vec<&str> = test.split("::").collect();
        if target == "e2e" {
            return match modules.first().copied() {
                Some("scripted") => Ok(Self::Scripted),
                Some("api") => Ok(Self::Api),
                Some("lab") => Ok(Self::Lab),
                Some("cluster") => Ok(Self::Cluster),
                _ => bail!(
                    "test {test} is on no rung: in e2e, the first module is scripted, api, lab or cluster"
                ),
            };
        }
        // The last name is the test's own; the target stands for a module around all.
        let around = || modules.iter().rev().skip(1).copied().chain([target]);
        let is_in = |word: &str| around().any(|module| module.split('_').any(|part| part == word));
        Ok(match () {
            () if is_in("properties") => Self::Property,
            () if is_in("model") || is_in("simulation") => Self::Model,
            () if is_in("scripted") => Self::Scripted,
            () => Self::Unit,
        })
    }

    /// Whether its tests start programs that have to be there first.
    pub(crate) const fn needs_artifacts(self) -> bool {
        match self {
            Self::Unit | Self::Property | Self::Model | Self::Scripted => false,
            Self::Api | Self::Lab | Self::Cluster => true,
        }
    }

    /// How many of its tests may run at once; `None` leaves that to the harness. Tests that measure
    /// time or start a control plane each would disturb one another.
    pub(crate) const fn threads(self) -> Option<u8> {
        match self {
            Self::Unit | Self::Property | Self::Model | Self::Scripted => None,
            Self::Api | Self::Lab | Self::Cluster => Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_stands_where_its_module_says() {
        let rung = |target, test| Rung::of(target, test).map_err(|error| error.to_string());
        assert_eq!(
            rung("ferrolb_core", "allocator::tests::lends_lowest"),
            Ok(Rung::Unit)
        );
        assert_eq!(
            rung("ferrolb_core", "allocator::properties::never_twice"),
            Ok(Rung::Property)
        );
        assert_eq!(
            rung("ferrolb_core", "ownership::model::one_owner"),
            Ok(Rung::Model)
        );
        assert_eq!(
            rung("ferrolb_core", "tests::model"),
            Ok(Rung::Unit),
            "a function is no module"
        );
        assert_eq!(rung("properties", "never_twice"), Ok(Rung::Property));
        assert_eq!(rung("ownership_model", "random::one_owner"), Ok(Rung::Model));
        assert_eq!(rung("ferrolb_core", "remodel::tests::remodels"), Ok(Rung::Unit));
        assert_eq!(rung("scripted", "writes_claim_first"), Ok(Rung::Scripted));
        assert_eq!(rung("e2e", "cluster::chart::installs"), Ok(Rung::Cluster));
        assert!(rung("e2e", "chart::installs").is_err());
    }
}
