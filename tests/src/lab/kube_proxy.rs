//! kube-proxy of one node, upstream's own, in either of its modes.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::home::Home;
use super::network::{NodeAddresses, POD_NETWORKS};

/// How kube-proxy programs the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyMode {
    /// nftables: upstream's choice for new clusters.
    #[default]
    Nftables,
    /// iptables: what most clusters run.
    Iptables,
}

// === impl ProxyMode ===

impl ProxyMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// Writes the configuration of one node's kube-proxy; returns its path.
pub(crate) fn configure(home: &Home, node: NodeAddresses, mode: ProxyMode) -> Result<PathBuf> {
    let path = home.path(&format!("kube-proxy-{}.yaml", node.name()));
    let text = format!(
        "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
hostnameOverride: {name}
bindAddress: {address}
nodePortAddresses: [primary]
clusterCIDR: {POD_NETWORKS}
detectLocalMode: ClusterCIDR
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {{kubeconfig: {kubeconfig}}}
# Neither the size of the connection table nor the OOM score can be set from inside a namespace.
oomScoreAdj: 0
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
nftables: {{minSyncPeriod: 100ms, syncPeriod: 30s}}
iptables: {{minSyncPeriod: 100ms, syncPeriod: 30s}}
",
        mode = mode.as_str(),
        name = node.name(),
        address = node.lan().ipv4(),
        kubeconfig = home.pki("kube-proxy.kubeconfig").display(),
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
