//! The flags that both binaries share, each with a fallback in the environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How to reach the API server.
#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// Kubeconfig file; without it, the ServiceAccount of the pod, else KUBECONFIG or ~/.kube/config
    #[arg(long, env = "FERROLB_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace that FerroLB is installed in
    #[arg(
        long,
        env = "FERROLB_NAMESPACE",
        value_name = "NAME",
        default_value = "ferrolb-system"
    )]
    pub namespace: String,
}

/// What to log, and how.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Least level to log (error, warn, info, debug, trace), or a list such as info,ferrolb_core=debug
    #[arg(long, env = "FERROLB_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// Form of a log line
    #[arg(long, env = "FERROLB_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the admin server listens; the port differs by binary.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs<const PORT: u16> {
    /// Address of the admin server: /livez, /readyz, /metrics, /debug/state
    #[arg(
        long,
        env = "FERROLB_ADMIN_BIND",
        value_name = "ADDRESS:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
    )]
    pub admin_bind: SocketAddr,
}
