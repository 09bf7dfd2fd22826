//! What was measured, beside what was promised.

use std::fmt;

/// A table of figures, in the order in which they were measured.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    /// The most that it may be; `None` = nothing was promised.
    budget: Option<f64>,
}

// === impl Table ===

impl Table {
    /// A figure that must not be greater than its budget.
    pub(super) fn row(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        budget: Option<f64>,
    ) {
        self.0.push(Row {
            what: what.into(),
            measured,
            unit,
            budget,
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | budget | met |")?;
        writeln!(f, "|---|---|---|---|")?;
        for Row {
            what,
            measured,
            unit,
            budget,
        } in &self.0
        {
            let (most, met) = match budget {
                Some(most) if measured <= most => (format!("{most} {unit}"), "yes"),
                Some(most) => (format!("{most} {unit}"), "no"),
                None => (String::new(), ""),
            };
            writeln!(f, "| {what} | {measured:.2} {unit} | {most} | {met} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_says_whether_the_budget_is_met() {
        let mut table = Table::default();
        table.row("less", 1.0, "s", Some(1.5));
        table.row("more", 2.0, "s", Some(1.5));
        table.row("whatever", 3.0, "MiB", None);
        let printed = table.to_string();
        let rows: Vec<&str> = printed.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| less | 1.00 s | 1.5 s | yes |",
                "| more | 2.00 s | 1.5 s | no |",
                "| whatever | 3.00 MiB |  |  |",
            ]
        );
    }
}
