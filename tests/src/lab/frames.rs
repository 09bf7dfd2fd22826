//! Raw frames, sent and received as a host on the LAN: what a test needs to be a bad neighbor, or a
//! meticulous one.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::clock;
use super::netns::Netns;

/// Frames of any kind, by protocol number of the kernel (in network order).
const ETH_P_ALL: i32 = 0x0300;

/// Lets through what comes in, and not what this host sends.
const INCOMING: &[SockFilter] = &[
    SockFilter::new(0x30, 0, 0, 0xffff_f004), // the packet type
    SockFilter::new(0x15, 0, 1, 4),           // PACKET_OUTGOING
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, 0x0004_0000),
];

/// One interface of one host, frame by frame.
#[derive(Debug)]
pub struct FramePort {
    socket: Socket,
}

// === impl FramePort ===

impl FramePort {
    /// Opens an interface of a namespace; what comes in from now on can be received.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self> {
        netns.run(|| {
            let addresses = getifaddrs().context("cannot list interfaces")?;
            let link = addresses
                .filter(|address| address.interface_name == interface)
                .find_map(|address| address.address?.as_link_addr().copied())
                .with_context(|| format!("{} has no interface {interface}", netns.name()))?;
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ETH_P_ALL)))
                .context("cannot open a packet socket; the lab needs root")?;
            socket.attach_filter(INCOMING)?;
            bind(socket.as_raw_fd(), &link).with_context(|| format!("cannot bind to {interface}"))?;
            Ok(Self { socket })
        })
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.socket.send(frame).context("cannot send a frame")?;
        Ok(())
    }

    /// Receives frames, each of which `is_wanted` may keep, until it says that it has `enough`.
    /// Fails when that is not so before the deadline, with what was kept.
    pub fn receive(
        &self,
        deadline: Duration,
        is_wanted: impl Fn(&[u8]) -> bool,
        enough: impl Fn(&[Vec<u8>]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let started = clock::now();
        let mut kept = Vec::new();
        let mut buffer = [0; 2048];
        while !enough(&kept) {
            let left = deadline.saturating_sub(started.elapsed());
            if left.is_zero() {
                bail!("only these frames came within {deadline:?}: {kept:02x?}");
            }
            self.socket.set_read_timeout(Some(left))?;
            match (&self.socket).read(&mut buffer) {
                Ok(length) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    if is_wanted(frame) {
                        kept.push(frame.to_vec());
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(anyhow!(error).context("cannot receive frames")),
            }
        }
        Ok(kept)
    }
}
