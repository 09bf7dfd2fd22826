//! The tables of `docs/operations.md` name what the programs have: flags, metrics, reasons.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::chart;
use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::artifacts::Artifacts;

#[test]
fn every_flag_is_documented_and_has_its_variable() -> Result<()> {
    let artifacts = Artifacts::from_env()?;
    let mut flags = BTreeSet::new();
    for program in [artifacts.controller(), artifacts.speaker()] {
        let help = help(&program)?;
        // A flag begins a line; its variable comes before the next one.
        for entry in help.split("\n      --").skip(1) {
            let flag = entry.split([' ', '\n', '[']).next().unwrap_or_default();
            let variable = format!("[env: FERROLB_{}=", flag.to_uppercase().replace('-', "_"));
            ensure!(
                entry.contains(&variable),
                "{}: --{flag} has no {variable}",
                program.display()
            );
            flags.insert(format!("--{flag}"));
        }
    }
    same("flags", &flags, &rows("--")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_shown_is_documented() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.install_crds().await?;
    let controllers = lab.start_controller(1, &[]).await?;
    lab.start_speakers(&[]).await?;
    let controller = controllers
        .first()
        .context("a controller")?
        .admin("/metrics")
        .await?;
    let speaker = lab.node("n1")?.speaker_admin("/metrics").await?;
    let documented = rows("ferrolb_")?;
    let mut count = 0;
    for line in controller.body.lines().chain(speaker.body.lines()) {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let suffix = if kind == "counter" { "_total" } else { "" };
        let name = format!("{name}{suffix}");
        ensure!(
            documented.contains(&name),
            "docs/operations.md lacks the metric {name}"
        );
        count += 1;
    }
    ensure!(count > 15, "only {count} metrics are shown");
    Ok(())
}

/// What has not happened yet is not shown, so the sources have to say what else there is.
#[test]
fn every_metric_that_can_be_shown_is_documented() -> Result<()> {
    let (controller, speaker) = ("ferrolb_controller_", "ferrolb_speaker_");
    let sources: [(&str, &[&str]); 6] = [
        ("controller/src/metrics.rs", &[controller]),
        ("controller/src/notices.rs", &[controller]),
        ("speaker/src/protocol/metrics.rs", &[speaker]),
        ("speaker/src/api/metrics.rs", &[speaker]),
        ("speaker/src/announcer/metrics.rs", &[""]),
        ("runtime/src/watch/health.rs", &[controller, speaker]),
    ];
    let mut registered = BTreeSet::new();
    for (path, prefixes) in sources {
        let source = read(path)?;
        let before = registered.len();
        for call in ["registry.register(", " encode("] {
            for rest in source.split(call).skip(1) {
                let name = rest.trim_start().strip_prefix('"');
                let name = name.and_then(|rest| rest.split('"').next());
                registered.extend(
                    name.iter()
                        .flat_map(|name| prefixes.iter().map(move |prefix| format!("{prefix}{name}"))),
                );
            }
        }
        ensure!(registered.len() > before, "{path} registers no metric");
    }
    let documented = rows("ferrolb_")?;
    let documented = documented
        .iter()
        .map(|name| name.trim_end_matches("_total").to_owned());
    same("metrics", &registered, &documented.collect())
}

#[test]
fn every_reason_is_documented() -> Result<()> {
    let text = operations()?;
    let mut count = 0;
    for file in ["core/src/reason.rs", "core/src/reason/refused.rs"] {
        let source = read(file)?;
        // The one place where a reason gets its word.
        for line in source.lines() {
            let Some((_, word)) = line.trim().split_once(" => \"") else {
                continue;
            };
            let word = word.trim_end_matches("\",");
            ensure!(
                text.contains(&format!("`{word}`")),
                "docs/operations.md does not explain the reason {word}"
            );
            count += 1;
        }
    }
    ensure!(count > 30, "only {count} reasons were found in the source");
    Ok(())
}

/// What a program says of its flags. It takes nothing from our environment.
fn help(program: &Path) -> Result<String> {
    let done = Command::new(program).arg("--help").env_clear().output();
    let done = done.with_context(|| format!("cannot start {}", program.display()))?;
    let help = String::from_utf8(done.stdout)?;
    // --help and --version are everybody's, and have short forms.
    ensure!(help.contains("-V, --version"), "{help}");
    Ok(help)
}

/// The names in the first column of the tables that begin like this.
fn rows(prefix: &str) -> Result<BTreeSet<String>> {
    let text = operations()?;
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = cells.filter_map(|cell| cell.split(['`', ' ']).next());
    Ok(names
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect())
}

fn same(what: &str, there: &BTreeSet<String>, documented: &BTreeSet<String>) -> Result<()> {
    let missing: Vec<_> = there.difference(documented).collect();
    let invented: Vec<_> = documented.difference(there).collect();
    ensure!(
        missing.is_empty() && invented.is_empty(),
        "docs/operations.md lacks the {what} {missing:?} and has {invented:?}, which do not exist"
    );
    ensure!(!there.is_empty(), "the programs have no {what}");
    Ok(())
}

fn operations() -> Result<String> {
    read("docs/operations.md")
}

fn read(path: &str) -> Result<String> {
    let path = chart::source().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}
