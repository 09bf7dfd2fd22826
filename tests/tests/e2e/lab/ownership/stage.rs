//! What the ownership tests play on: three nodes that may own two VIPs, endpoints on a fourth.
//!
//! The endpoints are on a node that never owns, so that what a test breaks is the owner alone. The VIPs
//! are lent by two controllers, as in a cluster; a test of what claims say writes them by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use ferrolb_tests::lab::prober::{ProbeReport, Prober, ProberOptions};
use ferrolb_tests::lab::product::Controller;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

/// The nodes that may own.
pub(crate) const OWNERS: [&str; 3] = ["n1", "n2", "n3"];

/// The node with the endpoints.
const SERVER: &str = "n4";

/// The Service that holds the VIPs, and the application behind it.
pub(crate) const SERVICE: &str = "web";

/// How long anything may take that is no failover.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a failover may take before it counts as failed. What it may take is measured apart.
pub(crate) const FAILOVER: Duration = Duration::from_secs(5);

/// A lab with speakers that answer for two VIPs.
pub(crate) struct Stage {
    /// None where claims are written by hand. Before the lab, so that they are dropped first.
    pub(crate) controllers: Vec<Controller>,
    pub(crate) lab: Lab,
    /// One of each family.
    pub(crate) vips: [IpAddr; 2],
}

/// What the status of a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) node: String,
    pub(crate) epoch: i64,
    pub(crate) reason: String,
}

/// Who owns a VIP, as speakers hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) owner: String,
    pub(crate) epoch: u64,
}

// === impl Stage ===

impl Stage {
    /// Starts everything; both VIPs are owned and served then.
    pub(crate) async fn start() -> Result<Self> {
        let lab = Self::start_lab().await?;
        let controllers = lab.start_controller(2, &[]).await?;
        let vips = lab.wait_addresses(SERVICE, 2).await?;
        let vips = vips.try_into();
        let vips = vips.map_err(|vips| anyhow!("a Service has one address of each family, not {vips:?}"))?;
        let stage = Self {
            controllers,
            lab,
            vips,
        };
        stage.start_speakers().await?;
        Ok(stage)
    }

    /// Starts everything but controllers, with claims that are written by hand.
    pub(crate) async fn start_by_hand() -> Result<Self> {
        let stage = Self {
            controllers: Vec::new(),
            lab: Self::start_lab().await?,
            vips: ["192.0.2.200".parse()?, "2001:db8::200".parse()?],
        };
        stage.lend(SERVICE, &stage.vips, "Cluster")?;
        stage.show(SERVICE, &stage.vips).await?;
        stage.start_speakers().await?;
        Ok(stage)
    }

    /// Starts nodes with a Service and a pool.
    async fn start_lab() -> Result<Lab> {
        let lab = Lab::builder().process_nodes(4).start().await?;
        lab.install_crds().await?;
        lab.run_app(SERVICE, &[SERVER]).await?;
        lab.create_load_balancer(SERVICE, json!({})).await?;
        Self::create_pool(&lab)?;
        Ok(lab)
    }

    async fn start_speakers(&self) -> Result<()> {
        for node in OWNERS {
            self.wait_forwards(node, &self.vips).await?;
        }
        self.lab.start_speakers(&[]).await?;
        for vip in self.vips {
            self.wait_served(vip).await?;
        }
        Ok(())
    }

