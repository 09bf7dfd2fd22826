//! The task of one interface: the driver of its responder.
//!
//! It decides nothing about frames. It keeps the order that correctness needs: a lost VIP is
//! silent before anything else happens, a group is joined before its VIP is announced, and the
//! ledger knows a VIP before a frame of it can leave.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::interface::{IfIndex, Interface};
use ferrolb_core::plan::Plan;
use ferrolb_core::responder::{Handled, Responder};
use ferrolb_core::time::Time;
use ferrolb_core::wire::Frame;
use ferrolb_runtime::latest;
use tokio::time::{Instant, sleep_until};

use crate::announcer::Shared;
use crate::announcer::answering::Page;
use crate::announcer::claims::ClaimReports;
use crate::announcer::metrics::FrameMetrics;
use crate::socket::groups::SolicitedNodeGroups;
use crate::socket::{Failure, Listen, PacketSocket, TakeError};

/// Frames that are handled before other tasks get a turn: about half a millisecond of work.
const BATCH: usize = 32;
/// More than any ARP or neighbor discovery frame on a link of 1500 bytes. A longer one is cut and
/// then refused as truncated.
const BUFFER_LENGTH: usize = 2048;
/// How long after a failure the sockets are taken again: first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long after a refused membership it is tried again.
const REJOIN: Duration = Duration::from_secs(1);

/// The task of one interface. It ends when the interface is usable no more; dropping it at any
/// await is safe: the VIPs are withdrawn and the sockets go back.
#[derive(Debug)]
pub(super) struct InterfaceTask {
    index: IfIndex,
    shared: Shared,
    /// The origin of the responder's clock.
    origin: Instant,
}

/// What is installed while the interface is served. Fields drop in this order: the page, which
/// writes the withdrawal down, only after everything that could answer is gone.
#[derive(Debug)]
struct Installed {
    arp: PacketSocket,
    ndp: PacketSocket,
    groups: SolicitedNodeGroups,
    responder: Responder,
    reports: ClaimReports,
    /// The interface as last seen, and how often it had got its carrier.
    interface: Interface,
    carrier_ups: u32,
    /// How many VIPs are not announced because their group could not be joined.
    refused: usize,
    /// When those are tried again.
    rejoin_at: Option<Instant>,
    /// Frames that the kernel had no room for, until they are counted.
    lost: u64,
    page: Page,
}

/// Why serving stopped.
#[derive(Debug)]
enum Stop {
    /// The interface is not usable any more.
    Gone,
    /// A socket failed or could not be had.
    Failed(Failure, TakeError),
}

/// What woke the task.
#[derive(Debug)]
enum Wake {
    /// The plan or the interfaces changed, or a membership is due to be tried again.
    Converge,
    /// An unasked frame is due.
    Frame,
    /// A socket has a frame or an error.
    Receive(Listen, io::Result<()>),
}

// === impl InterfaceTask ===

impl InterfaceTask {
    pub(super) fn new(index: IfIndex, shared: Shared) -> Self {
        Self {
            index,
            shared,
            origin: Instant::now(),
        }
    }

    /// Serves the interface until it is gone, again after each failure. Returns its number.
    pub(super) async fn run(mut self) -> IfIndex {
        let mut pause = BACK_OFF.0;
        // A failure that lasts is told once; the metric counts on.
        let mut told = None;
        loop {
            let started = Instant::now();
            let Some((interface, _)) = self.current() else {
                break;
            };
            let (failure, error) = match self.serve().await {
                Stop::Gone => break,
                Stop::Failed(failure, error) => (failure, error),
            };
            let name = interface.name;
            self.shared.metrics.count(&name, failure);
            if started.elapsed() > BACK_OFF.1 {
                pause = BACK_OFF.0;
                told = None;
            }
            if told.replace(failure) != Some(failure) {
                tracing::warn!(interface = name, reason = failure.as_str(), %error, "Interface stopped answering");
            }
            // Not shortened by events: an interface that fails at once must not make this a loop.
            tokio::time::sleep(pause).await;
            pause = BACK_OFF.1.min(pause * 2);
        }
        self.shared.set_served(self.index, true);
        self.index
    }

