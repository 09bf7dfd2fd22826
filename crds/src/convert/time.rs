//! Wall-clock time.

use ferrolb_core::time::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;

/// Whole seconds of an API time.
pub fn timestamp(time: &Time) -> Timestamp {
    Timestamp(time.0.as_second())
}

/// The API form of a time; the epoch stands for what no calendar holds.
pub fn api_time(timestamp: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(timestamp.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_survive_the_way_there_and_back() {
        for seconds in [0, 1_800_000_000, -1] {
            assert_eq!(timestamp(&api_time(Timestamp(seconds))), Timestamp(seconds));
        }
    }
}
