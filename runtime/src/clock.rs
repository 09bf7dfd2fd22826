//! The clocks. Nothing else in the project reads one: decisions take time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Time since boot, suspended time included: a machine that slept must notice that it did.
pub fn boottime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or_else(
        // Every Linux since 2.6.39 has it; a sandbox that forbids it still has a monotonic clock.
        |_| monotonic(),
        Duration::from,
    )
}

/// Wall-clock time since the Unix epoch, for what is stored or shown.
pub fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = SystemTime::now();
    // A clock before 1970 is not set at all; zero sorts before every real time.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Wall-clock time as Kubernetes objects hold it.
pub fn timestamp() -> Timestamp {
    Timestamp::try_from(UNIX_EPOCH + wall()).unwrap_or_default()
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_agree_with_the_kernel() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("a kernel");
        let uptime: f64 = uptime
            .split(' ')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        assert!(
            (boottime().as_secs_f64() - uptime).abs() < 5.0,
            "boottime is {:?}, uptime {uptime}",
            boottime()
        );
        assert!(
            wall() > Duration::from_secs(1_700_000_000),
            "the wall clock is before 2023"
        );
        assert_eq!(
            timestamp().as_second(),
            i64::try_from(wall().as_secs()).expect("a time in range")
        );
    }
}
