//! Answers for VIPs that are told on standard input: the announcer without ownership.
//!
//! For trying the wire side by hand and for its tests. Starts like the speaker does: opens
//! its sockets, drops every privilege, then reads lines `announce VIP [BURST]` and
//! `withdraw VIP`. Every usable interface with a subnet that contains the VIP, or the default
//! route, answers. Logs JSON on standard error; ends with its input.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ferrolb_core::pattern::allowed_interfaces;
use ferrolb_core::plan::{Announcement, Plan};
use ferrolb_core::reason::MoveReason;
use ferrolb_speaker::announcer::{Announcer, Settings};
use ferrolb_speaker::netlink::{self, Interfaces};
use ferrolb_speaker::privileges;
use ferrolb_speaker::socket::SocketPool;
use std::collections::BTreeMap;
use tokio::sync::watch;

fn main() -> Result<()> {
    let sockets = SocketPool::open(4)?;
    let dropped = privileges::drop_all()?;
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::DEBUG)
        .init();
    tracing::info!(?dropped, "Dropped privileges");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(sockets))
}

async fn run(sockets: SocketPool) -> Result<()> {
    let (plan_tx, plan) = watch::channel(Arc::new(Plan::default()));
    let (interfaces_tx, interfaces) = watch::channel(None);
    let (wanted_tx, wanted) = watch::channel(BTreeMap::new());
    let announcer = Announcer::new(Settings::default(), plan, interfaces.clone(), sockets);
    // A thread, because standard input cannot be read without blocking; it ends with the process.
    std::thread::spawn(move || read_lines(&wanted_tx));
    tokio::select! {
        never = netlink::run(interfaces_tx) => match never {},
        never = announcer.run() => match never {},
        result = follow(wanted, interfaces, plan_tx) => result,
    }
}

/// Keeps the plan in step with what is wanted and with the interfaces.
async fn follow(
    mut wanted: watch::Receiver<BTreeMap<IpAddr, u64>>,
    mut interfaces: netlink::InterfacesWatch,
    plan: watch::Sender<Arc<Plan>>,
) -> Result<()> {
    loop {
        let usable = interfaces.borrow_and_update().clone().unwrap_or_default();
        plan.send_replace(Arc::new(mk_plan(&wanted.borrow_and_update(), &usable)));
        tokio::select! {
            changed = interfaces.changed() => changed?,
            changed = wanted.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn mk_plan(wanted: &BTreeMap<IpAddr, u64>, interfaces: &Interfaces) -> Plan {
    let announcements = wanted.iter().map(|(&vip, &burst)| {
        let announcement = Announcement {
            interfaces: allowed_interfaces(&[], vip, &interfaces.usable),
            burst,
            epoch: 1,
            reason: MoveReason::Unowned,
            from: None,
        };
        (vip, announcement)
    });
    Plan {
        announcements: announcements.collect(),
        withheld: BTreeMap::new(),
    }
}

fn read_lines(wanted: &watch::Sender<BTreeMap<IpAddr, u64>>) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if let Err(error) = read_line(&line, wanted) {
            tracing::error!(line, error = format!("{error:#}"), "Line not understood");
        }
    }
}

fn read_line(line: &str, wanted: &watch::Sender<BTreeMap<IpAddr, u64>>) -> Result<()> {
    let words: Vec<_> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["announce", vip] => {
            let vip = vip.parse().context(vip.to_owned())?;
            wanted.send_modify(|wanted| _ = wanted.insert(vip, 0));
        }
        ["announce", vip, burst] => {
            let (vip, burst) = (vip.parse().context(vip.to_owned())?, burst.parse()?);
            wanted.send_modify(|wanted| _ = wanted.insert(vip, burst));
        }
        ["withdraw", vip] => {
            let vip: IpAddr = vip.parse().context(vip.to_owned())?;
            wanted.send_modify(|wanted| _ = wanted.remove(&vip));
        }
        _ => bail!("expected `announce VIP [BURST]` or `withdraw VIP`"),
    }
    Ok(())
}
