//! What an administrator does to the pools, and what strangers and people with reservations do to claims.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ferrolb_core::address::claim_name;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::disturbed::Disturbed;
use super::people::is_taken;
use crate::tenant::{Tenant, merge};

/// How many pools there are.
pub(super) const POOLS: u8 = 4;

/// How many addresses of each family a pool has.
const ADDRESSES: u8 = 32;

/// How many addresses are reserved at a time.
const RESERVED: usize = 12;

/// Who writes what is not a Service.
pub(super) struct Administrator {
    tenant: Tenant,
    random: StdRng,
    disturbed: Disturbed,
    is_missing: [bool; POOLS as usize],
    reserved: Vec<IpAddr>,
}

// === impl Administrator ===

impl Administrator {
    pub(super) async fn start(tenant: Tenant, random: StdRng, disturbed: Disturbed) -> Result<Self> {
        for number in 0..POOLS {
            tenant.pool(&name(number), addresses(number)).await?;
        }
        Ok(Self {
            tenant,
            random,
            disturbed,
            is_missing: [false; POOLS as usize],
            reserved: Vec::new(),
        })
    }

    /// Makes one change; says whether the API server took it.
    pub(super) async fn change(&mut self) -> Result<bool> {
        let done = match self.random.random_range(0..50) {
            0..4 => self.edit_pool().await,
            4 => self.replace_pool().await,
            5..28 => self.reserve().await,
            _ => self.disturb().await,
        };
        is_taken(done)
    }

    /// Brings every pool back with all of its addresses, so that nothing rests for longer than a pool says.
    pub(super) async fn end(&mut self) -> Result<()> {
        for number in 0..POOLS {
            if self.is_missing[usize::from(number)] {
                self.replace(number).await?;
            }
            let mut all = addresses(number);
            merge(
                &mut all,
                json!({ "exclude": null, "avoidBuggyIPs": false, "quarantine": "0s" }),
            );
            self.tenant.change_pool(&name(number), all).await?;
        }
        Ok(())
    }

    async fn edit_pool(&mut self) -> Result<()> {
        let number = self.random.random_range(0..POOLS);
        if self.is_missing[usize::from(number)] {
            return self.replace(number).await;
        }
        let (v4, v6) = (first_v4(number), first_v6(number));
        let random = &mut self.random;
        let is_off = random.random_bool(0.5);
        let change = match random.random_range(0..8) {
            0 => addresses(number),
            1 => json!({ "addresses": [format!("{v4}/28"), format!("{v6}/124")] }),
            2 => json!({ "addresses": [format!("{v4}/27")] }),
            3 => json!({ "exclude": (!is_off).then(|| [format!("{v4}/30")]) }),
            4 => json!({ "autoAssign": is_off }),
            5 => json!({ "avoidBuggyIPs": is_off }),
            6 => json!({ "quarantine": if is_off { "0s" } else { "2s" } }),
            _ => json!({ "allocation": match random.random_range(0..5) {
                0 => json!({ "priority": 3, "maxPerNamespace": null, "serviceSelectors": null }),
                1 => json!({ "maxPerNamespace": 5 }),
                2 => json!({ "serviceSelectors": [{ "matchLabels": { "team": "a" } }] }),
                _ => Value::Null,
            }}),
        };
        self.tenant.change_pool(&name(number), change).await
    }

    async fn replace_pool(&mut self) -> Result<()> {
        let number = self.random.random_range(0..POOLS);
        self.replace(number).await
    }

    /// Deletes a pool, or makes it anew if that has been done.
    async fn replace(&mut self, number: u8) -> Result<()> {
        let is_missing = self.is_missing[usize::from(number)];
        if is_missing {
            self.tenant.pool(&name(number), addresses(number)).await?;
        } else {
            let params = DeleteParams::default();
            self.tenant.pools().delete(&name(number), &params).await?;
        }
        self.is_missing[usize::from(number)] = !is_missing;
        Ok(())
    }

