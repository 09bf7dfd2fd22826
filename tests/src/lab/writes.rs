//! How many writes the API server has received, by its own count.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;

use super::clock;
use super::eventually::eventually;

/// Writes by verb and resource, such as `PATCH services/status`.
pub type Writes = BTreeMap<String, u64>;

/// What the API server has counted so far, Leases aside: those are renewed by whoever is alive.
pub async fn count(client: &Client) -> Result<Writes> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    parse(&client.request_text(request).await?)
}

/// What was written between two counts.
pub fn between(before: &Writes, after: &Writes) -> Writes {
    let new = |(what, count): (&String, &u64)| {
        let known = before.get(what).copied().unwrap_or(0);
        (*count > known).then(|| (what.clone(), count - known))
    };
    after.iter().filter_map(new).collect()
}

/// Waits until nobody has written for so long.
pub async fn wait_quiet(client: &Client, quiet: Duration, deadline: Duration) -> Result<()> {
    let mut last = (clock::now(), count(client).await?);
    let what = format!("{quiet:?} pass without a write");
    eventually(deadline, &what, async || {
        let now = count(client).await?;
        let new = between(&last.1, &now);
        if !new.is_empty() {
            last = (clock::now(), now);
        }
        ensure!(
            last.0.elapsed() > quiet,
            "there was one a moment ago, the last were {new:?}"
        );
        Ok(())
    })
    .await
}

fn parse(text: &str) -> Result<Writes> {
    let mut writes = Writes::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let (labels, count) = rest.split_once("} ").context("a sample without a value")?;
        let label = |name: &str| {
            let quoted = labels
                .split(',')
                .find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
            quoted.and_then(|text| text.strip_suffix('"')).unwrap_or_default()
        };
        let verb = label("verb");
        if !["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"].contains(&verb) {
            continue;
        }
        let resource = match (label("resource"), label("subresource")) {
            ("leases", _) => continue,
            (resource, "") => resource.to_owned(),
            (resource, subresource) => format!("{resource}/{subresource}"),
        };
        let count: u64 = count
            .trim()
            .parse()
            .with_context(|| format!("no count: {line}"))?;
        *writes.entry(format!("{verb} {resource}")).or_default() += count;
    }
    Ok(writes)
}
