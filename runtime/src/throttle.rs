//! What the API server says when we ask too much of it: status 429, and for how long to wait.
//!
//! The time stands in a header, and the client library drops headers of refusals. So such a
//! refusal becomes an error of its own before the library sees it.

use std::time::Duration;

use hyper::{Response, StatusCode, header};
use thiserror::Error;
use tower::BoxError;

/// The wait when none was stated; other clients of Kubernetes take the same.
const UNSTATED: Duration = Duration::from_secs(1);

/// The longest wait: a proxy that says an hour does not stop us for one.
const LONGEST: Duration = Duration::from_secs(10);

/// The API server has too much to do. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the API server has too much to do")]
pub struct Throttled {
    /// How long it asks to be left alone, if it says.
    pub retry_after: Option<Duration>,
}

/// Turns an answer that says so into the error.
pub(crate) fn notice<B>(answer: Result<Response<B>, BoxError>) -> Result<Response<B>, BoxError> {
    let answer = answer?;
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        return Ok(answer);
    }
    let stated = answer.headers().get(header::RETRY_AFTER);
    // The header may also be a date; no Kubernetes says that, and our clocks may differ.
    let seconds = stated.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Throttled {
        retry_after: seconds.map(Duration::from_secs),
    }
    .into())
}

// === impl Throttled ===

impl Throttled {
    /// How long to wait, within bounds.
    pub fn wait(self) -> Duration {
        self.retry_after.unwrap_or(UNSTATED).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noticed(code: u16, retry_after: Option<&str>) -> Option<Throttled> {
        let mut answer = Response::builder().status(code);
        if let Some(text) = retry_after {
            answer = answer.header("Retry-After", text);
        }
        let error = notice(Ok(answer.body(()).expect("an answer"))).err()?;
        Some(*error.downcast_ref().expect("the error of this module"))
    }

    #[test]
    fn only_status_429_is_noticed_with_the_time_that_it_states() {
        let after = |seconds| Throttled {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let unstated = Throttled { retry_after: None };
        assert_eq!(noticed(429, Some("7")), Some(after(7)));
        assert_eq!(noticed(429, Some(" 0 ")), Some(after(0)));
        assert_eq!(
            noticed(429, Some("Wed, 21 Oct 2026 07:28:00 GMT")),
            Some(unstated)
        );
        assert_eq!(noticed(429, None), Some(unstated));
        assert_eq!(noticed(503, Some("7")), None, "what a 503 has done nobody knows");
        assert_eq!(noticed(200, None), None);
    }

    #[test]
    fn the_wait_is_bounded() {
        let wait = |retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            Throttled { retry_after }.wait().as_secs()
        };
        assert_eq!([wait(None), wait(Some(7)), wait(Some(3600))], [1, 7, 10]);
    }
}
