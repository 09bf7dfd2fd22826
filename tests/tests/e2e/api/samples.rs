//! What the real API server accepts and refuses of our objects, by the files in `tests/samples`.
//!
//! Each file holds objects that are written in order. Those in `good` are all accepted. Of those in
//! `bad` the last one is refused, with the words of the file's first lines (`# refused: WORDS`), and
//! the ones before it are accepted: they are what it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::{Lab, eventually};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

/// A control plane with our objects installed.
async fn start() -> Result<Lab> {
    let lab = Lab::builder().start().await?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/ferrolb/crds");
    lab.kubectl(["apply".as_ref(), "-f".as_ref(), crds.as_os_str()])?;
    lab.kubectl([
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=30s",
    ])?;
    Ok(lab)
}

/// The files of one folder, by name.
fn samples(folder: &str) -> Result<Vec<(String, String)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().context("a file without a name")?;
        Ok((name.to_string_lossy().into_owned(), fs::read_to_string(&path)?))
    };
    paths.into_iter().map(read).collect()
}

fn parse(text: &str) -> Result<Vec<DynamicObject>> {
    let documents = text.split("\n---\n");
    documents
        .map(|document| Ok(serde_saphyr::from_str(document)?))
        .collect()
}

/// Writes one object as `kubectl apply` does: creates it, or changes the one that is there. Strictly:
/// an unknown field, such as a misspelt one, would otherwise be dropped with a mere warning.
async fn write(lab: &Lab, object: &DynamicObject) -> Result<()> {
    let kind = object
        .types
        .as_ref()
        .context("a sample has a kind")?
        .kind
        .as_str();
    let resource = match kind {
        "AddressPool" => ApiResource::erase::<AddressPool>(&()),
        "AddressClaim" => ApiResource::erase::<AddressClaim>(&()),
        _ => bail!("no sample is a {kind}"),
    };
    let name = object.metadata.name.as_deref().context("a sample has a name")?;
    let api: Api<DynamicObject> = Api::all_with(lab.client(), &resource);
    if api.get_opt(name).await?.is_some() {
        let params = PatchParams::default().validation_strict();
        api.patch(name, &params, &Patch::Merge(object)).await?;
    } else {
        let path = format!("{}?fieldValidation=Strict", api.resource_url());
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(serde_json::to_vec(object)?)?;
        lab.client().request::<DynamicObject>(request).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn good_samples_are_accepted() -> Result<()> {
    let lab = start().await?;
    let mut complaints = Vec::new();
    for (name, text) in samples("good")? {
        for object in parse(&text).with_context(|| name.clone())? {
            if let Err(error) = write(&lab, &object).await {
                complaints.push(format!("{name}: {error:#}"));
            }
        }
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    // What people see of them.
    let pools = lab.kubectl(["get", "apool", "plain"])?;
    ensure!(pools.contains("IPV4-AVAILABLE"), "{pools}");
    let claims = lab.kubectl(["get", "aclaim"])?;
    for column in ["ADDRESS-POOL", "SERVICES", "NODE", "INTERFACE", "STATE", "AGE"] {
        ensure!(claims.contains(column), "there is no column {column}: {claims}");
    }
    let all = lab.kubectl(["get", "ferrolb", "-o", "name"])?;
    ensure!(
        all.contains("addresspool") && all.contains("addressclaim"),
        "{all}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_samples_are_refused_in_words() -> Result<()> {
    let lab = start().await?;
    let mut complaints = Vec::new();
    for (name, text) in samples("bad")? {
        let words: Vec<&str> = text
            .lines()
            .map_while(|line| line.strip_prefix("# refused: "))
            .collect();
        ensure!(!words.is_empty(), "{name} does not begin with `# refused: WORDS`");
        let objects = parse(&text).with_context(|| name.clone())?;
        let (last, before) = objects.split_last().context("a file without objects")?;
        for object in before {
            write(&lab, object)
                .await
                .with_context(|| format!("{name}: only the last one may be refused"))?;
        }
        match write(&lab, last).await {
            Ok(()) => complaints.push(format!("{name} is accepted")),
            Err(error) => {
                let answer = format!("{error:#}");
                for word in words.iter().filter(|word| !answer.contains(**word)) {
                    complaints.push(format!("{name} is refused without the words {word:?}: {answer}"));
                }
            }
        }
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_of_a_claim_never_falls() -> Result<()> {
    let lab = start().await?;
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressClaim",
        "metadata": { "name": "192.0.2.200" },
        "spec": { "address": "192.0.2.200", "pool": "home" },
    });
    claims
        .create(&PostParams::default(), &serde_json::from_value(claim)?)
        .await?;
    let set = async |epoch: u64| {
        let patch = Patch::Merge(json!({ "status": { "epoch": epoch } }));
        claims
            .patch_status("192.0.2.200", &PatchParams::default(), &patch)
            .await
    };
    eventually(
        Duration::from_secs(10),
        "the first epoch is written",
        async || Ok(set(7).await?),
    )
    .await?;
    set(7).await.context("the same epoch is no fall")?;
    let refused = set(6).await.expect_err("a lower epoch");
    ensure!(refused.to_string().contains("never falls"), "{refused}");
    set(8).await.context("a higher epoch")?;
    Ok(())
}
