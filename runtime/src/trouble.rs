//! What went wrong with a request, as one word for machines and one sentence for people.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;

use crate::throttle::Throttled;

/// A failed request, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word of a closed set: metric label and log field.
    pub reason: Reason,
    /// What happened and what to do.
    pub sentence: String,
    /// How long the API server asks to be left alone.
    pub wait: Option<Duration>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No answer: refused, cut off, timed out, or the certificates do not fit.
    Unreachable,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409, also when the object exists already.
    Conflict,
    /// 410, or a resource version that the API server cannot know: list again.
    Stale,
    /// 422: the API server's rules refuse the object.
    Invalid,
    /// 429: we ask too much, or it has too much to do. Nothing was done.
    Throttled,
    /// 5xx: busy or starting.
    Busy,
    /// An answer that cannot be understood, or any other refusal.
    Unexpected,
}

// === impl Reason ===

impl Reason {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Stale => "Stale",
            Self::Invalid => "Invalid",
            Self::Throttled => "Throttled",
            Self::Busy => "Busy",
            Self::Unexpected => "Unexpected",
        }
    }

    /// Whether the request may have been carried out although it failed.
    pub const fn is_outcome_unknown(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Unexpected)
    }
}

// === impl Trouble ===

impl Trouble {
    /// Explains an error of the client.
    pub fn of(error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::of_status(status);
        }
        if let kube::Error::Service(inner) = error
            && let Some(throttled) = inner.downcast_ref()
        {
            return Self::throttled(*throttled);
        }
        let cause = root_cause(error);
        match error {
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Self::new(
                Reason::Unexpected,
                format!("the API server's answer cannot be understood: {cause}"),
            ),
            kube::Error::Auth(_) => Self::new(
                Reason::Unauthorized,
                format!(
                    "the credentials cannot be used: {cause}; check the kubeconfig or the ServiceAccount token"
                ),
            ),
            // All others are ways in which a request does not reach a server or comes to no end.
            _ => Self::new(
                Reason::Unreachable,
                format!("the API server cannot be reached: {cause}"),
            ),
        }
    }

    /// Explains a refusal by the API server.
    pub fn of_status(status: &Status) -> Self {
        let message = &status.message;
        // A resource version from before a restore from backup: 504 with this reason.
        let is_from_the_future = status.message.contains("Too large resource version");
        let (reason, sentence) = match status.code {
            401 => (
                Reason::Unauthorized,
                "the API server refuses our credentials; check the kubeconfig or the ServiceAccount token"
                    .to_owned(),
            ),
            403 => (
                Reason::Forbidden,
                format!("{message}; grant it in a role of our ServiceAccount (the Helm chart does)"),
            ),
            404 => (Reason::NotFound, message.clone()),
            409 => (Reason::Conflict, message.clone()),
            410 => (Reason::Stale, message.clone()),
            504 if is_from_the_future => (Reason::Stale, message.clone()),
            400 | 422 => (Reason::Invalid, message.clone()),
            // In the middle of a watch; as an answer it has become an error before.
            429 => return Self::throttled(stated(status)),
            500..=599 => (
                Reason::Busy,
                format!(
                    "the API server is busy or starting (status {}): {message}",
                    status.code
                ),
            ),
            code => (
                Reason::Unexpected,
                format!("the API server answers with status {code}: {message}"),
            ),
        };
        Self::new(reason, sentence)
    }

    /// A request that did not end in time.
    pub fn timed_out() -> Self {
        Self::new(
            Reason::Unreachable,
            "the API server does not answer in time".to_owned(),
        )
    }

    pub(crate) const fn new(reason: Reason, sentence: String) -> Self {
        Self {
            reason,
            sentence,
            wait: None,
        }
    }

    fn throttled(throttled: Throttled) -> Self {
        Self {
            reason: Reason::Throttled,
            sentence: format!("{throttled} (status 429)"),
            wait: Some(throttled.wait()),
        }
    }
}

fn stated(status: &Status) -> Throttled {
    let details = status.details.as_ref();
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    Throttled {
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
    }
}

/// The innermost error: the outer ones say "error" in many words.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_status(code: u16, message: &str) -> Status {
        serde_json::from_value(serde_json::json!({
            "status": "Failure", "message": message, "reason": "", "code": code,
        }))
        .expect("a status")
    }

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            (401, "Unauthorized", Reason::Unauthorized),
            (403, "services is forbidden", Reason::Forbidden),
            (404, "not found", Reason::NotFound),
            (409, "already exists", Reason::Conflict),
            (410, "too old resource version", Reason::Stale),
            (504, "Too large resource version: 9, current: 3", Reason::Stale),
            (504, "timeout", Reason::Busy),
            (422, "is invalid", Reason::Invalid),
            (429, "too many requests", Reason::Throttled),
            (503, "starting", Reason::Busy),
            (418, "teapot", Reason::Unexpected),
        ];
        for (code, message, reason) in cases {
            assert_eq!(
                Trouble::of_status(&mk_status(code, message)).reason,
                reason,
                "{code} {message}"
            );
        }
    }

    #[test]
    fn a_refused_connection_is_a_sentence_with_the_cause() {
        let cause = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let trouble = Trouble::of(&kube::Error::Service(Box::new(cause)));
        assert_eq!(trouble.reason, Reason::Unreachable);
        assert_eq!(
            trouble.sentence,
            "the API server cannot be reached: connection refused"
        );
    }
}
