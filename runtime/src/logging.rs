//! Logging to standard error: text for people, JSON for machines.
//!
//! Lines carry wall-clock time with microseconds, a constant message, and data in fields.

use std::io;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Directives that come before the user's: what libraries log about failed requests we say
/// ourselves, once and as a sentence.
const LIBRARIES: &str = "kube_client=off,kube_runtime=off,hyper_util=warn,rustls=warn";

/// Why logging could not be set up. Nothing was changed.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The level is no level.
    #[error("--log-level {level}: {reason}; use error, warn, info, debug or trace")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else has set up logging in this process.
    #[error("logging is set up twice")]
    Twice,
}

/// Sets up logging for the whole process.
///
/// # Errors
/// When the level is no level, or logging is set up already.
pub fn init(args: &LogArgs) -> Result<(), LoggingError> {
    let filter = filter(&args.log_level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    }
    .map_err(|_| LoggingError::Twice)
}

fn filter(level: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder()
        .parse(format!("{LIBRARIES},{level}"))
        .map_err(|error| LoggingError::Level {
            level: level.to_owned(),
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_understood_and_the_rest_is_refused() {
        for level in [
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "info,ferrolb_core=debug",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let refused = filter("loud=very=much").expect_err("no level");
        assert!(
            refused.to_string().starts_with("--log-level loud=very=much: "),
            "{refused}"
        );
    }
}
