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
async fn the_allocation_benchmark_prints_rates_and_memory() -> Result<()> {
    let terminal = Terminal::open()?;
    let bench = terminal.start(&["bench", "allocate", "--services=20"])?;
    let lab = bench.lab().await?;
    let printed = bench.end().await?.success()?.output;
    terminal.check_gone(&lab)?;
    let numbers = |title: &str| -> Result<Vec<f64>> {
        let row = printed.lines().find_map(|line| line.strip_prefix(title));
        let row = row.with_context(|| format!("no row of {title}: {printed}"))?;
        let numbers = row.split_whitespace().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    };
    let bare = numbers("bare writes of the same kind")?;
    let ours = numbers("created until all have an address")?;
    let ratio = numbers("ratio")?;
    // Seconds, and what is made of them.
    ensure!(
        bare.len() == 2 && ours.len() == 2 && ratio.len() == 1,
        "{printed}"
    );
    ensure!((ratio[0] - ours[0] / bare[0]).abs() < 0.2 * ratio[0], "{printed}");
    for program in ["controller", "speaker, owner of all"] {
        let memory = numbers(program)?;
        // A program of ours that runs is no smaller, and these budgets are far below the upper end.
        let is_likely = memory.iter().all(|mebibytes| (0.5..256.0).contains(mebibytes));
        ensure!(memory.len() == 2 && is_likely, "{printed}");
    }
    Ok(())
}
