//! Reports foreign claims in the log, without letting a flood of them fill it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_core::interface::MacAddress;
use ferrolb_core::responder::ForeignClaim;
use ferrolb_core::time::Time;

/// One line per VIP in this time; the counter counts every frame. The same 10 s in which RFC 5227
/// allows one defense.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// When foreign claims were reported last. It holds announced VIPs only, so it is bounded.
#[derive(Debug, Default)]
pub(super) struct ClaimReports {
    last: BTreeMap<IpAddr, (Time, MacAddress)>,
}

// === impl ClaimReports ===

impl ClaimReports {
    /// Reports a claim at once when it is the VIP's first, comes from another MAC than the last
    /// reported, or the last report is old.
    pub(super) fn report(&mut self, now: Time, interface: &str, claim: ForeignClaim) {
        if self.is_due(now, claim) {
            let ForeignClaim { vip, mac } = claim;
            tracing::warn!(%vip, interface, %mac, "Another host claims a VIP of this node");
        }
    }

    /// Forgets VIPs that are not announced any more.
    pub(super) fn retain(&mut self, is_announced: impl Fn(&IpAddr) -> bool) {
        self.last.retain(|vip, _| is_announced(vip));
    }

    fn is_due(&mut self, now: Time, claim: ForeignClaim) -> bool {
        let is_recent = |(at, _): &(Time, MacAddress)| now - *at < REPORT_INTERVAL;
        let is_due = match self.last.get(&claim.vip) {
            Some(last) if last.1 == claim.mac => !is_recent(last),
            // Two rivals that take turns must not make two lines a frame either.
            Some(last) => now - last.0 >= Duration::from_secs(1),
            None => true,
        };
        if is_due {
            self.last.insert(claim.vip, (now, claim.mac));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_claim(last: u8) -> ForeignClaim {
        ForeignClaim {
            vip: "192.0.2.200".parse().expect("a literal address"),
            mac: MacAddress([2, 0, 0, 0, 0, last]),
        }
    }

    #[test]
    fn a_rival_is_reported_at_once_and_then_every_ten_seconds() {
        let mut reports = ClaimReports::default();
        let due: Vec<_> = [0, 1, 9_999, 10_000, 10_001]
            .into_iter()
            .filter(|&at| reports.is_due(Time::from_millis(at), mk_claim(1)))
            .collect();
        assert_eq!(due, [0, 10_000]);
    }

    #[test]
    fn another_rival_is_reported_within_a_second() {
        let mut reports = ClaimReports::default();
        assert!(reports.is_due(Time::from_millis(0), mk_claim(1)));
        assert!(!reports.is_due(Time::from_millis(999), mk_claim(2)));
        assert!(reports.is_due(Time::from_millis(1_000), mk_claim(2)));
    }
}
