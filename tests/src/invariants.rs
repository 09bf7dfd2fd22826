//! Tests the table of invariants in `docs/architecture.md`: each has a row, and each test that a row
//! names is there. The tests that `docs/api-manners.md` names are there, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::chart;

/// The workspace's folders that have tests.
const CRATES: [&str; 7] = [
    "core",
    "crds",
    "runtime",
    "controller",
    "speaker",
    "tests",
    "xtask",
];

/// Every invariant, and the names in backticks in its row.
fn rows() -> BTreeMap<String, Vec<String>> {
    let path = chart::source().join("docs/architecture.md");
    let text = fs::read_to_string(path).expect("the document");
    let (_, after) = text.split_once("## Invariants").expect("the section");
    let (section, _) = after.split_once("\n## ").expect("a section after it");
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    cells
        .filter(|(name, _)| name.starts_with(['A', 'O', 'W', 'G']))
        .map(|(name, row)| {
            let quoted = row.split('`').skip(1).step_by(2).map(str::to_owned);
            (name.to_owned(), quoted.collect())
        })
        .collect()
}

/// The names of all functions below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let after = text.split("fn ").skip(1);
            names.extend(after.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

#[test]
fn each_invariant_is_in_the_table() {
    let rows = rows();
    for (kind, count) in [('A', 11), ('O', 10), ('W', 11), ('G', 4)] {
        for number in 1..=count {
            let name = format!("{kind}{number}");
            assert!(rows.contains_key(&name), "docs/architecture.md lacks {name}");
        }
    }
}

#[test]
fn each_test_that_the_table_names_is_there() {
    let mut names = BTreeSet::new();
    for name in CRATES {
        functions(&chart::source().join(name), &mut names);
    }
    let mut count = 0;
    for (invariant, tests) in rows() {
        for test in tests {
            assert!(names.contains(&test), "there is no test {test} for {invariant}");
            count += 1;
        }
    }
    assert!(count > 30, "the table names only {count} tests");
}

#[test]
fn each_test_that_the_manners_name_is_there() {
    let mut names = BTreeSet::new();
    for name in CRATES {
        functions(&chart::source().join(name), &mut names);
    }
    let path = chart::source().join("docs/api-manners.md");
    let text = fs::read_to_string(path).expect("the document");
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| Some(row.trim_end_matches([' ', '|']).rsplit_once('|')?.1.to_owned()));
    let tests: Vec<String> = cells
        .flat_map(|cell| {
            let quoted = cell.split('`').skip(1).step_by(2).map(str::to_owned);
            quoted.collect::<Vec<_>>()
        })
        .collect();
    for test in &tests {
        assert!(names.contains(test), "there is no test {test}");
    }
    assert!(tests.len() > 40, "the tables name only {} tests", tests.len());
}
