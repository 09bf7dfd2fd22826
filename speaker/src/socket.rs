//! Packet sockets: opened once while the process may, lent to interfaces for as long as it lives.
//!
//! Opening needs NET_RAW, binding does not. So a stated number of sockets is opened at start,
//! bound to nothing and deaf, and all privileges are dropped afterwards; an interface that
//! appears later still gets its sockets from the pool. A socket that comes back, because its
//! interface went or failed, is made deaf and lent again.
//!
//! Which frames get through is decided in the kernel by the filters beside this file, what they
//! mean by `core`'s responder.

use std::io;
use std::sync::Arc;

use ferrolb_core::interface::IfIndex;
use ferrolb_core::responder::Reception;
use ferrolb_core::wire::Frame;
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub mod filter;
pub mod groups;
#[allow(unsafe_code)]
pub(crate) mod sys;

/// Sockets that each interface takes: one for ARP, one for neighbor discovery.
pub const SOCKETS_PER_INTERFACE: usize = 2;

/// What the kernel is asked to queue for a socket while the protocol thread is busy. Above the
/// default of about 280 small frames; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The open sockets that no interface uses now.
#[derive(Clone, Debug)]
pub struct SocketPool {
    /// The lock is held for a push or a pop, never across an await.
    idle: Arc<Mutex<Vec<Socket>>>,
}

/// What a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// ARP requests and replies.
    Arp,
    /// Neighbor solicitations and advertisements.
    Ndp,
}

/// A socket that listens on one interface. It goes back to the pool when dropped.
#[derive(Debug)]
pub struct PacketSocket {
    /// Always there until the drop.
    socket: Option<AsyncFd<Socket>>,
    pool: SocketPool,
}

/// A frame that was received into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the buffer it fills.
    pub length: usize,
    /// What the kernel says about it.
    pub reception: Reception,
}

/// Why the pool could not be opened. Nothing was changed; the process cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The process may not open packet sockets.
    #[error(
        "opening a packet socket was refused: grant the capability NET_RAW (in Kubernetes \
         securityContext.capabilities.add: [\"NET_RAW\"]) or start as root"
    )]
    MissingNetRaw(#[source] io::Error),
    /// The kernel refused for another reason.
    #[error(
        "packet socket {opened} of {wanted} could not be opened: {source}; lower the number of interfaces or raise the limit of open files"
    )]
    Kernel {
        /// How many were open already.
        opened: usize,
        /// How many were wanted.
        wanted: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why an interface has no socket now. The interface is silent; trying again later makes sense.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// Every socket is in use.
    #[error("all packet sockets are in use: start with a higher number of interfaces")]
    PoolEmpty,
    /// The interface cannot be listened on. The socket went back to the pool.
    #[error("listening on the interface failed: {0}")]
    Listen(#[from] io::Error),
}

/// What an error of a socket means for the interface that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The interface is down or gone: give the socket back and take another when it is there.
    InterfaceGone,
    /// The kernel has no memory for this frame: it is lost, the next may go.
    NoBuffer,
    /// Every socket of the pool is in use.
    NoSocket,
    /// Anything else; treated like a gone interface, and worth a look.
    Unexpected,
}

// === impl SocketPool ===

impl SocketPool {
    /// Opens the sockets for this many interfaces.
    pub fn open(interfaces: usize) -> Result<Self, OpenError> {
        let wanted = interfaces.saturating_mul(SOCKETS_PER_INTERFACE);
        let mut idle = Vec::new();
        while idle.len() < wanted {
            idle.push(open_deaf().map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => OpenError::MissingNetRaw(source),
                _ => OpenError::Kernel {
                    opened: idle.len(),
                    wanted,
                    source,
                },
            })?);
        }
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
        })
    }

    /// Lends a socket that listens on the interface. Must be called within a runtime.
    pub fn take(&self, listen: Listen, index: IfIndex) -> Result<PacketSocket, TakeError> {
        let socket = self.idle.lock().pop().ok_or(TakeError::PoolEmpty)?;
        match self.listen(socket, listen, index) {
            Ok(socket) => Ok(socket),
            Err((socket, error)) => {
                self.put_back(socket);
                Err(TakeError::Listen(error))
            }
        }
    }

    /// How many sockets are free.
    pub fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// A free socket is deaf. It is bound while deaf, emptied of what an earlier interface may
    /// have left, and only then hears: no frame of another interface or protocol is ever read.
    fn listen(
        &self,
        socket: Socket,
        listen: Listen,
        index: IfIndex,
    ) -> Result<PacketSocket, (Socket, io::Error)> {
        let hear = || {
            sys::bind(&socket, listen, index)?;
            drain(&socket)?;
            socket.attach_filter(filter::accepting(listen))
        };
        if let Err(error) = hear() {
            return Err((socket, error));
        }
        match sys::register(socket, Interest::READABLE) {
            Ok(socket) => Ok(PacketSocket {
                socket: Some(socket),
                pool: self.clone(),
            }),
            Err(refused) => Err(refused),
        }
    }

    /// Makes a socket deaf and keeps it for the next interface. One that cannot be made deaf is
    /// closed instead.
    fn put_back(&self, socket: Socket) {
        match socket.attach_filter(filter::DEAF) {
            Ok(()) => self.idle.lock().push(socket),
            Err(error) => tracing::error!(%error, "Closed a packet socket that could not be silenced"),
        }
    }
}

// === impl PacketSocket ===

impl PacketSocket {
    /// Waits until a frame or an error is there. Cancel safe: nothing is taken away.
    pub async fn ready(&self) -> io::Result<()> {
        self.socket()?.readable().await?.retain_ready();
        Ok(())
    }

    /// Reads a frame if one is there.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket()?
            .try_io(Interest::READABLE, |socket| sys::receive(socket, buffer))
    }

    /// Sends a frame on the interface, or fails at once: frames are never queued here.
    pub fn send(&self, frame: &Frame) -> io::Result<()> {
        self.socket()?.get_ref().send(frame.as_bytes()).map(drop)
    }

    fn socket(&self) -> io::Result<&AsyncFd<Socket>> {
        self.socket
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.pool.put_back(socket.into_inner());
        }
    }
}

// === impl Failure ===

impl Failure {
    /// What an error of sending or receiving means; `None` when it means only "try again".
    pub fn of(error: &io::Error) -> Option<Self> {
        if matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ) {
            return None;
        }
        Some(match error.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO | libc::ENETUNREACH) => Self::InterfaceGone,
            Some(libc::ENOBUFS | libc::ENOMEM) => Self::NoBuffer,
            _ => Self::Unexpected,
        })
    }

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InterfaceGone => "InterfaceGone",
            Self::NoBuffer => "NoBuffer",
            Self::NoSocket => "NoSocket",
            Self::Unexpected => "Unexpected",
        }
    }
}

/// A socket of protocol 0, which receives nothing until it is bound, and with a filter that
/// refuses everything even then.
fn open_deaf() -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    socket.attach_filter(filter::DEAF)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    sys::set_packet_options(&socket)?;
    Ok(socket)
}

/// Reads what an earlier interface left in the queue. The first error may be one of its last, too;
/// a second one is of the interface that the socket is bound to now.
fn drain(socket: &Socket) -> io::Result<()> {
    let mut buffer = [0; 64];
    let mut has_failed = false;
    loop {
        match sys::receive(socket, &mut buffer) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if has_failed => return Err(error),
            Err(_) => has_failed = true,
        }
    }
}