    async fn serve(&mut self) -> Stop {
        let installed = self.install();
        // Only if the sockets cannot be had: ones that fail are replaced sooner than anybody misses
        // an answer, and ownership must not move for that.
        self.shared.set_served(self.index, installed.is_ok());
        let mut installed = match installed {
            Ok(installed) => installed,
            Err(stop) => return stop,
        };
        let mut buffer = [0; BUFFER_LENGTH];
        loop {
            let done = match self.wait(&mut installed).await {
                Wake::Converge => self.converge(&mut installed),
                Wake::Frame => installed.send_due(self.now()),
                Wake::Receive(listen, Ok(())) => installed.answer(self.now(), listen, &mut buffer),
                Wake::Receive(_, Err(error)) => Err(Stop::of(error)),
            };
            installed.count(&self.shared.metrics);
            if let Err(stop) = done {
                return stop;
            }
            // One thread does everything of the protocol: let the others run after each step.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the next thing to do. Cancel safe, and takes nothing away: what woke it is still
    /// there afterwards.
    async fn wait(&mut self, installed: &mut Installed) -> Wake {
        let next_frame = installed
            .responder
            .poll_timeout()
            .map(|at| self.origin + at.since_origin());
        tokio::select! {
            // A withdrawal goes before everything, unasked frames before answers: they are few,
            // because they are paced.
            biased;
            () = latest::changed(&mut self.shared.plan) => Wake::Converge,
            () = latest::changed(&mut self.shared.interfaces) => Wake::Converge,
            () = until(installed.rejoin_at) => Wake::Converge,
            () = until(next_frame) => Wake::Frame,
            ready = installed.arp.ready() => Wake::Receive(Listen::Arp, ready),
            ready = installed.ndp.ready() => Wake::Receive(Listen::Ndp, ready),
        }
    }

    /// Takes the sockets and converges for the first time.
    fn install(&mut self) -> Result<Installed, Stop> {
        let (interface, carrier_ups) = self.current().ok_or(Stop::Gone)?;
        let Shared {
            settings,
            plan,
            sockets,
            ledger,
            ..
        } = &self.shared;
        let mut installed = Installed {
            arp: sockets.take(Listen::Arp, self.index).map_err(Stop::of_take)?,
            ndp: sockets.take(Listen::Ndp, self.index).map_err(Stop::of_take)?,
            groups: SolicitedNodeGroups::new(self.index),
            responder: Responder::new(
                interface.mac,
                settings.rate,
                settings.seed ^ u64::from(self.index.0),
            ),
            reports: ClaimReports::default(),
            interface,
            carrier_ups,
            refused: 0,
            rejoin_at: None,
            lost: 0,
            page: ledger.page(self.index, plan.clone()),
        };
        self.converge(&mut installed)?;
        Ok(installed)
    }

    fn converge(&mut self, installed: &mut Installed) -> Result<(), Stop> {
        let plan = Arc::clone(&self.shared.plan.borrow_and_update());
        let (interface, carrier_ups) = self.current().ok_or(Stop::Gone)?;
        let has_flapped = carrier_ups != installed.carrier_ups;
        installed.interface = interface;
        installed.carrier_ups = carrier_ups;
        installed.converge(self.now(), &plan, has_flapped);
        Ok(())
    }

    /// The interface as it is now, with the number of times that it got its carrier.
    fn current(&mut self) -> Option<(Interface, u32)> {
        let interfaces = self.shared.interfaces.borrow_and_update();
        let interfaces = interfaces.as_ref()?;
        let interface = interfaces.get(self.index)?.clone();
        Some((
            interface,
            interfaces
                .carrier_ups
                .get(&self.index)
                .copied()
                .unwrap_or_default(),
        ))
    }

    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }
}

// === impl Installed ===

impl Installed {
    fn converge(&mut self, now: Time, plan: &Plan, has_flapped: bool) {
        let index = self.interface.index;
        let mut wanted: BTreeMap<IpAddr, u64> = plan
            .announcements
            .iter()
            .filter(|(_, announcement)| announcement.interfaces.contains(&index))
            .map(|(&vip, announcement)| (vip, announcement.burst))
            .collect();

        if self.responder.announced().any(|vip| !wanted.contains_key(&vip)) {
            self.responder.retain(|vip| wanted.contains_key(vip));
            self.reports.retain(|vip| wanted.contains_key(vip));
            self.page.end_all_but(plan, |vip| wanted.contains_key(vip));
        }

        if has_flapped {
            // A switch forgets memberships with the link: leave, so that joining reports again.
            self.groups.leave_all_but([]);
        }
        self.join_groups(&mut wanted);

        self.page.begin(plan, wanted.keys().copied());
        self.groups.leave_all_but(only_v6(wanted.keys()));
        self.responder.converge(now, self.interface.mac, wanted);
        if has_flapped {
            self.responder.announce_again(now);
        }
    }

