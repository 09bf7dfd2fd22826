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
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::time::TimeSpec;

use super::clock;
use super::eventually::eventually;
use super::netns::Netns;

/// How long replies are waited for after the last datagram.
const LINGER: Duration = Duration::from_millis(300);

/// Room for seconds of replies: on a busy machine the prober may have to wait, and what the kernel drops
/// meanwhile would look like a loss on the way.
const BUFFER: usize = 8 << 20;

/// The part of its datagrams that a prober must have sent to have kept its pace, in percent.
const PACE: u128 = 95;

/// The longest time in which a prober that kept its pace sent nothing, unless its interval is longer: on a
/// busy machine it is 10 ms, and a planned move should not fit into it unseen.
const PAUSE: Duration = Duration::from_millis(30);

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

/// What a prober saw.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// When it began, by the wall clock.
    pub started: SystemTime,
    /// Every datagram, in the order of sending.
    pub probes: Vec<Probe>,
    /// How it asked.
    pub options: ProberOptions,
    /// When it was told to stop, after the start.
    pub asked_for: Duration,
    /// How many replies came to a datagram that had one already.
    pub duplicates: usize,
    /// Who answered how often: the words of the server, "pod node".
    pub servers: BTreeMap<String, usize>,
}

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When it was sent, after the start.
    pub sent: Duration,
    /// When its first reply came, after the start.
    pub received: Option<Duration>,
}

/// A time in which the client was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the first datagram that was not served was sent, after the start.
    pub from: Duration,
    /// When the first reply after it came; the end of the probe if none did.
    pub until: Duration,
    /// How many datagrams were not served.
    pub datagrams: usize,
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

// === impl ProbeReport ===

impl ProbeReport {
    /// How many datagrams were sent.
    pub fn sent(&self) -> usize {
        self.probes.len()
    }

    /// How many never got a reply.
    pub fn lost(&self) -> usize {
        self.lost_at().count()
    }

    /// When those were sent that never got a reply, after the start.
    pub fn lost_at(&self) -> impl Iterator<Item = Duration> {
        let lost = self.probes.iter().filter(|probe| probe.received.is_none());
        lost.map(|probe| probe.sent)
    }

    /// How many got a reply that came too late to count as served.
    pub fn late(&self) -> usize {
        let late = self.probes.iter().filter(|probe| {
            let received = probe.received;
            received.is_some_and(|received| received - probe.sent > self.options.tolerance)
        });
        late.count()
    }

    /// Fails if it did not ask as often as it should: what it did not ask, nobody can have lost.
    pub fn check_pace(&self) -> Result<()> {
        // A prober needs a moment to start.
        let first = self.probes.first().context("the prober sent nothing")?.sent;
        let time = self.asked_for.saturating_sub(first);
        let due = time.as_nanos() / self.options.interval.as_nanos().max(1);
        let sent = self.probes.len();
        if u128::try_from(sent)? * 100 < due * PACE {
            bail!("the prober sent {sent} datagrams in {time:?} instead of {due}");
        }
        let times = self.probes.iter().map(|probe| probe.sent);
        let nexts = times.clone().skip(1).chain([self.asked_for]);
        let pause = times
            .zip(nexts)
            .max_by_key(|(from, until)| until.saturating_sub(*from));
        let longest = PAUSE.max(self.options.interval * 2);
        match pause {
            Some((from, until)) if until.saturating_sub(from) > longest => {
                bail!("the prober sent nothing from {from:?} to {until:?} after its start")
            }
            _ => Ok(()),
        }
    }

    /// Every time in which the client was not served.
    pub fn outages(&self) -> Vec<Outage> {
        let mut outages = Vec::new();
        let mut current: Option<Outage> = None;
        let mut end = Duration::ZERO;
        for probe in &self.probes {
            let served = probe
                .received
                .filter(|received| *received - probe.sent <= self.options.tolerance);
            end = end.max(probe.received.unwrap_or(probe.sent));
            match (served, &mut current) {
                (None, None) => {
                    current = Some(Outage {
                        from: probe.sent,
                        until: probe.sent,
                        datagrams: 1,
                    });
                }
                (None, Some(outage)) => outage.datagrams += 1,
                (Some(until), Some(outage)) => {
                    outages.push(Outage { until, ..*outage });
                    current = None;
                }
                (Some(_), None) => {}
            }
        }
        outages.extend(current.map(|outage| Outage { until: end, ..outage }));
        outages
    }

    /// The longest time in which the client was not served; zero if it always was.
    pub fn longest_outage(&self) -> Duration {
        self.outages()
            .iter()
            .map(Outage::length)
            .max()
            .unwrap_or_default()
    }
}

// === impl Outage ===

impl Outage {
    /// How long it lasted.
    pub fn length(&self) -> Duration {
        self.until - self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(probes: &[(u64, Option<u64>)]) -> ProbeReport {
        ProbeReport {
            started: SystemTime::UNIX_EPOCH,
            probes: probes
                .iter()
                .map(|(sent, received)| Probe {
                    sent: Duration::from_millis(*sent),
                    received: received.map(Duration::from_millis),
                })
                .collect(),
            options: ProberOptions {
                interval: Duration::from_millis(10),
                tolerance: Duration::from_millis(50),
            },
            asked_for: Duration::from_millis(probes.last().map_or(0, |probe| probe.0)),
            duplicates: 0,
            servers: BTreeMap::new(),
        }
    }

    #[test]
    fn an_outage_ends_with_the_first_reply_after_it() {
        let report = report(&[
            (0, Some(1)),
            (10, None),
            (20, None),
            (30, Some(32)),
            (40, Some(41)),
        ]);
        let expected = Outage {
            from: Duration::from_millis(10),
            until: Duration::from_millis(32),
            datagrams: 2,
        };
        assert_eq!(report.outages(), [expected]);
        assert_eq!(report.longest_outage(), Duration::from_millis(22));
        assert_eq!(report.lost(), 2);
    }

    #[test]
    fn a_late_reply_is_an_outage_but_no_loss() {
        let report = report(&[(0, Some(80)), (10, Some(81)), (60, Some(81))]);
        assert_eq!((report.lost(), report.late()), (0, 2));
        assert_eq!(report.longest_outage(), Duration::from_millis(81));
    }

    #[test]
    fn an_outage_that_never_ends_lasts_until_the_last_datagram() {
        let report = report(&[(0, Some(1)), (10, None), (20, None)]);
        assert_eq!(report.longest_outage(), Duration::from_millis(10));
    }
    #[test]
    fn a_prober_that_asks_too_seldom_has_not_kept_its_pace() {
        let asks = |times: &mut dyn Iterator<Item = u64>| {
            let probes: Vec<_> = times.map(|sent| (sent, Some(sent + 1))).collect();
            report(&probes).check_pace().map_err(|error| error.to_string())
        };
        assert_eq!(asks(&mut (0..1000).step_by(10)), Ok(()));
        let every_20 = asks(&mut (0..=1000).step_by(20));
        assert_eq!(
            every_20.unwrap_err(),
            "the prober sent 51 datagrams in 1s instead of 100"
        );
        let stalled = asks(&mut (0..=10_000).step_by(10).filter(|at| !(2010..2070).contains(at)));
        assert_eq!(
            stalled.unwrap_err(),
            "the prober sent nothing from 2s to 2.07s after its start"
        );
    }
}
