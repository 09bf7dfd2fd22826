//! Objects put straight into etcd: what the API server of today would not take, and one of yesterday may have left.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::{Lab, http};

const ETCD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);

// === impl Lab ===

impl Lab {
    /// Stores a Service, past all that the API server checks and fills in.
    pub async fn store_service(&self, service: &Service) -> Result<()> {
        let metadata = &service.metadata;
        let namespace = metadata.namespace.as_deref().context("a namespace")?;
        let name = metadata.name.as_deref().context("a name")?;
        let key = format!("/registry/services/specs/{namespace}/{name}");
        let put = json!({
            "key": ByteString(key.into_bytes()),
            "value": ByteString(serde_json::to_vec(service)?),
        });
        let answer = http::post(&self.control_plane.netns, ETCD, "/v3/kv/put", &put).await?;
        ensure!(answer.status == 200, "etcd says {answer:?}");
        Ok(())
    }
}
