//! Label selectors.

use std::collections::BTreeSet;

use ferrolb_core::selector::{Requirement, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// The selector that an API object spells out.
pub fn selector(source: &LabelSelector) -> Selector {
    let labels = source.match_labels.iter().flatten();
    let expressions = source.match_expressions.iter().flatten();
    Selector {
        requirements: labels
            .map(|(key, value)| Requirement::In(key.clone(), BTreeSet::from([value.clone()])))
            .chain(expressions.map(requirement))
            .collect(),
    }
}

/// One expression; an operator that does not exist, or one with the wrong number of values,
/// matches nothing, as the API server has it for selectors of its own.
fn requirement(source: &LabelSelectorRequirement) -> Requirement {
    let key = source.key.clone();
    let values: BTreeSet<String> = source.values.iter().flatten().cloned().collect();
    match (source.operator.as_str(), values.is_empty()) {
        ("In", false) => Requirement::In(key, values),
        ("NotIn", false) => Requirement::NotIn(key, values),
        ("Exists", true) => Requirement::Exists(key),
        ("DoesNotExist", true) => Requirement::DoesNotExist(key),
        _ => Requirement::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mk_expression(operator: &str, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "zone".to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            }]),
            match_labels: None,
        }
    }

    fn mk_labels(zone: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("zone".to_owned(), zone.to_owned())])
    }

    #[test]
    fn every_operator_selects_as_kubernetes_does() {
        let cases = [
            ("In", &["a", "b"][..], "a", true),
            ("In", &["a", "b"], "c", false),
            ("NotIn", &["a"], "a", false),
            ("NotIn", &["a"], "c", true),
            ("Exists", &[], "c", true),
            ("DoesNotExist", &[], "c", false),
        ];
        for (operator, values, zone, expected) in cases {
            let selector = selector(&mk_expression(operator, values));
            assert_eq!(
                selector.matches(&mk_labels(zone)),
                expected,
                "{operator} {values:?} against {zone}"
            );
        }
    }

    #[test]
    fn what_cannot_be_understood_selects_nothing() {
        for (operator, values) in [
            ("in", &["a"][..]),
            ("In", &[]),
            ("NotIn", &[]),
            ("Exists", &["a"]),
        ] {
            let selector = selector(&mk_expression(operator, values));
            assert_eq!(selector.requirements, [Requirement::Invalid]);
            assert!(
                !selector.matches(&mk_labels("a")),
                "{operator} {values:?} must not match"
            );
        }
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        assert!(selector(&LabelSelector::default()).matches(&mk_labels("a")));
    }
}
