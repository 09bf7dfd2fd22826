//! In whatever order things arrive and whatever state they were left in, who held an address has it in the
//! end, and the rest have valid ones.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::objects::holders;
use k8s_openapi::api::core::v1::Service;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking};

/// What arrives beside the Services, each at its turn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Arrives {
    Pool,
    /// What Services show.
    Statuses,
    Claims,
}

use Arrives::{Claims, Pool, Statuses};

const ORDERS: [[Arrives; 3]; 6] = [
    [Pool, Statuses, Claims],
    [Pool, Claims, Statuses],
    [Statuses, Pool, Claims],
    [Statuses, Claims, Pool],
    [Claims, Pool, Statuses],
    [Claims, Statuses, Pool],
];

/// One namespace whose things arrive in an order of their own.
struct Scene {
    tenant: Tenant,
    order: [Arrives; 3],
    /// The third byte of all its addresses.
    net: usize,
    /// In the order in which they were created.
    names: Vec<&'static str>,
}

// === impl Scene ===

impl Scene {
    /// Creates the Services, those of every second scene in reverse.
    async fn create(
        tenant: &Tenant,
        net: usize,
        order: [Arrives; 3],
        names: &[&'static str],
    ) -> Result<Self> {
        let tenant = Tenant::new_beside(tenant, &format!("scene-{net}")).await?;
        let mut names = names.to_vec();
        if net % 2 == 1 {
            names.reverse();
        }
        let scene = Self {
            tenant,
            order,
            net,
            names,
        };
        for name in &scene.names {
            scene.tenant.service(name, asking(&scene.pool())).await?;
        }
        Ok(scene)
    }

    fn pool(&self) -> String {
        format!("scene-{}", self.net)
    }

    fn address(&self, last: u8) -> String {
        format!("10.33.{}.{last}", self.net)
    }

    async fn create_pool(&self) -> Result<()> {
        let spec = json!({ "addresses": [format!("{}/29", self.address(0))] });
        self.tenant.pool(&self.pool(), spec).await?;
        Ok(())
    }

    async fn show(&self, name: &str, last: u8) -> Result<()> {
        let ingress = json!([{ "ip": self.address(last), "ipMode": "VIP" }]);
        let status = json!({ "loadBalancer": { "ingress": ingress } });
        self.tenant.change_status(name, status).await?;
        Ok(())
    }

    async fn claim(&self, last: u8, spec: Value) -> Result<()> {
        let address = self.address(last);
        let mut claim = json!({
            "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
            "metadata": { "name": claim_name(address.parse()?) }, "spec": spec,
        });
        claim["spec"]["address"] = address.into();
        let claim = serde_json::from_value(claim)?;
        self.tenant
            .claims()
            .create(&PostParams::default(), &claim)
            .await?;
        Ok(())
    }

    /// A claim that the controller left behind.
    async fn claim_held(&self, name: &str, last: u8) -> Result<()> {
        let namespace = &self.tenant.namespace;
        let service = self.tenant.services().get(name).await?;
        let holder = json!({
            "namespace": namespace, "name": name, "uid": service.metadata.uid,
            "ports": [{ "protocol": "TCP", "port": 80 }],
            "externalTrafficPolicy": "Cluster", "advertisements": ["default"],
        });
        let spec = json!({
            "pool": self.pool(), "state": "Held", "stateSince": "2026-01-01T00:00:00Z",
            "heldBy": format!("{namespace}/{name}"), "holders": [holder],
        });
        self.claim(last, spec).await
    }

    /// What an earlier controller left: of three Services that held addresses one has all that says so, of the
    /// others one trace each is lost.
    async fn remember(&self) -> Result<()> {
        for arrives in self.order {
            match arrives {
                Pool => self.create_pool().await?,
                Statuses => {
                    self.show("both", 3).await?;
                    self.show("shown", 4).await?;
                }
                Claims => {
                    self.claim_held("both", 3).await?;
                    self.claim_held("claimed", 5).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until these have these addresses, and all others have some of the pool's that nobody else has.
    async fn ends_with(&self, kept: &[(&str, u8)]) -> Result<()> {
        let what = format!("all is well in {:?} of scene {}", self.order, self.net);
        eventually(PATIENCE, &what, async || {
            let services: Vec<Service> = self.tenant.services().list(&Default::default()).await?.items;
            let holders = holders(&services)?;
            ensure!(
                holders.values().all(|names| names.len() == 1),
                "shown twice: {holders:?}"
            );
            ensure!(
                holders.len() == self.names.len(),
                "not all are served: {holders:?}"
            );
            let usable: BTreeSet<String> = (0..8).map(|last| self.address(last)).collect();
            let foreign = holders
                .keys()
                .find(|address| !usable.contains(&address.to_string()));
            ensure!(foreign.is_none(), "{foreign:?} is not in the pool");
            Ok(())
        })
        .await?;
        for (name, last) in kept {
            let address = self.address(*last);
            self.tenant.shows(name, &[&address]).await.context(what.clone())?;
            let claim = self.tenant.claim_is(&address, "Held").await?;
            let holders: Vec<&str> = claim.spec.holders.iter().map(|holder| &*holder.name).collect();
            ensure!(holders == [*name], "{what}: {address} is held by {holders:?}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_every_order_of_arrival_who_held_an_address_keeps_it_and_the_rest_get_valid_ones() -> Result<()> {
    let (lab, _) = start_with(0, &[]).await?;
    let tenant = Tenant::new(&lab, "scenes").await?;
    let kept = [("both", 3), ("shown", 4), ("claimed", 5)];
    let mut scenes = Vec::new();
    for (net, order) in ORDERS.into_iter().enumerate() {
        let names = ["first", "both", "shown", "second", "claimed"];
        let scene = Scene::create(&tenant, net, order, &names).await?;
        scene.remember().await?;
        scenes.push(scene);
    }
    // Twice, since the second one finds what the first one has left.
    for _ in 0..2 {
        let mut controller = lab.controller(0, &[]);
        controller.start()?;
        controller.wait_ready().await?;
        for scene in &scenes {
            scene.ends_with(&kept).await?;
        }
        controller.kill()?;
    }

    // Under the eyes of a controller.
    let mut controller = lab.controller(0, &[]);
    controller.start()?;
    controller.wait_ready().await?;
    for (number, order) in ORDERS.into_iter().enumerate() {
        let scene = Scene::create(
            &tenant,
            ORDERS.len() + number,
            order,
            &["first", "reserved", "second"],
        )
        .await?;
        for arrives in scene.order {
            match arrives {
                Pool => scene.create_pool().await?,
                Statuses => scene.show("second", 4).await?,
                Claims => {
                    let whom = json!([{ "namespace": scene.tenant.namespace, "name": "reserved" }]);
                    let spec = json!({ "reserved": true, "reservedFor": whom });
                    scene.claim(6, spec).await?;
                }
            }
        }
        scene.ends_with(&[("reserved", 6)]).await?;
        scenes.push(scene);
    }
    for scene in &scenes[..ORDERS.len()] {
        scene.ends_with(&kept).await?;
    }
    controller.process()?.check_running()
}
