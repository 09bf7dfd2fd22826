//! What a prober saw: what was lost, when it was not served, and whether it asked as often as it should.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};

use super::ProberOptions;

/// The part of its datagrams that a prober must have sent to have kept its pace, in percent.
const PACE: usize = 95;

/// The longest time in which a prober that kept its pace sent nothing, unless its interval is longer. It goes
/// before everything else, so this is the longest time that a virtual machine stands still.
const PAUSE: Duration = Duration::from_millis(100);

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

    /// How many datagrams it should have sent.
    pub fn due(&self) -> usize {
        // A prober needs a moment to start.
        let first = self.probes.first().map_or(self.asked_for, |probe| probe.sent);
        let time = self.asked_for.saturating_sub(first).as_nanos();
        usize::try_from(time / self.options.interval.as_nanos().max(1)).unwrap_or(usize::MAX)
    }

    /// Whether so many datagrams are enough where so many were due.
    pub fn is_enough(sent: usize, due: usize) -> bool {
        sent.saturating_mul(100) >= due.saturating_mul(PACE)
    }

    /// Fails if it did not ask as often as it should: what it did not ask, nobody can have lost.
    pub fn check_pace(&self) -> Result<()> {
        let (sent, due) = (self.sent(), self.due());
        if !Self::is_enough(sent, due) {
            let (from, until) = self.longest_pause();
            bail!(
                "the prober sent {sent} datagrams instead of {due}, and none from {from:?} to {until:?} after its start"
            );
        }
        self.check_pauses()
    }

    /// Fails if it sent nothing for too long.
    pub fn check_pauses(&self) -> Result<()> {
        ensure!(!self.probes.is_empty(), "the prober sent nothing");
        let (from, until) = self.longest_pause();
        if until.saturating_sub(from) > PAUSE.max(self.options.interval * 2) {
            bail!("the prober sent nothing from {from:?} to {until:?} after its start");
        }
        Ok(())
    }

    /// The longest time in which it sent nothing.
    fn longest_pause(&self) -> (Duration, Duration) {
        let times = self.probes.iter().map(|probe| probe.sent);
        let nexts = times.clone().skip(1).chain([self.asked_for]);
        let pauses = times.zip(nexts);
        pauses
            .max_by_key(|(from, until)| until.saturating_sub(*from))
            .unwrap_or_default()
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
            "the prober sent 51 datagrams instead of 100, and none from 980ms to 1s after its start"
        );
        let stalled = asks(&mut (0..=10_000).step_by(10).filter(|at| !(2010..2170).contains(at)));
        assert_eq!(
            stalled.unwrap_err(),
            "the prober sent nothing from 2s to 2.17s after its start"
        );
    }
}
