//! What Ready means to whoever updates FerroLB.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::chart;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};

use super::stage::{self, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_a_speaker_only_when_it_has_joined_and_synced() -> Result<()> {
    let lab = stage::installed().await?;
    one_leads_and_both_are_ready(&lab).await?;
    a_speaker_without_its_lists_holds_an_update_up(&lab).await
}

async fn one_leads_and_both_are_ready(lab: &Lab) -> Result<()> {
    let pods = stage::pods(lab, "controller").await?;
    ensure!(pods.len() == 2, "there are {} controllers", pods.len());
    let mut leading = Vec::new();
    for pod in &pods {
        ensure!(stage::is_ready(pod), "{} is not Ready", pod.name_any());
        let ready = stage::controller_page(lab, &pod.name_any(), "/readyz")?;
        ensure!(ready == "ok\n", "{} says {ready}", pod.name_any());
        let metrics = stage::controller_page(lab, &pod.name_any(), "/metrics")?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix("ferrolb_controller_leading "));
        leading.push(value.context("no metric says who leads")?.to_owned());
    }
    leading.sort();
    ensure!(leading == ["0", "1"], "who leads: {leading:?}");
    Ok(())
}

/// Without the right to read, a new speaker runs and is not Ready, and the update goes no further.
async fn a_speaker_without_its_lists_holds_an_update_up(lab: &Lab) -> Result<()> {
    let bindings: Api<ClusterRoleBinding> = Api::all(lab.client());
    let mut right = bindings.get("ferrolb-speaker").await?;
    bindings
        .delete("ferrolb-speaker", &DeleteParams::default())
        .await?;
    let old = stage::pods(lab, "speaker").await?;
    let update = ["rollout", "restart", "daemonset/ferrolb-speaker"];
    lab.kubectl(["-n", chart::NAMESPACE].iter().chain(&update))?;

    let fresh = eventually(
        PATIENCE,
        "one speaker is new, and says what it misses",
        async || {
            let now = stage::pods(lab, "speaker").await?;
            let fresh = now
                .iter()
                .find(|pod| old.iter().all(|other| other.name_any() != pod.name_any()));
            let fresh = fresh.context("all are the old ones")?;
            let node = fresh.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let page = lab.node(node.context("it is on no node")?)?;
            let page = page.speaker_admin("/readyz").await?;
            for missing in ["list of AddressClaims", "list of AddressPools", "list of Nodes"] {
                ensure!(
                    page.status == 503 && page.body.contains(missing),
                    "it says {} {}",
                    page.status,
                    page.body
                );
            }
            Ok(fresh.clone())
        },
    )
    .await?;
    // Long enough for the kubelet to ask several times, and for the update to go on if it would.
    let watched = eventually(Duration::from_secs(6), "the update goes on", async || {
        let now = stage::pods(lab, "speaker").await?;
        let ready = now.iter().filter(|pod| stage::is_ready(pod)).count();
        let is_fresh_ready = now
            .iter()
            .any(|pod| pod.name_any() == fresh.name_any() && stage::is_ready(pod));
        ensure!(
            is_fresh_ready || ready < 2,
            "{ready} old speakers are Ready, the new one is not"
        );
        Ok(())
    })
    .await;
    ensure!(
        watched.is_err(),
        "the update did not wait for {}",
        fresh.name_any()
    );

    right.metadata.resource_version = None;
    right.metadata.uid = None;
    bindings.create(&PostParams::default(), &right).await?;
    stage::wait_rolled_out(lab, "daemonset/ferrolb-speaker")
}
