//! The benchmarks end with the figures that they promise, and fail when a limit is not kept.
//!
//! How good the figures are is not judged here: a test runs on a busy machine, and a figure takes rounds.

use anyhow::{Context, Result, ensure};

use super::terminal::Terminal;

/// What happens to the owner, in the words of the table.
const FAULTS: [&str; 4] = ["killed", "link down", "node gone", "leaves"];

#[tokio::test(flavor = "multi_thread")]
async fn the_failover_benchmark_prints_each_fault_and_keeps_its_limits() -> Result<()> {
    let terminal = Terminal::open()?;
    let bench = terminal.start(&["bench", "failover", "--rounds=1", "--nodes=2"])?;
    let lab = bench.lab().await?;
    let done = bench.end().await?;
    terminal.check_gone(&lab)?;
    let mut is_kept = true;
    for fault in FAULTS {
        let row = done.output.lines().find_map(|line| line.strip_prefix(fault));
        let row = row.with_context(|| format!("no row of {fault}: {done:?}"))?;
        let [p50, p99, max, lost, "of", sent] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            anyhow::bail!("{fault}: {row}");
        };
        let (p99, lost): (f64, u64) = (p99.parse()?, lost.parse()?);
        // Of one round, all three are the same.
        ensure!(p50.parse::<f64>()? == p99 && max.parse::<f64>()? == p99, "{row}");
        ensure!(sent.parse::<u64>()? > lost, "{row}");
        let is_planned = fault == "leaves";
        ensure!(
            is_planned || (p99 > 0.0 && lost > 0),
            "a lost owner is missed: {row}"
        );
        let excess = done.complaints.contains(&format!("{fault}: "));
        let expected = if is_planned { lost > 0 } else { p99 >= 1000.0 };
        ensure!(
            excess == expected,
            "whether {fault} is within its limit: {done:?}"
        );
        is_kept &= !excess;
    }
    ensure!(done.status.success() == is_kept, "{done:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_allocation_benchmark_prints_what_was_promised_and_what_was_measured() -> Result<()> {
    let terminal = Terminal::open()?;
    let bench = terminal.start(&["bench", "allocate", "--services=20,30", "--rounds=10"])?;
    let lab = bench.lab().await?;
    let printed = bench.end().await?.success()?.output;
    terminal.check_gone(&lab)?;
    let row = |title: &str| -> Result<Vec<&str>> {
        let start = format!("| {title} | ");
        let row = printed.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.with_context(|| format!("no row of {title}: {printed}"))?;
        Ok(row.trim_end_matches('|').split('|').map(str::trim).collect())
    };
    let number = |title: &str| -> Result<f64> {
        let cells = row(title)?;
        let number = cells.first().and_then(|cell| cell.split_whitespace().next());
        Ok(number.context("no figure")?.parse()?)
    };
    for services in [20, 30] {
        let bare = number(&format!("{services} bare: Service, claim, status"))?;
        let ours = number(&format!("{services} Services until each has an address"))?;
        let ratio = number(&format!("{services} Services beside the bare writes"))?;
        ensure!((ratio - ours / bare).abs() < 0.2 * ratio, "{printed}");
        // A program of ours that runs is no smaller, and the budget is far below the upper end.
        let memory = number(&format!("controller's memory with {services}"))?;
        ensure!((0.5..256.0).contains(&memory), "{printed}");
    }
    let promised = row("create to EXTERNAL-IP, idle, p99")?;
    ensure!(promised.get(1) == Some(&"20 ms"), "{promised:?}");
    let is_met = number("create to EXTERNAL-IP, idle, p99")? <= 20.0;
    ensure!(
        promised.get(2) == Some(if is_met { &"yes" } else { &"no" }),
        "{promised:?}"
    );
    Ok(())
}
