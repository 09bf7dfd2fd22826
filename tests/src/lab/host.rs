//! A host that is no part of the cluster: what the outside world sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::http;
use super::netns::Netns;
use super::prober::{Prober, ProberOptions};

/// The port of the service that throws away what it gets (RFC 863).
const DISCARD: u16 = 9;

/// A host on the LAN or behind the router.
#[derive(Clone, Debug)]
pub struct Host {
    netns: Netns,
}

/// Who answered a request, in the words of the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Served {
    /// The pod that answered.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// The client's address as the server saw it.
    pub client: SocketAddr,
    /// The server's own address.
    pub local: SocketAddr,
}

// === impl Host ===

impl Host {
    pub(crate) fn new(netns: &Netns) -> Self {
        Self { netns: netns.clone() }
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Runs a command on it and returns what it printed; fails unless it succeeds.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<String> {
        self.netns.exec(program, arguments)
    }

    /// Fetches the page of a test server, on a connection of its own; says who served it.
    pub async fn http_get(&self, address: IpAddr, port: u16) -> Result<Served> {
        let server = SocketAddr::new(address, port);
        let answer = http::request(&self.netns, "GET", server, "/").await?;
        if answer.status != 200 {
            bail!("http://{server}/ answers with {}: {}", answer.status, answer.body);
        }
        serde_json::from_str(&answer.body).with_context(|| format!("no test server: {}", answer.body))
    }

    /// Starts to send a datagram a millisecond, or as the options say, to a UDP echo.
    pub fn probe(&self, address: IpAddr, port: u16, options: ProberOptions) -> Result<Prober> {
        Prober::start(&self.netns, SocketAddr::new(address, port), options)
    }

    /// Gives it a neighbor entry that nothing changes, in place of a speaker's answer.
    pub fn set_neighbor(&self, address: IpAddr, mac: &str) -> Result<()> {
        self.netns.ip(&[&format!(
            "neigh replace {address} lladdr {mac} dev eth0 nud permanent"
        )])
    }

    /// Has its kernel ask the LAN for an address that it does not know; nobody needs to answer the datagram
    /// that waits for that.
    pub fn ask_for(&self, address: IpAddr) -> Result<()> {
        let own: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.netns.run(|| {
            let socket = UdpSocket::bind((own, 0))?;
            socket.send_to(b"?", (address, DISCARD))?;
            Ok(())
        })
    }

    /// Has it forget what it knows of an address.
    pub fn forget_neighbor(&self, address: IpAddr) -> Result<()> {
        self.netns.ip(&[&format!("neigh flush to {address} dev eth0")])
    }

    /// The MAC address that it takes for an address now, if any.
    pub fn neighbor(&self, address: IpAddr) -> Result<Option<String>> {
        let entry = self
            .netns
            .exec("ip", &["neigh", "show", &address.to_string(), "dev", "eth0"])?;
        let mut words = entry.split_whitespace();
        words.find(|word| *word == "lladdr");
        Ok(words.next().map(str::to_owned))
    }
}
