//! Conditions.

use ferrolb_core::condition::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as api;

use super::time::{api_time, timestamp};

/// The condition of a type, if a status carries it.
pub fn find(conditions: &[api::Condition], type_: &str) -> Option<Condition> {
    let found = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some(Condition {
        status: found.status == "True",
        reason: found.reason.clone(),
        message: found.message.clone(),
        since: timestamp(&found.last_transition_time),
    })
}

/// The API form of a condition.
pub fn api_condition(type_: &str, condition: &Condition) -> api::Condition {
    api::Condition {
        type_: type_.to_owned(),
        status: if condition.status { "True" } else { "False" }.to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        last_transition_time: api_time(condition.since),
        observed_generation: None,
    }
}

#[cfg(test)]
mod tests {
    use ferrolb_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_condition_is_found_by_its_type() {
        let condition = Condition {
            status: false,
            reason: "PoolExhausted".to_owned(),
            message: "all 2 addresses are held".to_owned(),
            since: Timestamp(1_800_000_000),
        };
        let stored = [
            api_condition(
                "Foreign",
                &Condition {
                    status: true,
                    ..condition.clone()
                },
            ),
            api_condition("Ready", &condition),
        ];
        assert_eq!(find(&stored, "Ready"), Some(condition));
        assert_eq!(find(&stored, "Overlap"), None);
    }
}
