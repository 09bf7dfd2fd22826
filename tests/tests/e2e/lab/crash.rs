//! The controller as it is deployed, two replicas with a Lease: whichever leads is killed at any moment,
//! again and again, while Services come and go and speakers announce them.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::product::leader;

use crate::churn::Churn;
use crate::tenant::Tenant;

/// Each costs the time in which a Lease runs out. Where that is not needed, in `api/crash.rs`, there are
/// more of them.
const KILLS: usize = 5;

/// How many Services get an address before the next kill: so many that addresses become free and are
/// wanted again under one leader.
const CHANGES: Range<usize> = 100..150;

/// Beyond the LAN's own network, with room for all that rests at a time.
const POOL: &str = "198.18.0.0/19";

/// Long enough to last over a change of leaders.
const QUARANTINE: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_lent_twice_too_soon_or_lost_when_leaders_are_killed() -> Result<()> {
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.install_crds().await?;
    let mut controllers = lab.start_controller(2, &[]).await?;
    lab.start_speakers(&[]).await?;
    let churn = Churn::start(&lab, &Tenant::new(&lab, "crash").await?, POOL, QUARANTINE).await?;
    let mut random = churn.random();
    for _ in 0..KILLS {
        let leader = leader(&controllers).await?;
        churn.goes_on(&mut random, CHANGES).await?;
        controllers[leader].kill()?;
        controllers[leader].start()?;
    }
    churn.settle(&mut controllers).await?;
    let verdict = lab.oracle()?.verdict()?;
    let judged = verdict.map_err(|violations| anyhow!("{violations:?}"))?;
    // What is created and deleted again at once may never have had an owner.
    ensure!(judged.takes > KILLS * CHANGES.start / 2, "{judged:?}");
    Ok(())
}
