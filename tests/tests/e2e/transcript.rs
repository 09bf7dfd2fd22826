//! What a command has printed, as a person reads it: commands with their tables below them.

use anyhow::{Context, Result, ensure};

/// A table as kubectl prints it.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    titles: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

/// The tables below a command, one for each time that it was shown.
pub(crate) fn tables<'a>(printed: &'a str, command: &str) -> Vec<Table<'a>> {
    let prompt = format!("$ {command}\n");
    let after = printed.split(prompt.as_str()).skip(1);
    after.map(Table::read).collect()
}

// === impl Table ===

impl<'a> Table<'a> {
    /// Reads lines of words, up to the first empty one.
    pub(crate) fn read(text: &'a str) -> Self {
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        // The titles that are two words come last, behind all that is asked for.
        let words = |line: &'a str| line.split_whitespace().collect();
        let titles = lines.next().map(words).unwrap_or_default();
        Self {
            titles,
            rows: lines.map(words).collect(),
        }
    }

    /// What stands below a title, from top to bottom.
    pub(crate) fn column(&self, title: &str) -> Result<Vec<&'a str>> {
        let index = self.titles.iter().position(|found| *found == title);
        let index = index.with_context(|| format!("no column is called {title}: {:?}", self.titles))?;
        ensure!(!self.rows.is_empty(), "the table below {title} is empty");
        let cells = self.rows.iter().map(|row| row.get(index).copied());
        let cells: Option<Vec<_>> = cells.collect();
        cells.with_context(|| format!("a row ends before {title}: {:?}", self.rows))
    }
}