    /// Writes the pool.
    fn create_pool(lab: &Lab) -> Result<()> {
        let hostnames = json!([{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": OWNERS},
        ]}]);
        let pool = json!({
            "apiVersion": "ferrolb.io/v1alpha1",
            "kind": "AddressPool",
            "metadata": {"name": "lan"},
            "spec": {
                "addresses": ["192.0.2.200-192.0.2.240", "2001:db8::200-2001:db8::240"],
                "layer2": [{"name": "lan", "nodeSelectors": hostnames}],
            },
        });
        lab.apply(&pool.to_string())
    }

    /// Writes claims that a Service holds.
    pub(crate) fn lend(&self, service: &str, vips: &[IpAddr], policy: &str) -> Result<()> {
        let claims: Vec<_> = vips.iter().map(|vip| claim(service, *vip, policy)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": claims});
        self.lab.apply(&list.to_string())
    }

    /// Gives a Service its addresses, for kube-proxy.
    pub(crate) async fn show(&self, service: &str, vips: &[IpAddr]) -> Result<()> {
        let ingress: Vec<_> = vips.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        let services: Api<Service> = Api::default_namespaced(self.lab.client());
        let patch = Patch::Merge(status);
        services
            .patch_status(service, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Waits until kube-proxy of a node forwards what comes for these VIPs, whoever owns them.
    pub(crate) async fn wait_forwards(&self, node: &str, vips: &[IpAddr]) -> Result<()> {
        for vip in vips {
            let host = self.lab.node(node)?.as_host()?;
            eventually(PATIENCE, &format!("{node} forwards {vip}"), async || {
                host.http_get(*vip, 80).await
            })
            .await?;
        }
        Ok(())
    }

    /// What the claim of a VIP says; fails while it names nobody.
    pub(crate) async fn owned(&self, vip: IpAddr) -> Result<Owned> {
        let claims: Api<AddressClaim> = Api::all(self.lab.client());
        let claim = claims.get(&claim_name(vip)).await?;
        let status = claim.status.context("the claim has no status")?;
        let owner = status.owner.with_context(|| format!("nobody owns {vip}"))?;
        Ok(Owned {
            node: owner.node,
            epoch: status.epoch.context("the status has no epoch")?,
            reason: status.last_move.context("the status has no last move")?.reason,
        })
    }

    /// What a node's speaker says of itself; needs no API server.
    async fn state(&self, node: &str) -> Result<Value> {
        let answer = self.lab.node(node)?.speaker_admin("/debug/state").await?;
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Who owns which VIP, as the speakers of these nodes hold it; fails unless they agree and every VIP
    /// has an owner. Needs no API server.
    pub(crate) async fn held_by(&self, nodes: &[&str]) -> Result<BTreeMap<IpAddr, Held>> {
        let mut agreed: Option<BTreeMap<IpAddr, Held>> = None;
        for node in nodes {
            let state = self.state(node).await?;
            let mut held = BTreeMap::new();
            for (vip, seen) in state["vips"].as_object().context("VIPs are a map")? {
                let owner = seen["owner"].as_str();
                let owner = owner.with_context(|| format!("{node} knows no owner of {vip}"))?;
                let epoch = seen["epoch"].as_u64().context("an epoch is a number")?;
                let owner = owner.to_owned();
                held.insert(vip.parse()?, Held { owner, epoch });
            }
            match &agreed {
                Some(agreed) => ensure!(*agreed == held, "{node} holds {held:?}, others {agreed:?}"),
                None => agreed = Some(held),
            }
        }
        agreed.context("nobody was asked")
    }

    /// Waits until the VIPs of the stage have different owners, so that one of them can be left alone.
    pub(crate) async fn separate(&self) -> Result<()> {
        let [one, other] = self.vips;
        loop {
            let both = self.wait_owned(one).await?.node;
            if self.wait_owned(other).await?.node != both {
                return Ok(());
            }
            let node = self.lab.node(&both)?;
            node.term_speaker().await?;
            self.wait_moved_from(one, &both).await?;
            self.wait_moved_from(other, &both).await?;
            node.start_speaker()?;
            node.wait_speaker_ready().await?;
        }
    }

    /// On how many interfaces a node answers for a VIP.
    pub(crate) async fn answering_on(&self, node: &str, vip: IpAddr) -> Result<usize> {
        let state = self.state(node).await?;
        // A VIP that is not known is not answered.
        let interfaces = state["vips"][vip.to_string()]["answeringOn"].as_array();
        Ok(interfaces.map_or(0, Vec::len))
    }

    /// Waits until a node's speaker would answer if it were its turn, and all others see it.
    pub(crate) async fn wait_candidate(&self, name: &str) -> Result<()> {
        eventually(
            PATIENCE,
            &format!("{name} is a candidate that all see"),
            async || {
                let state = self.state(name).await?;
                for vip in self.vips {
                    let withheld = &state["vips"][vip.to_string()]["withheld"];
                    ensure!(
                        withheld.is_null() || withheld == "OtherOwner",
                        "{name} is silent about {vip}: {withheld}"
                    );
                }
                for other in OWNERS.iter().filter(|other| **other != name) {
                    let state = self.state(other).await?;
                    let members = state["members"].as_array().map_or(&[][..], Vec::as_slice);
                    let is_live = members
                        .iter()
                        .any(|member| member["name"] == name && member["isLive"] == true);
                    ensure!(is_live, "{other} sees {members:?}");
                }
                Ok(())
            },
        )
        .await
    }

    /// Waits until the claim names an owner other than this node, and returns it.
    pub(crate) async fn wait_moved_from(&self, vip: IpAddr, from: &str) -> Result<Owned> {
        eventually(
            PATIENCE,
            &format!("the claim of {vip} names a node other than {from}"),
            async || {
                let owned = self.owned(vip).await?;
                ensure!(owned.node != from, "it still names {from}");
                Ok(owned)
            },
        )
        .await
    }

    /// Waits until a client is served by the VIP, and the claim says by whom.
    pub(crate) async fn wait_served(&self, vip: IpAddr) -> Result<Owned> {
        let client = self.lab.client_host()?;
        eventually(PATIENCE, &format!("a client is served by {vip}"), async || {
            client.http_get(vip, 80).await
        })
        .await?;
        self.lab.oracle()?.expect(vip);
        self.wait_owned(vip).await
    }

    /// Waits until the claim of a VIP names its owner. A node that is cut off from all others believes them
    /// to be dead and clears their names from the claims, once; they write themselves back.
    pub(crate) async fn wait_owned(&self, vip: IpAddr) -> Result<Owned> {
        let what = format!("the claim of {vip} names its owner");
        eventually(PATIENCE, &what, async || self.owned(vip).await).await
    }

    /// Starts to ask a VIP a thousand times a second, and waits until it answers.
    pub(crate) async fn probe(&self, vip: IpAddr) -> Result<Prober> {
        let prober = self.lab.client_host()?.probe(vip, 80, ProberOptions::default())?;
        prober.wait_for_answers(100, PATIENCE).await?;
        Ok(prober)
    }

    /// Starts to ask a VIP to which nothing should happen, not so often that this costs another one replies,
    /// and waits until it answers.
    pub(crate) async fn probe_beside(&self, vip: IpAddr) -> Result<Prober> {
        let options = ProberOptions {
            interval: Duration::from_millis(5),
            ..ProberOptions::default()
        };
        let prober = self.lab.client_host()?.probe(vip, 80, options)?;
        prober.wait_for_answers(10, PATIENCE).await?;
        Ok(prober)
    }

    /// Waits until a VIP that failed over answers again, and for a while longer.
    pub(crate) async fn report(prober: Prober) -> Result<ProbeReport> {
        prober.wait_for_answers(300, FAILOVER).await?;
        prober.stop()
    }

    /// Fails if a client of a VIP lost something.
    pub(crate) fn lost_nothing(prober: Prober, vip: IpAddr) -> Result<ProbeReport> {
        let report = prober.stop()?;
        let lost: Vec<_> = report.lost_at().collect();
        ensure!(
            lost.is_empty(),
            "nothing happened to {vip}, and of {} datagrams these were lost: {lost:?}",
            report.sent()
        );
        Ok(report)
    }

    /// Fails unless a client of a VIP lost nothing, and it is owned as before.
    pub(crate) async fn is_untouched(
        &self,
        prober: Prober,
        vip: IpAddr,
        before: &Owned,
    ) -> Result<ProbeReport> {
        let report = Self::lost_nothing(prober, vip)?;
        let owned = self.wait_owned(vip).await?;
        ensure!(
            owned == *before,
            "nothing happened to {vip}, which went from {before:?} to {owned:?}"
        );
        Ok(report)
    }

    /// Changes what a claim stands for, as a controller would.
    pub(crate) async fn set_state(&self, vip: IpAddr, state: &str) -> Result<()> {
        let claims: Api<AddressClaim> = Api::all(self.lab.client());
        let patch = Patch::Merge(json!({"spec": {"state": state}}));
        claims
            .patch(&claim_name(vip), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Deletes a claim.
    pub(crate) async fn delete(&self, vip: IpAddr) -> Result<()> {
        let claims: Api<AddressClaim> = Api::all(self.lab.client());
        claims.delete(&claim_name(vip), &DeleteParams::default()).await?;
        Ok(())
    }
}

/// A claim that a Service holds.
fn claim(service: &str, vip: IpAddr, policy: &str) -> Value {
    json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressClaim",
        "metadata": {"name": claim_name(vip), "labels": {"ferrolb.io/pool": "lan"}},
        "spec": {
            "address": vip,
            "pool": "lan",
            "state": "Held",
            "heldBy": format!("default/{service}"),
            "holders": [{
                "namespace": "default",
                "name": service,
                "uid": "by-hand",
                "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 80}],
                "externalTrafficPolicy": policy,
                "advertisements": ["lan"],
            }],
        },
    })
}
