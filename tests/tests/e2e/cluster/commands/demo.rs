//! The demo shows what it promises: an installation, a page over both families, a lost owner, an outage.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::chart;

use super::terminal::Terminal;
use crate::transcript::{Table, tables};

/// The demo's addresses: the first of its pool, of each family.
const ADDRESSES: [&str; 2] = ["192.0.2.200", "2001:db8::200"];

/// What the demo says of one address and the loss of a node.
struct Verdict {
    address: String,
    outage_ms: u32,
    lost: u32,
    sent: u32,
    from: String,
    to: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_an_outage_and_leaves_nothing_behind() -> Result<()> {
    let terminal = Terminal::open()?;
    let demo = terminal.start(&["demo"])?;
    let lab = demo.lab().await?;
    let printed = demo.end().await?.success()?.output;
    terminal.check_gone(&lab)?;

    everything_is_installed(&printed)?;
    a_page_is_fetched(&printed)?;
    the_loss_of_the_owner_is_told(&printed)?;
    ensure!(printed.contains("\nAll of it took "), "{printed}");
    Ok(())
}

fn everything_is_installed(printed: &str) -> Result<()> {
    let nodes = only(tables(printed, "kubectl get nodes -o wide"))?;
    ensure!(nodes.column("NAME")? == ["n1", "n2", "n3"], "{printed}");
    ensure!(nodes.column("STATUS")? == ["Ready"; 3], "{printed}");
    let install = format!("$ helm {}\n", chart::readme_install()?.join(" "));
    ensure!(printed.contains(&install), "the README's own command: {printed}");
    let pods = only(tables(printed, "kubectl -n ferrolb-system get pods -o wide"))?;
    for component in ["controller", "speaker"] {
        let prefix = format!("ferrolb-{component}-");
        let names = pods.column("NAME")?;
        let count = names.iter().filter(|name| name.starts_with(&prefix)).count();
        let expected = if component == "speaker" { 3 } else { 2 };
        ensure!(count == expected, "{count} pods are called {prefix}: {printed}");
    }
    ensure!(pods.column("READY")? == ["1/1"; 5], "{printed}");
    Ok(())
}

fn a_page_is_fetched(printed: &str) -> Result<()> {
    let service = only(tables(printed, "kubectl get svc web"))?;
    ensure!(
        service.column("EXTERNAL-IP")? == [ADDRESSES.join(",")],
        "{printed}"
    );
    let pods = only(tables(printed, "kubectl get pods -o wide"))?;
    let places: Vec<_> = pods
        .column("NAME")?
        .into_iter()
        .zip(pods.column("NODE")?)
        .collect();
    let [v4, v6] = ADDRESSES;
    for host in [v4.to_owned(), format!("[{v6}]")] {
        let fetched = format!("client$ curl http://{host}/ ");
        let answers = printed.lines().filter_map(|line| line.strip_prefix(&fetched));
        let answers: Vec<Vec<_>> = answers.map(|rest| rest.split_whitespace().collect()).collect();
        ensure!(answers.len() == 2, "{host}: before the loss and after: {printed}");
        for answer in answers {
            let ["pod", pod, "on", "node", node, "answered"] = answer[..] else {
                anyhow::bail!("{host}: who answered? {answer:?}");
            };
            ensure!(
                places.contains(&(pod, node)),
                "{pod} on {node} is none of {places:?}"
            );
        }
    }
    Ok(())
}

fn the_loss_of_the_owner_is_told(printed: &str) -> Result<()> {
    let claims = tables(printed, "kubectl get addressclaims");
    let [before, after] = &claims[..] else {
        anyhow::bail!("the claims are shown before the loss and after: {printed}");
    };
    let (before, after) = (before.column("NODE")?, after.column("NODE")?);
    let verdicts: Vec<_> = printed.lines().filter_map(Verdict::read).collect();
    ensure!(verdicts.len() == ADDRESSES.len(), "{printed}");
    let victim = before[0];
    for (index, verdict) in verdicts.iter().enumerate() {
        ensure!(
            verdict.address == ADDRESSES[index] && verdict.from == before[index],
            "{printed}"
        );
        ensure!(
            verdict.to == after[index] && verdict.to != victim,
            "who owns {} now: {printed}",
            verdict.address
        );
        ensure!(
            (verdict.from == victim) == (verdict.outage_ms > 0 && verdict.lost > 0)
                && verdict.sent > verdict.lost,
            "{} is lost with its owner {victim}, and otherwise not: {printed}",
            verdict.address
        );
    }
    Ok(())
}

// === impl Verdict ===

impl Verdict {
    fn read(line: &str) -> Option<Self> {
        let (address, rest) = line.split_once(": outage ")?;
        let (outage, rest) = rest.split_once(" ms (")?;
        let (lost, rest) = rest.split_once(" of ")?;
        let (sent, rest) = rest.split_once(" datagrams lost); ")?;
        let (from, to) = match rest.strip_prefix("it moved from ") {
            Some(moved) => moved.split_once(" to ")?,
            None => {
                let stayed = rest.strip_suffix(" owned it and still does")?;
                (stayed, stayed)
            }
        };
        Some(Self {
            address: address.to_owned(),
            outage_ms: outage.parse().ok()?,
            lost: lost.parse().ok()?,
            sent: sent.parse().ok()?,
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }
}

fn only(tables: Vec<Table<'_>>) -> Result<Table<'_>> {
    let count = tables.len();
    let first = tables.into_iter().next();
    first
        .filter(|_| count == 1)
        .with_context(|| format!("the command is shown {count} times"))
}
