//! A client that asks a thousand times a second and remembers when it was not served.
//!
//! One thread sends numbered datagrams to a UDP echo and receives the replies. A datagram counts as
//! served when its reply came within the tolerance: one that waited in a queue while nobody owned the
//! address was not served, even if it is answered in the end. Who did not ask has lost nothing, so a
//! report also tells whether it kept its pace ([`ProbeReport::check_pace`]).

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::time::TimeSpec;

mod report;

pub use report::{Outage, Probe, ProbeReport};

use super::clock;
use super::eventually::eventually;
use super::netns::Netns;

/// How long replies are waited for after the last datagram.
const LINGER: Duration = Duration::from_millis(300);

/// Room for seconds of replies: on a busy machine the prober may have to wait, and what the kernel drops
/// meanwhile would look like a loss on the way.
const BUFFER: usize = 8 << 20;

/// How a prober asks.
#[derive(Clone, Copy, Debug)]
pub struct ProberOptions {
    /// The time between two datagrams.
    pub interval: Duration,
    /// The longest time to a reply that counts as served.
    pub tolerance: Duration,
}

/// A running prober.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    began: Instant,
    thread: Option<JoinHandle<Result<ProbeReport>>>,
}

/// The thread's own state.
struct Run {
    socket: UdpSocket,
    target: SocketAddr,
    options: ProberOptions,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    began: Instant,
    report: ProbeReport,
}

// === impl ProberOptions ===

impl Default for ProberOptions {
    /// A datagram a millisecond; a reply within 50 ms counts.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(1),
            tolerance: Duration::from_millis(50),
        }
    }
}

// === impl Prober ===

impl Prober {
    pub(crate) fn start(netns: &Netns, target: SocketAddr, options: ProberOptions) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let own: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = netns.run(|| {
            let socket = UdpSocket::bind(own)?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, RcvBufForce, &BUFFER).context("cannot enlarge a prober's buffer")?;
            Ok(socket)
        })?;
        let began = clock::now();
        let run = Run {
            socket,
            target,
            options,
            stop: Arc::clone(&stop),
            answered: Arc::clone(&answered),
            began,
            report: ProbeReport {
                started: clock::wall_clock(),
                probes: Vec::new(),
                options,
                asked_for: Duration::ZERO,
                duplicates: 0,
                servers: BTreeMap::new(),
            },
        };
        let thread = std::thread::Builder::new()
            .name(format!("probe {target}"))
            .spawn(move || run.go())
            .context("cannot start a prober's thread")?;
        Ok(Self {
            stop,
            answered,
            began,
            thread: Some(thread),
        })
    }

    /// How many datagrams have been answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How long ago it started: the time that its report will count by.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until so many more datagrams have been answered.
    pub async fn wait_for_answers(&self, more: u64, deadline: Duration) -> Result<()> {
        let goal = self.answered() + more;
        eventually(deadline, &format!("{more} datagrams are answered"), async || {
            let answered = self.answered();
            if answered < goal {
                return Err(anyhow!("{} are missing", goal - answered));
            }
            Ok(())
        })
        .await
    }

    /// Stops sending, waits for the last replies, and reports.
    pub fn stop(mut self) -> Result<ProbeReport> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a prober is stopped once")?;
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the prober's thread panicked")))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

// === impl Run ===

impl Run {
    fn go(mut self) -> Result<ProbeReport> {
        go_first();
        let mut due = self.began;
        let mut end: Option<Instant> = None;
        loop {
            let now = clock::now();
            if end.is_none() && self.stop.load(Ordering::Relaxed) {
                end = Some(now + LINGER);
                self.report.asked_for = now - self.began;
            }
            if end.is_some_and(|end| now >= end) {
                return Ok(self.report);
            }
            if end.is_none() && now >= due {
                self.send(now);
                // Slots that were missed because this thread did not run are not made up for: a burst
                // would be another question than the one being asked.
                due = (due + self.options.interval).max(now);
            }
            self.wait(end.unwrap_or(due).saturating_duration_since(now))?;
            self.receive()?;
        }
    }

    fn send(&mut self, now: Instant) {
        let number = u64::try_from(self.report.probes.len()).unwrap_or(u64::MAX);
        self.report.probes.push(Probe {
            sent: now - self.began,
            received: None,
        });
        // What cannot be sent (no route, no neighbor) is not answered, and is counted as that.
        let _ = self.socket.send_to(&number.to_be_bytes(), self.target);
    }

    /// Waits until something can be received, to the microsecond: `poll` would only do milliseconds.
    fn wait(&self, time: Duration) -> Result<()> {
        let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut descriptors, Some(TimeSpec::from_duration(time)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("a prober cannot wait"),
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a prober cannot receive"),
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Some((number, rest)) = datagram.split_first_chunk::<8>() else {
                continue;
            };
            let index = usize::try_from(u64::from_be_bytes(*number)).unwrap_or(usize::MAX);
            let received = clock::now() - self.began;
            match self.report.probes.get_mut(index) {
                Some(probe) if from.ip() == self.target.ip() => match probe.received {
                    None => probe.received = Some(received),
                    Some(_) => {
                        self.report.duplicates += 1;
                        continue;
                    }
                },
                // Not ours.
                _ => continue,
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            let words = String::from_utf8_lossy(rest);
            let server: VecDeque<&str> = words.trim().split(' ').take(2).collect();
            let name = Vec::from(server).join(" ");
            *self.report.servers.entry(name).or_default() += 1;
        }
    }
}

/// Has the kernel prefer this thread to every other program: what measures must not wait for what is
/// measured. Where that is forbidden, [`ProbeReport::check_pace`] tells whether it mattered.
fn go_first() {
    let thread = nix::unistd::gettid().to_string();
    let _ = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .output();
}
