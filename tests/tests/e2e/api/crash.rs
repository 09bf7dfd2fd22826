//! The controller is killed at any moment, again and again, while Services come and go. As it is
//! deployed, with two replicas and speakers, it is killed in `lab/crash.rs`.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;

use super::churn::Churn;
use super::shared::start_with;
use super::tenant::Tenant;

const KILLS: usize = 20;

const POOL: &str = "10.26.0.0/24";

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_lent_twice_or_lost_by_a_controller_that_is_killed_20_times() -> Result<()> {
    // Without the Lease it works at once when it starts, so that a kill hits it at work.
    let (lab, mut controllers) = start_with(1, &["--leader-elect=false"]).await?;
    let churn = Churn::start(&Tenant::new(&lab, "crash").await?, POOL, Duration::ZERO).await?;
    let mut random = churn.random();
    for _ in 0..KILLS {
        churn.goes_on(&mut random, 1..40).await?;
        controllers[0].kill()?;
        controllers[0].start()?;
    }
    churn.settle(&controllers).await
}

/// Two replicas that both believe to lead are the worst that a Lease can come to.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_lead_at_once_lend_no_address_twice() -> Result<()> {
    let (lab, mut controllers) = start_with(2, &["--leader-elect=false"]).await?;
    let churn = Churn::start(&Tenant::new(&lab, "crash").await?, POOL, Duration::ZERO).await?;
    let mut random = churn.random();
    for _ in 0..KILLS / 2 {
        churn.goes_on(&mut random, 1..40).await?;
        let one = random.random_range(0..2);
        controllers[one].kill()?;
        controllers[one].start()?;
    }
    // One of them sees the truth and goes; the other one cleans up.
    controllers[1].kill()?;
    controllers.truncate(1);
    churn.settle(&controllers).await
}