    /// Joins the groups of the wanted VIPs. One whose group cannot be joined is not wanted now:
    /// solicitations would not reach it, so announcing it would only delay the failure.
    fn join_groups(&mut self, wanted: &mut BTreeMap<IpAddr, u64>) {
        let refused = self.groups.join(only_v6(wanted.keys()));
        wanted.retain(|vip, _| match vip {
            IpAddr::V4(_) => true,
            IpAddr::V6(vip) => !refused.contains_key(vip),
        });
        self.rejoin_at = (!refused.is_empty()).then(|| Instant::now() + REJOIN);
        if let Some((vip, error)) = refused.first_key_value()
            && self.refused != refused.len()
        {
            let interface = &self.interface.name;
            tracing::warn!(interface, vips = refused.len(), first = %vip, %error, "Joining groups failed");
        }
        self.refused = refused.len();
    }

    fn send_due(&mut self, now: Time) -> Result<(), Stop> {
        while let Some(frame) = self.responder.poll_frame(now) {
            self.send(&frame)?;
        }
        Ok(())
    }

    /// Answers what has been received, up to a batch.
    fn answer(&mut self, now: Time, listen: Listen, buffer: &mut [u8]) -> Result<(), Stop> {
        for _ in 0..BATCH {
            let socket = match listen {
                Listen::Arp => &self.arp,
                Listen::Ndp => &self.ndp,
            };
            let received = match socket.try_receive(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match Failure::of(&error) {
                    Some(_) => return Err(Stop::of(error)),
                    None => continue,
                },
            };
            let bytes = buffer.get(..received.length).unwrap_or_default();
            match self.responder.handle_frame(bytes, received.reception) {
                Handled::Reply(frame) => self.send(&frame)?,
                Handled::ForeignClaim(claim) => self.reports.report(now, &self.interface.name, claim),
                Handled::Dropped(reason) => {
                    tracing::trace!(
                        interface = self.interface.name,
                        reason = reason.as_str(),
                        "Dropped frame"
                    );
                }
            }
        }
        Ok(())
    }

    /// Sends a frame, or loses and counts it when the kernel has no room: every frame is repeated
    /// by the burst or asked for again by its neighbor.
    fn send(&mut self, frame: &Frame) -> Result<(), Stop> {
        let socket = match frame {
            Frame::Arp(_) => &self.arp,
            Frame::Ndp(_) => &self.ndp,
        };
        match socket.send(frame).map_err(|error| (Failure::of(&error), error)) {
            Ok(()) => Ok(()),
            Err((None | Some(Failure::NoBuffer), _)) => {
                self.lost += 1;
                Ok(())
            }
            Err((Some(Failure::InterfaceGone | Failure::NoSocket | Failure::Unexpected), error)) => {
                Err(Stop::of(error))
            }
        }
    }

    /// Brings the counters up to date.
    fn count(&mut self, metrics: &FrameMetrics) {
        metrics.set_frames(&self.interface.name, self.responder.counters());
        for _ in 0..std::mem::take(&mut self.lost) {
            metrics.count(&self.interface.name, Failure::NoBuffer);
        }
    }
}

// === impl Stop ===

impl Stop {
    fn of(error: io::Error) -> Self {
        let failure = Failure::of(&error).unwrap_or(Failure::Unexpected);
        Self::Failed(failure, TakeError::Listen(error))
    }

    fn of_take(error: TakeError) -> Self {
        match error {
            TakeError::PoolEmpty => Self::Failed(Failure::NoSocket, error),
            TakeError::Listen(error) => Self::of(error),
        }
    }
}

fn only_v6<'a>(vips: impl Iterator<Item = &'a IpAddr>) -> impl Iterator<Item = Ipv6Addr> {
    vips.filter_map(|vip| match vip {
        IpAddr::V4(_) => None,
        IpAddr::V6(vip) => Some(*vip),
    })
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