    /// Reserves an address for somebody or nobody, or ends that.
    async fn reserve(&mut self) -> Result<()> {
        if self.reserved.len() > RESERVED || self.random.random_ratio(1, 3) && !self.reserved.is_empty() {
            let place = self.random.random_range(0..self.reserved.len());
            return self
                .tenant
                .end_reservation(self.reserved.swap_remove(place))
                .await;
        }
        let address = some_address(&mut self.random);
        let name = format!(
            "s{}-{}",
            self.random.random_range(0..4),
            self.random.random_range(0..4)
        );
        let whom = json!([{ "namespace": self.tenant.namespace, "name": name }]);
        let whom = if self.random.random_bool(0.7) {
            whom
        } else {
            json!([])
        };
        let spec = json!({ "reserved": true, "reservedFor": whom });
        self.reserved.push(address);
        match self.tenant.change_claim(address, spec.clone()).await {
            Err(error) if is_not_there(&error) => self.tenant.create_claim(address, spec).await,
            done => done,
        }
    }

    /// Writes what is not true into a claim, or deletes it.
    async fn disturb(&mut self) -> Result<()> {
        let address = some_address(&mut self.random);
        self.disturbed.disturb(address);
        let stranger = json!([{ "namespace": self.tenant.namespace, "name": "nobody", "uid": "no such" }]);
        let spec = match self.random.random_range(0..8) {
            0 => json!({ "holders": null }),
            1 => json!({ "holders": stranger }),
            2 => json!({ "state": null }),
            3 => json!({ "state": "Quarantined" }),
            4 => json!({ "state": "Releasing", "holders": null }),
            5 => json!({ "pool": "no-such-pool", "heldBy": "everybody" }),
            6 => {
                let spec = json!({ "state": "Held", "holders": stranger });
                return self.tenant.create_claim(address, spec).await;
            }
            _ => {
                let params = DeleteParams::default();
                self.tenant.claims().delete(&claim_name(address), &params).await?;
                return Ok(());
            }
        };
        self.tenant.change_claim(address, spec).await
    }
}

fn is_not_there(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status)) if status.code == 404)
}

// === impl Tenant ===

impl Tenant {
    async fn change_claim(&self, address: IpAddr, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let name = claim_name(address);
        self.claims()
            .patch(&name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn create_claim(&self, address: IpAddr, mut spec: Value) -> Result<()> {
        spec["address"] = json!(address);
        let claim = json!({
            "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
            "metadata": { "name": claim_name(address) }, "spec": spec,
        });
        let claim = serde_json::from_value(claim)?;
        self.claims().create(&PostParams::default(), &claim).await?;
        Ok(())
    }

    /// Reserves an address that has no claim, for nobody.
    pub(super) async fn reserve(&self, address: IpAddr) -> Result<()> {
        self.create_claim(address, json!({ "reserved": true })).await
    }

    /// Takes back what a person has reserved.
    pub(super) async fn end_reservation(&self, address: IpAddr) -> Result<()> {
        self.change_claim(address, json!({ "reserved": null, "reservedFor": null }))
            .await
    }
}

pub(super) fn name(number: u8) -> String {
    format!("churn-{number}")
}

/// An address that some pool lends most of the time.
pub(super) fn some_address(random: &mut StdRng) -> IpAddr {
    let (number, last) = (random.random_range(0..POOLS), random.random_range(0..ADDRESSES));
    match random.random_bool(0.5) {
        true => Ipv4Addr::from_bits(first_v4(number).to_bits() + u32::from(last)).into(),
        false => Ipv6Addr::from_bits(first_v6(number).to_bits() + u128::from(last)).into(),
    }
}

/// All that a pool lends, and how.
fn addresses(number: u8) -> Value {
    let (v4, v6) = (first_v4(number), first_v6(number));
    json!({ "addresses": [format!("{v4}/27"), format!("{v6}/123")], "autoAssign": true })
}

fn first_v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 26, number, 0)
}

fn first_v6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd26, u16::from(number), 0, 0, 0, 0, 0, 0)
}
