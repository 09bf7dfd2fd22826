//! Why a datagram is dropped, in stable words.

use super::SenderId;
use crate::node::Boot;

/// Why a datagram was dropped. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Too short to be one of ours.
    #[error("the datagram is too short")]
    Truncated,
    /// Another version of the envelope.
    #[error("the datagram has envelope version {0}, which this speaker does not know")]
    Version(u8),
    /// Sealed with a secret that we do not hold.
    #[error("the datagram is sealed with an unknown secret (key id {0})")]
    UnknownKey(u8),
    /// Altered, or sealed by somebody who does not hold the secret.
    #[error("the datagram is not authentic")]
    Unauthentic,
    /// Under our own name: our own datagram came back, or another run claims our name.
    #[error("the datagram carries our own name")]
    FromOurselves {
        /// The run that sealed it.
        boot: Boot,
    },
    /// From a run that was replaced.
    #[error("the datagram is from an earlier run of its sender")]
    StaleBoot {
        /// The sender.
        sender: SenderId,
        /// Its latest run.
        known: Boot,
    },
    /// Too far behind the latest to say whether it is new.
    #[error("the datagram is too old")]
    Stale,
    /// Accepted before.
    #[error("the datagram was received before")]
    Replayed,
    /// Authentic, but not understood.
    #[error("the datagram is malformed")]
    Malformed,
}

// === impl Rejected ===

impl Rejected {
    /// The stable word: metric label and log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "Truncated",
            Self::Version(_) => "Version",
            Self::UnknownKey(_) => "UnknownKey",
            Self::Unauthentic => "Unauthentic",
            Self::FromOurselves { .. } => "FromOurselves",
            Self::StaleBoot { .. } => "StaleBoot",
            Self::Stale => "Stale",
            Self::Replayed => "Replayed",
            Self::Malformed => "Malformed",
        }
    }
}
