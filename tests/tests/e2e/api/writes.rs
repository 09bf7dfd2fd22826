//! How many writes the API server has received, by its own count.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kube::Client;

/// Writes by verb and resource, such as `PATCH services/status`.
pub(super) type Writes = BTreeMap<String, u64>;

/// What the API server has counted so far, Leases aside: those are renewed by whoever is alive.
pub(super) async fn count(client: &Client) -> Result<Writes> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    parse(&client.request_text(request).await?)
}

/// What was written between two counts.
pub(super) fn between(before: &Writes, after: &Writes) -> Writes {
    let new = |(what, count): (&String, &u64)| {
        let known = before.get(what).copied().unwrap_or(0);
        (*count > known).then(|| (what.clone(), count - known))
    };
    after.iter().filter_map(new).collect()
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
