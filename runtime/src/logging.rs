//! Logging to standard error: text for people, JSON for machines.
//!
//! Lines carry wall-clock time with microseconds, a constant message, and data in fields.

use std::io;

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

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
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match args.log_format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let subscriber = registry().with(lines.with_filter(filter));
    subscriber.try_init().map_err(|_| LoggingError::Twice)
}

/// Targets and levels only: filters by field would bring a whole regular expression engine.
fn filter(level: &str) -> Result<Targets, LoggingError> {
    // A word alone would be taken for a target, and everything else would be silent.
    let mut words = level.split(',').map(str::trim);
    if let Some(word) =
        words.find(|word| word.is_empty() || !word.contains('=') && word.parse::<LevelFilter>().is_err())
    {
        return Err(LoggingError::Level {
            level: level.to_owned(),
            reason: format!("\"{word}\" is no level"),
        });
    }
    format!("{LIBRARIES},{level}")
        .parse()
        .map_err(
            |error: tracing_subscriber::filter::ParseError| LoggingError::Level {
                level: level.to_owned(),
                reason: error.to_string(),
            },
        )
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
        for level in ["loud", "loud=very=much", "ferrolb_core", "info,ferrolb_core", ""] {
            let refused = filter(level).expect_err("no level").to_string();
            assert!(
                refused.starts_with(&format!("--log-level {level}: ")),
                "{refused}"
            );
        }
    }
}
