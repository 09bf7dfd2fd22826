//! The shared secret of the speakers: made once, if nobody has made it.
//!
//! The controller may create Secrets in its namespace and read none. A chart that rendered the
//! secret would change it with every rendering; this never does, since what exists stays.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use ferrolb_runtime::backoff::Backoff;
use ferrolb_runtime::trouble::{Reason, Trouble};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::patch::FIELD_MANAGER;

/// The name of the value in the Secret, and of the file in the speaker's pod.
const KEY: &str = "key";

/// What is missing here an administrator must add; asking often does not help.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The client gives up on a silent server sooner; this bounds an answer that trickles.
const PATIENCE: Duration = Duration::from_secs(20);

/// Creates the Secret unless it exists, and tries until one or the other is certain. Cancel safe.
///
/// # Errors
/// When the system has no random numbers.
pub async fn ensure(client: Client, namespace: &str, name: &str) -> io::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([(KEY.to_owned(), ByteString(random_secret()?.into_bytes()))].into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let mut backoff = Backoff::with_cap(LONGEST_WAIT);
    let mut last_reason = None;
    loop {
        let trouble = match timeout(PATIENCE, secrets.create(&params, &secret)).await {
            Ok(Ok(_)) => {
                info!(namespace, secret = name, "Gossip secret created");
                return Ok(());
            }
            Ok(Err(error)) => Trouble::of(&error),
            Err(_) => Trouble::timed_out(),
        };
        if trouble.reason == Reason::Conflict {
            debug!(namespace, secret = name, "Gossip secret exists");
            return Ok(());
        }
        if last_reason != Some(trouble.reason) {
            warn!(
                namespace,
                secret = name,
                reason = trouble.reason.as_str(),
                error = trouble.sentence,
                "Gossip secret cannot be created; speakers cannot start without it"
            );
            last_reason = Some(trouble.reason);
        }
        tokio::time::sleep(trouble.wait.unwrap_or_default() + backoff.next_wait()).await;
    }
}

/// 32 random bytes as base64: the speakers' key file is text.
fn random_secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // The API form of bytes is base64 in quotes.
    let quoted = serde_json::to_string(&ByteString(bytes.to_vec())).map_err(io::Error::other)?;
    Ok(quoted.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_32_random_bytes_as_text() {
        let secret = random_secret().expect("a kernel");
        assert_eq!(secret.len(), 44, "{secret}");
        let bytes: ByteString = serde_json::from_str(&format!("\"{secret}\"")).expect("base64");
        assert_eq!(bytes.0.len(), 32);
        assert_ne!(secret, random_secret().expect("a kernel"), "it is not random");
    }
}

#[cfg(test)]
mod scripted;
