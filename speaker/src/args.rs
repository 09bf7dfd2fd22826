//! The speaker's flags, each with a fallback in the environment, parsed into types once.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use ferrolb_core::burst::DEFAULT_RATE;
use ferrolb_core::node::NodeName;
use ferrolb_runtime::args::{AdminArgs, ClientArgs, LogArgs};

/// The gossip port of every speaker, unless flags say otherwise. 7946 belongs to MetalLB.
pub const GOSSIP_PORT: u16 = 7979;

/// The admin port; the controller has the one before it.
pub const ADMIN_PORT: u16 = 7981;

/// Interfaces that can be answered on at a time: more than any node has, at two idle sockets each.
const INTERFACES: usize = 32;

/// Answers ARP and neighbor discovery for the VIPs that this node owns.
#[derive(Clone, Debug, Parser)]
#[command(name = "ferrolb-speaker", version = ferrolb_runtime::VERSION)]
pub struct Args {
    /// Name of the Node object that this speaker runs on
    #[arg(long, env = "FERROLB_NODE_NAME", value_name = "NAME", value_parser = node_name)]
    pub node_name: NodeName,

    /// Address that gossip is received on (UDP); by default port 7979 of all addresses
    #[arg(
        long,
        env = "FERROLB_GOSSIP_BIND",
        value_name = "ADDRESS:PORT",
        default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, GOSSIP_PORT))
    )]
    pub gossip_bind: SocketAddr,

    /// Address at which other speakers reach this one; by default the Node's first InternalIP
    #[arg(long, env = "FERROLB_GOSSIP_ADVERTISE", value_name = "ADDRESS[:PORT]")]
    pub gossip_advertise: Option<Peer>,

    /// File with the secret that all speakers share: one of at least 32 characters on a line, and
    /// during rotation a second one
    #[arg(long, env = "FERROLB_GOSSIP_KEY_FILE", value_name = "FILE")]
    pub gossip_key_file: PathBuf,

    /// Further speakers to look for, besides those of the Nodes; repeatable
    #[arg(
        long = "seed",
        env = "FERROLB_SEED",
        value_name = "ADDRESS[:PORT]",
        value_delimiter = ','
    )]
    pub seeds: Vec<Peer>,

    /// Address of a second server with /metrics alone, for scrapers; off by default
    #[arg(long, env = "FERROLB_METRICS_BIND", value_name = "ADDRESS:PORT")]
    pub metrics_bind: Option<SocketAddr>,

    /// Unasked frames per second and interface; some switches shut a port at 15 ARP frames a second
    #[arg(long, env = "FERROLB_BURST_RATE", value_name = "NUMBER", default_value_t = DEFAULT_RATE)]
    pub burst_rate: NonZeroU32,

    /// Interfaces that can be answered on at a time
    #[arg(
        long,
        env = "FERROLB_MAX_INTERFACES",
        value_name = "NUMBER",
        default_value_t = NonZeroUsize::new(INTERFACES).unwrap_or(NonZeroUsize::MIN)
    )]
    pub max_interfaces: NonZeroUsize,

    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientArgs,

    /// What to log.
    #[command(flatten)]
    pub log: LogArgs,

    /// Where the admin server listens.
    #[command(flatten)]
    pub admin: AdminArgs<ADMIN_PORT>,
}

/// The address of a speaker; without a port it listens on the same one as this speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    port: Option<u16>,
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address; write 192.0.2.1, 192.0.2.1:7979, 2001:db8::1 or [2001:db8::1]:7979 (names are not looked up)"
)]
pub struct PeerError;

// === impl Args ===

impl Args {
    /// The static seeds.
    pub fn static_seeds(&self) -> BTreeSet<SocketAddr> {
        self.seeds
            .iter()
            .map(|peer| peer.resolve(self.gossip_bind.port()))
            .collect()
    }
}

// === impl Peer ===

impl Peer {
    /// The socket address, given the port of this speaker.
    pub fn resolve(self, own_port: u16) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(own_port))
    }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { address, port: None });
        }
        let socket: SocketAddr = text.parse().map_err(|_| PeerError)?;
        Ok(Self {
            address: socket.ip(),
            port: Some(socket.port()),
        })
    }
}

fn node_name(text: &str) -> Result<NodeName, Infallible> {
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const REQUIRED: [&str; 5] = [
        "ferrolb-speaker",
        "--node-name",
        "n1",
        "--gossip-key-file",
        "/etc/ferrolb/gossip/key",
    ];

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let args = Args::try_parse_from(REQUIRED).expect("only the required flags");
        assert_eq!(args.gossip_bind.to_string(), "[::]:7979");
        assert_eq!(args.admin.admin_bind.to_string(), "127.0.0.1:7981");
        assert_eq!(args.metrics_bind, None);
        assert_eq!(args.client.namespace, "ferrolb-system");
    }

    #[test]
    fn seeds_are_a_list_and_take_our_port_unless_they_have_one() {
        let more = [
            "--seed",
            "192.0.2.1,192.0.2.2:1",
            "--seed",
            "[2001:db8::1]:2",
            "--seed",
            "2001:db8::2",
        ];
        let args = Args::try_parse_from(REQUIRED.into_iter().chain(more)).expect("valid seeds");
        let expected = [
            "192.0.2.1:7979",
            "192.0.2.2:1",
            "[2001:db8::1]:2",
            "[2001:db8::2]:7979",
        ];
        let expected = expected.map(|text| text.parse::<SocketAddr>().expect("a literal address"));
        assert_eq!(args.static_seeds(), BTreeSet::from(expected));
    }

    #[test]
    fn a_wrong_seed_is_refused_with_what_to_write() {
        let error = Args::try_parse_from(REQUIRED.into_iter().chain(["--seed", "n2.example.org"]))
            .expect_err("a name is no address");
        let text = error.to_string();
        assert!(
            text.contains("n2.example.org") && text.contains("names are not looked up"),
            "{text}"
        );
    }
}
