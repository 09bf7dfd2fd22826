//! Many VIPs at once: the burst keeps its pace, and every VIP gets its first frame first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use ferrolb_tests::lab::clock;
use ferrolb_tests::lab::frames::FramePort;
use futures::future::try_join_all;

use super::{PATIENCE, lend, start};

/// As many as need the whole rate for three seconds.
const VIPS: u8 = 150;

/// The default rate of unasked frames.
const RATE: usize = 50;

/// How late this process may look at a frame, on a busy machine.
const LATENESS: Duration = Duration::from_millis(100);

/// When each gratuitous ARP frame of n1 came, until every VIP has had both forms.
fn watch(port: &FramePort) -> Result<Vec<Instant>> {
    let times = RefCell::new(Vec::new());
    let is_gratuitous = |frame: &[u8]| {
        let is_ours = frame.get(12..14) == Some(&[8, 6])
            && frame.get(6..12) == Some(&[2, 0xfe, 0, 0, 0, 0x0b])
            && frame.get(28..32) == frame.get(38..42);
        if is_ours {
            times.borrow_mut().push(clock::now());
        }
        is_ours
    };
    let all_said = |kept: &[Vec<u8>]| {
        let mut by_vip: BTreeMap<[u8; 4], usize> = BTreeMap::new();
        for frame in kept {
            *by_vip.entry(frame[28..32].try_into().unwrap()).or_default() += 1;
        }
        by_vip.len() == usize::from(VIPS) && by_vip.values().all(|&count| count >= 2)
    };
    port.receive(PATIENCE * 2, is_gratuitous, all_said)?;
    Ok(times.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_vips_at_once_stay_within_the_pace() -> Result<()> {
    let lab = start(1).await?;
    let port = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    // Beside the lending, so that no frame waits to be looked at.
    let watching = tokio::task::spawn_blocking(move || watch(&port));
    // 192.0.2.101 and up, past the client.
    let vips: Vec<_> = (101..101 + VIPS)
        .map(|last| Ipv4Addr::new(192, 0, 2, last))
        .collect();
    try_join_all(
        vips.iter()
            .map(async |vip| lend(&lab, "lan", &vip.to_string()).await),
    )
    .await?;
    let times = watching.await??;
    for vip in &vips {
        lab.oracle()?.expect((*vip).into());
    }
    for window in times.windows(RATE + 1) {
        let lasted = window[RATE] - window[0] + LATENESS;
        assert!(
            lasted >= Duration::from_secs(1),
            "{} frames in {lasted:?}",
            RATE + 1
        );
    }
    Ok(())
}
