//! Tests that `docs/operations.md` explains every reason that a Service can be told.

use std::fs;

use ferrolb_core::reason::Refused;

use crate::chart;

#[test]
fn each_reason_has_a_row_that_says_what_to_do() {
    let path = chart::source().join("docs/operations.md");
    let text = fs::read_to_string(path).expect("the document");
    for reason in Refused::ALL {
        let row = format!("| `{reason}` | ");
        assert!(
            text.lines().any(|line| line.starts_with(&row)),
            "docs/operations.md does not explain {reason}"
        );
    }
}
