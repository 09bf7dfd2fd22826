//! The client of the API server, made so that an outage is over for us soon after it is over.
//!
//! A connection whose other end has gone silent is given up by the kernel within seconds; a
//! connection attempt within a second and a half; a request without an answer within fifteen
//! seconds. Nothing is retried in here: who sends a request knows whether it may be sent again.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;
use tower::BoxError;
use tower::timeout::TimeoutLayer;
use tower::util::{MapErrLayer, MapResultLayer, option_layer};

use crate::args::ClientArgs;
use crate::{sentence, throttle};

/// A SYN that is lost is sent again after a second: one retransmission fits.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Sent data that nobody acknowledges, and keep-alives that nobody answers, end a connection
/// after about this time.
const SILENCE: Duration = Duration::from_secs(6);

/// From a request to the head of its answer. Long lists take seconds on a busy server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no client. Waiting does not help; an operator must act.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The file named by `--kubeconfig` cannot be used.
    #[error("--kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No file was named, and neither a ServiceAccount nor a default file can be used.
    #[error(
        "no credentials for the API server: {0}; run in a pod with a ServiceAccount, or give --kubeconfig FILE"
    )]
    Nowhere(String),
    /// The credentials do not make a client.
    #[error("the credentials for the API server cannot be used: {0}")]
    Credentials(String),
}

/// Builds a client from flags and surroundings. Sends nothing.
///
/// # Errors
/// When there are no usable credentials.
pub async fn connect(args: &ClientArgs) -> Result<Client, ClientError> {
    // Two providers could be linked in, and rustls panics unless one is chosen. Chosen twice is
    // the same choice.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    let config = config(args).await?;
    build(&config).map_err(|error| ClientError::Credentials(sentence::of(&error)))
}

async fn config(args: &ClientArgs) -> Result<Config, ClientError> {
    let Some(path) = &args.kubeconfig else {
        // A pod's own ServiceAccount first: a kubeconfig in its image is there by accident.
        if let Ok(config) = Config::incluster() {
            return Ok(config);
        }
        return Config::infer()
            .await
            .map_err(|error| ClientError::Nowhere(sentence::of(&error)));
    };
    let refused = |error: &dyn Error| ClientError::Kubeconfig {
        path: path.clone(),
        reason: sentence::of(error),
    };
    let file = Kubeconfig::read_from(path).map_err(|error| refused(&error))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| refused(&error))
}

/// kube's own stack, less its retries, with a connector that notices silence.
fn build(config: &Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(SILENCE / 2));
    tcp.set_keepalive_interval(Some(SILENCE / 6));
    tcp.set_keepalive_retries(Some(3));
    tcp.set_tcp_user_timeout(Some(SILENCE));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http = hyper_util::client::legacy::Builder::new(TokioExecutor::new()).build::<_, Body>(tls);
    Ok(ClientBuilder::new(http, config.default_namespace.clone())
        .with_layer(&MapErrLayer::new(BoxError::from))
        .with_layer(&MapResultLayer::new(throttle::notice))
        .with_layer(&config.extra_headers_layer()?)
        .with_layer(&option_layer(config.auth_layer()?))
        .with_layer(&config.base_uri_layer())
        .with_layer(&TimeoutLayer::new(ANSWER_TIMEOUT))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_args(path: &std::path::Path) -> ClientArgs {
        ClientArgs {
            kubeconfig: Some(path.to_owned()),
            namespace: "ferrolb-system".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let path = std::env::temp_dir().join("ferrolb-no-such-kubeconfig");
        let error = connect(&mk_args(&path)).await.err().expect("no client");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("--kubeconfig {}: ", path.display())),
            "{text}"
        );
        assert!(text.contains("No such file"), "{text}");
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_none_is_named() {
        let path = std::env::temp_dir().join(format!("ferrolb-bad-kubeconfig-{}", std::process::id()));
        std::fs::write(&path, "clusters: 7\n").expect("a writable directory");
        let outcome = connect(&mk_args(&path)).await;
        std::fs::remove_file(&path).expect("the file just written");
        let text = outcome.err().expect("no client").to_string();
        assert!(
            text.starts_with(&format!("--kubeconfig {}: ", path.display())),
            "{text}"
        );
    }
}
