//! The gossip socket: UDP, both families on one port where the kernel has both.
//!
//! Addresses are canonical on this side: an IPv4 peer is an IPv4 address, however the kernel
//! spells it on a socket of both families.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ferrolb_core::membership::MAX_DATAGRAM;
use socket2::{Domain, Protocol, Socket, Type};

/// What the kernel is asked to queue while the protocol thread is busy; it caps it at
/// `net.core.rmem_max`. A pause of a second in a group of 100 fits.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One byte more than the longest datagram, to notice that one is longer.
const BUFFER: usize = MAX_DATAGRAM + 1;

/// The port is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot receive gossip on UDP {address}: {source}; {hint}, or choose another with --gossip-bind")]
pub struct BindError {
    address: SocketAddr,
    hint: &'static str,
    source: io::Error,
}

/// The bound socket, before there is a runtime.
#[derive(Debug)]
pub struct BoundGossip {
    socket: UdpSocket,
    is_mapped: bool,
}

/// The gossip socket of a running speaker.
#[derive(Debug)]
pub struct Gossip {
    /// For reading and writing now, whatever the runtime has noticed so far: what waits here must
    /// be read before a timer may fire.
    socket: UdpSocket,
    /// The same socket, for waiting.
    readiness: tokio::net::UdpSocket,
    /// The socket is of the IPv6 family and takes IPv4 peers as mapped addresses.
    is_mapped: bool,
    buffer: Box<[u8; BUFFER]>,
}

/// What became of a datagram that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Yes,
    /// The kernel had no room, or no way to the peer now. Gossip tries again by itself.
    Lost(io::ErrorKind),
}

// === impl BoundGossip ===

impl BoundGossip {
    /// Binds the socket; all addresses of both families when the address is `[::]`.
    ///
    /// # Errors
    /// When the port is not to be had; the sentence names port and flag.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let refused = |source: io::Error| BindError {
            address,
            hint: match source.kind() {
                io::ErrorKind::AddrInUse => "stop what holds the port",
                io::ErrorKind::AddrNotAvailable => "use an address of this node",
                _ => "make it available",
            },
            source,
        };
        match open(address) {
            // A kernel without IPv6 has IPv4 left.
            Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && !is_taken(&error) => {
                open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))).map_err(refused)
            }
            other => other.map_err(refused),
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(canonical(self.socket.local_addr()?))
    }

    /// Registers the socket with the present runtime.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses.
    pub fn listen(self) -> io::Result<Gossip> {
        Ok(Gossip {
            socket: self.socket.try_clone()?,
            readiness: tokio::net::UdpSocket::from_std(self.socket)?,
            is_mapped: self.is_mapped,
            buffer: Box::new([0; BUFFER]),
        })
    }
}

// === impl Gossip ===

impl Gossip {
    /// Waits until something can be received. Cancel safe.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn readable(&self) -> io::Result<()> {
        self.readiness.readable().await
    }

    /// Receives one datagram if there is one: who sent it, and its bytes. Errors that the kernel
    /// reports about earlier datagrams (a peer's port is closed) are skipped.
    pub fn receive(&mut self) -> Option<(SocketAddr, &mut [u8])> {
        // Each skipped error is one that the kernel had stored: there are not many.
        for _ in 0..64 {
            let buffer = self.buffer.as_mut_slice();
            let received = self.socket.recv_from(buffer).or_else(|error| {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(error);
                }
                // Tells the runtime that there is nothing, unless something has come just now.
                self.readiness.try_recv_from(buffer)
            });
            match received {
                Ok((length, from)) => return Some((canonical(from), self.buffer.get_mut(..length)?)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Sends one datagram, now or never.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) -> Sent {
        let to = match to.ip() {
            IpAddr::V4(v4) if self.is_mapped => SocketAddr::from((v4.to_ipv6_mapped(), to.port())),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        // The first error may be about an earlier datagram.
        let result = self
            .socket
            .send_to(datagram, to)
            .or_else(|_| self.socket.send_to(datagram, to));
        match result {
            Ok(_) => Sent::Yes,
            Err(error) => Sent::Lost(error.kind()),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<BoundGossip> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let is_mapped = address.ip() == Ipv6Addr::UNSPECIFIED;
    if address.is_ipv6() {
        socket.set_only_v6(!is_mapped)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(BoundGossip {
        socket: socket.into(),
        is_mapped,
    })
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

    fn mk_gossip(bind: &str) -> (Gossip, u16) {
        let bound = BoundGossip::bind(bind.parse().expect("a literal address")).expect("a free port");
        let port = bound.local_address().expect("a bound socket").port();
        (bound.listen().expect("a runtime"), port)
    }

    async fn receive(gossip: &mut Gossip) -> (SocketAddr, Vec<u8>) {
        tokio::time::timeout(TIMEOUT, async {
            loop {
                gossip.readable().await.expect("a working socket");
                if let Some((from, datagram)) = gossip.receive() {
                    return (from, datagram.to_vec());
                }
            }
        })
        .await
        .expect("a datagram within 5 s")
    }

    #[tokio::test]
    async fn both_families_reach_one_socket_under_canonical_addresses() {
        let (mut all, port) = mk_gossip("[::]:0");
        for loopback in ["127.0.0.1", "::1"] {
            let ip: IpAddr = loopback.parse().expect("a literal address");
            let (mut one, one_port) = mk_gossip(&SocketAddr::new(ip, 0).to_string());
            assert_eq!(one.send(SocketAddr::new(ip, port), b"to"), Sent::Yes);
            let (from, datagram) = receive(&mut all).await;
            assert_eq!(
                (from, datagram.as_slice()),
                (SocketAddr::new(ip, one_port), b"to".as_slice())
            );
            assert_eq!(all.send(from, b"back"), Sent::Yes);
            let (from, datagram) = receive(&mut one).await;
            assert_eq!(
                (from, datagram.as_slice()),
                (SocketAddr::new(ip, port), b"back".as_slice())
            );
        }
    }

    #[tokio::test]
    async fn a_closed_peer_does_not_disturb_the_others() {
        let (mut all, port) = mk_gossip("[::]:0");
        let (closed, closed_port) = mk_gossip("127.0.0.1:0");
        drop(closed);
        let (peer, _) = mk_gossip("127.0.0.1:0");
        for _ in 0..3 {
            all.send(SocketAddr::from(([127, 0, 0, 1], closed_port)), b"x");
        }
        assert_eq!(
            peer.send(SocketAddr::from(([127, 0, 0, 1], port)), b"y"),
            Sent::Yes
        );
        assert_eq!(receive(&mut all).await.1, b"y");
    }

    #[test]
    fn a_taken_port_is_a_sentence_with_port_and_flag() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("a bound socket");
        let error = BoundGossip::bind(address)
            .expect_err("the port is taken")
            .to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("--gossip-bind"),
            "{error}"
        );
        assert!(error.contains("stop what holds the port"), "{error}");
    }
}
