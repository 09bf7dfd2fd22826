//! What the status of claims says after each move, held against what is the case.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::AddressClaim;
use ferrolb_tests::lab::{Lab, clock};
use kube::Api;

/// What was the case before the next move.
pub(super) struct Moves {
    epochs: BTreeMap<IpAddr, i64>,
    since: SystemTime,
}

// === impl Moves ===

impl Moves {
    /// Nobody has owned these yet, as far as anybody remembers.
    pub(super) fn from(addresses: &[IpAddr]) -> Self {
        Self {
            epochs: addresses.iter().map(|address| (*address, 0)).collect(),
            // The Service that holds them was created a moment ago.
            since: clock::wall_clock() - super::PATIENCE,
        }
    }

    /// Fails unless each claim tells of one more move to this node, and how it answers there.
    pub(super) async fn check_next(
        &mut self,
        lab: &Lab,
        node: &str,
        from: Option<&str>,
        reason: &str,
    ) -> Result<()> {
        let claims: Api<AddressClaim> = Api::all(lab.client());
        let now = clock::wall_clock();
        for (address, epoch) in &mut self.epochs {
            let claim = claims.get(&claim_name(*address)).await?;
            let status = claim.status.context("the claim has no status")?;
            let owner = status.owner.clone().context("it names no owner")?;
            let last = status.last_move.clone().context("it tells of no move")?;
            ensure!(
                owner.node == node && last.from.as_deref() == from && last.reason == reason,
                "{address} moved from {from:?} to {node} for {reason}: {status:?}"
            );
            let [interface] = &owner.interfaces[..] else {
                anyhow::bail!("{address} is answered for on one interface: {owner:?}");
            };
            let link = lab
                .node(node)?
                .exec("ip", &["-oneline", "link", "show", "dev", interface])?;
            let mac = owner.mac_address.as_deref().context("it names no MAC")?;
            ensure!(
                link.contains(&format!("link/ether {mac} ")),
                "{address}: {owner:?}, and the kernel of {node} says {link}"
            );
            let resolved = lab.client_host()?.neighbor(*address)?;
            ensure!(
                resolved.as_deref() == Some(mac),
                "{address}: {owner:?}, and a client resolved {resolved:?}"
            );
            for time in [owner.since.context("it says not since when")?, last.at] {
                ensure!(
                    (micros(self.since)?..=micros(now)?).contains(&time.0.as_microsecond()),
                    "{address} moved between {:?} and {now:?}: {status:?}",
                    self.since
                );
            }
            let next = status.epoch.context("it has no epoch")?;
            ensure!(next > *epoch, "{address}: epoch {epoch} and then {next}");
            *epoch = next;
        }
        self.since = now;
        Ok(())
    }
}

/// A moment in the unit of the status.
fn micros(time: SystemTime) -> Result<i64> {
    Ok(i64::try_from(time.duration_since(UNIX_EPOCH)?.as_micros())?)
}
