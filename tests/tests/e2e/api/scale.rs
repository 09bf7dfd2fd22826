//! Many Services at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferrolb_tests::lab::objects::holders;
use ferrolb_tests::lab::writes::{self, between};
use ferrolb_tests::lab::{clock, eventually};
use futures::{TryStreamExt, stream};
use kube::api::ListParams;
use serde_json::json;

use super::shared::start_with;
use super::tenant::Tenant;

const SERVICES: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_services_at_once_all_get_an_address() -> Result<()> {
    let (lab, controllers) = start_with(1, &[]).await?;
    let tenant = Tenant::new(&lab, "scale").await?;
    let spec = json!({ "addresses": ["10.27.0.0/22"], "autoAssign": true });
    tenant.pool("scale", spec).await?;
    let before = writes::count(&lab.client()).await?;
    let began = clock::now();
    stream::iter((0..SERVICES).map(anyhow::Ok))
        .try_for_each_concurrent(16, async |number| {
            tenant.service(&format!("s{number}"), json!({})).await?;
            Ok(())
        })
        .await?;
    let created = began.elapsed();
    eventually(
        Duration::from_secs(120),
        "every Service has an address",
        async || {
            let holders = holders(&tenant.services().list(&ListParams::default()).await?.items)?;
            let double = holders.iter().find(|(_, names)| names.len() > 1);
            ensure!(double.is_none(), "{double:?} is lent twice");
            ensure!(holders.len() == SERVICES, "{} have one", holders.len());
            Ok(())
        },
    )
    .await?;
    println!(
        "{SERVICES} Services created in {created:?}, served in {:?}; controller: {} KiB",
        began.elapsed(),
        controllers[0].process()?.resident_kib()?
    );
    let new = between(&before, &writes::count(&lab.client()).await?);
    println!("writes: {new:?}");
    let of = |what: &str| new.get(what).copied().unwrap_or(0);
    assert_eq!(of("POST addressclaims"), SERVICES as u64, "one claim each");
    assert_eq!(of("PATCH services/status"), SERVICES as u64, "one status each");
    assert_eq!(of("PATCH addressclaims"), 0, "a claim is right at once");
    Ok(())
}
