//! A cluster in which everything is as it should be is left alone, by a running controller and by
//! one that has just started. `FERROLB_IDLE_SECONDS` says for how long that is watched.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::writes::{self, between, wait_quiet};
use ferrolb_tests::lab::{clock, eventually, throughout};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::churn::number;
use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking, merge};

/// How long an idle controller is watched if nobody says so: several times the longest of its own periods,
/// the pace of pool statuses (1 s), Lease (1 s), and the age of a status in contest (10 s).
const WATCHED: u64 = 30;

/// How long a started controller is watched once it has listed everything and leads.
const AFTER_START: Duration = Duration::from_secs(5);

/// Kernel ticks in a second, in which `/proc` counts processor time.
const TICKS: f64 = 100.0;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_when_all_is_well_nor_by_a_restart() -> Result<()> {
    let (lab, mut controllers) = start_with(1, &[]).await?;
    let controller = &mut controllers[0];
    let tenant = Tenant::new(&lab, "settled").await?;
    populate(&tenant).await?;
    wait_quiet(&lab.client(), Duration::from_secs(3), PATIENCE).await?;

    let before = Observed::now(&lab.client()).await?;
    let (began, cpu) = (clock::now(), cpu_ticks(controller)?);
    let client = lab.client();
    let is_untouched = async || before.is_unchanged(&client).await;
    let watched = Duration::from_secs(number("FERROLB_IDLE_SECONDS")?.unwrap_or(WATCHED));
    throughout(watched, "nothing is written while idle", is_untouched).await?;
    let busy = (cpu_ticks(controller)? - cpu) / TICKS / began.elapsed().as_secs_f64();
    println!(
        "idle controller: no write in {watched:?}, {:.2} % of a core, {} KiB",
        busy * 100.0,
        controller.process()?.resident_kib()?
    );

    controller.kill()?;
    controller.start()?;
    controller.wait_ready().await?;
    leads(controller).await?;
    throughout(AFTER_START, "nothing is written after a restart", is_untouched).await?;

    // It does work: what is new is served.
    tenant.service_from("settled", "new").await?;
    tenant.shows("new", &["10.23.0.1"]).await?;
    Ok(())
}

/// One of everything that can be at rest.
async fn populate(tenant: &Tenant) -> Result<()> {
    tenant
        .pool("settled", json!({ "addresses": ["10.23.0.0/29", "fd23::/125"] }))
        .await?;
    tenant
        .pool(
            "settled-rest",
            json!({ "addresses": ["10.23.0.16/31"], "quarantine": "1h" }),
        )
        .await?;
    tenant
        .pool(
            "settled-bad",
            json!({ "addresses": ["fd23::9-fd23::1", "10.23.0.4/30"] }),
        )
        .await?;
    tenant.service_from("settled", "single").await?;
    tenant.shows("single", &["10.23.0.0"]).await?;
    let mut dual = asking("settled");
    merge(
        &mut dual,
        json!({ "spec": { "ipFamilyPolicy": "RequireDualStack", "loadBalancerIP": "" } }),
    );
    let ips =
        json!({ "metadata": { "annotations": { "ferrolb.io/load-balancer-ips": "fd23::3,10.23.0.3" } } });
    merge(&mut dual, ips);
    tenant.service("dual", dual).await?;
    tenant.shows("dual", &["10.23.0.3", "fd23::3"]).await?;
    tenant.service_from("settled-absent", "waiting").await?;
    tenant.is_refused("waiting", "PoolNotFound").await?;
    tenant.service_from("settled-rest", "gone").await?;
    tenant.shows("gone", &["10.23.0.16"]).await?;
    tenant.delete("gone").await?;
    tenant.claim_is("10.23.0.16", "Quarantined").await?;
    let foreign = json!({ "spec": { "loadBalancerClass": "example.com/other" } });
    tenant.service("foreign", foreign).await?;
    tenant
        .change_status(
            "foreign",
            json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }] } }),
        )
        .await?;
    tenant.service("unpooled", json!({})).await?;
    tenant.is_refused("unpooled", "NoAutoAssignPool").await?;
    // Shown by another load balancer, and there is nothing to grant instead.
    let hostname = json!({ "loadBalancer": { "ingress": [{ "hostname": "elsewhere.example" }] } });
    tenant.change_status("unpooled", hostname).await?;
    Ok(())
}

/// Waits until a controller has the Lease and all lists, and no call under way.
async fn leads(controller: &Controller) -> Result<()> {
    eventually(PATIENCE, "the controller leads", async || {
        let state = controller.state().await?;
        ensure!(
            state["leading"] == true && state["listed"] == true && state["callsUnderWay"] == json!([]),
            "{state}"
        );
        Ok(())
    })
    .await
}

/// Processor time that a controller has used.
fn cpu_ticks(controller: &Controller) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", controller.process()?.pid()))?;
    // Fields 14 and 15; the name, in parentheses, may have blanks.
    let (_, rest) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}

/// Everything that the controller might have written to, and how often anybody wrote.
struct Observed {
    writes: writes::Writes,
    versions: BTreeMap<String, String>,
}

// === impl Observed ===

impl Observed {
    async fn now(client: &Client) -> Result<Self> {
        let mut versions = BTreeMap::new();
        add::<Service>(client, &mut versions).await?;
        add::<AddressPool>(client, &mut versions).await?;
        add::<AddressClaim>(client, &mut versions).await?;
        add::<Event>(client, &mut versions).await?;
        let writes = writes::count(client).await?;
        Ok(Self { writes, versions })
    }

    async fn is_unchanged(&self, client: &Client) -> Result<()> {
        let now = Self::now(client).await?;
        let different = |pair: &(&String, &String)| self.versions.get(pair.0) != Some(pair.1);
        let changed: Vec<_> = now.versions.iter().filter(different).collect();
        ensure!(changed.is_empty(), "these were written: {changed:?}");
        assert_eq!(now.versions.len(), self.versions.len(), "some are gone");
        let mut new = between(&self.writes, &now.writes);
        // A controller that starts may not read the gossip secret: it tries to create it, and the
        // API server answers that it is there.
        new.remove("POST secrets");
        ensure!(new.is_empty(), "the API server has counted writes: {new:?}");
        Ok(())
    }
}

async fn add<K>(client: &Client, versions: &mut BTreeMap<String, String>) -> Result<()>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
{
    for object in Api::<K>::all(client.clone())
        .list(&ListParams::default())
        .await?
        .items
    {
        let namespace = object.namespace().unwrap_or_default();
        let key = format!("{} {namespace}/{}", K::kind(&()), object.name_any());
        versions.insert(key, object.resource_version().unwrap_or_default());
    }
    Ok(())
}
