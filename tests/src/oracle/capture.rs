//! Captures what enters a bridge by its ports, on a thread of its own.
//!
//! What cannot be judged by it is never passed over: frames that the kernel dropped are counted, and a
//! frame without the kernel's time or without a port that has a name ends the capture with an error.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::sys::socket::sockopt::{GetStruct, RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, getsockopt, recvmsg, setsockopt};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::Instant;
use super::frame::Frame;
use crate::lab::clock;
use crate::lab::netns::Netns;

/// The kernel's queue: a few thousand frames, so that none is lost while this machine is busy.
const QUEUE: usize = 16 << 20;

/// How long the thread waits for a frame before it looks whether it should go on. Also how old
/// [`Capture::seen`] may be behind its `until`.
const PATIENCE: Duration = Duration::from_millis(20);

/// Frames of any kind, by protocol number of the kernel (in network order).
const ETH_P_ALL: i32 = 0x0300;

/// A running capture. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// Why the capture ended early.
    failure: Mutex<Option<String>>,
    is_over: AtomicBool,
}

/// What was captured.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// In order.
    pub(super) frames: Vec<Frame>,
    /// How many more the kernel had no room for.
    pub(super) dropped: u64,
    /// Every frame before this instant is among them.
    pub(super) until: Instant,
}

/// What the kernel counts of a packet socket; reading it starts the count anew.
#[derive(Clone, Copy, Debug)]
struct Statistics;

nix::getsockopt_impl!(
    Statistics,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats,
    GetStruct<libc::tpacket_stats>
);

/// What lets the wanted frames through: those that come in, of ARP and of ICMPv6.
const WANTED: &[SockFilter] = &[
    SockFilter::new(0x30, 0, 0, 0xffff_f004), // the packet type
    SockFilter::new(0x15, 7, 0, 4),           // PACKET_OUTGOING: refused
    SockFilter::new(0x28, 0, 0, 12),          // the EtherType
    SockFilter::new(0x15, 4, 0, 0x0806),
    SockFilter::new(0x15, 0, 4, 0x86dd),
    SockFilter::new(0x30, 0, 0, 20), // the next header
    SockFilter::new(0x15, 1, 0, 58),
    SockFilter::new(0x15, 0, 1, 0), // hop-by-hop, before multicast reports
    SockFilter::new(0x06, 0, 0, 0x0004_0000),
    SockFilter::new(0x06, 0, 0, 0),
];

// === impl Capture ===

impl Capture {
    /// Starts to capture in a namespace; what enters after this returns is seen.
    pub(super) fn start(netns: &Netns) -> Result<Self> {
        Self::start_with(netns, QUEUE)
    }

    fn start_with(netns: &Netns, queue: usize) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = netns.start_thread({
            let shared = Arc::clone(&shared);
            move || {
                let result = open(queue).and_then(|socket| {
                    // Nobody waits any more only when the oracle is gone.
                    let _ = ready.send(());
                    capture(&socket, &shared)
                });
                if let Err(error) = &result {
                    *shared.failure.lock() = Some(format!("{error:#}"));
                }
                result
            }
        });
        if is_ready.recv().is_err() {
            let result = thread.join().map_err(|_| anyhow!("the capture panicked"))?;
            return Err(result
                .err()
                .unwrap_or_else(|| anyhow!("the capture ended at once")));
        }
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Everything that came in before now.
    pub(super) fn seen(&self) -> Result<Seen> {
        let now = wall();
        loop {
            if let Some(failure) = &*self.shared.failure.lock() {
                return Err(anyhow!("the packet oracle went blind: {failure}"));
            }
            {
                let seen = self.shared.seen.lock();
                if seen.until >= now {
                    return Ok(Seen {
                        until: now,
                        ..seen.clone()
                    });
                }
            }
            std::thread::park_timeout(PATIENCE);
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has told its failure already.
            let _ = thread.join();
        }
    }
}

fn open(queue: usize) -> Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ETH_P_ALL)))
        .context("cannot open a packet socket; tests need root")?;
    socket.attach_filter(WANTED)?;
    setsockopt(&socket, RcvBufForce, &queue)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn capture(socket: &Socket, shared: &Shared) -> Result<()> {
    let mut ports = BTreeMap::new();
    let mut buffer = [0; 2048];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    while !shared.is_over.load(Ordering::Relaxed) {
        let started = wall();
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<LinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        );
        // Before what came until now counts as complete.
        let dropped = getsockopt(socket, Statistics)?.tp_drops;
        shared.seen.lock().dropped += u64::from(dropped);
        match received {
            Ok(message) => {
                let at = stamp(message.cmsgs()?).context("a captured frame has no time of the kernel")?;
                let index = message.address.map_or(0, |address| address.ifindex());
                let length = message.bytes;
                let port = match ports.entry(index) {
                    Entry::Occupied(known) => String::clone(known.get()),
                    Entry::Vacant(new) => new.insert(name(index)?).clone(),
                };
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                let mut seen = shared.seen.lock();
                seen.frames.push(Frame { at, port, bytes });
                // The queue is in order but for what two processors put in at once.
                seen.until = seen.until.max(at.saturating_sub(PATIENCE));
            }
            // The queue was empty when the call began: everything before that has been read.
            Err(Errno::EAGAIN) => {
                let mut seen = shared.seen.lock();
                seen.until = seen.until.max(started);
            }
            Err(Errno::EINTR) => {}
            // A port went down; the others go on.
            Err(Errno::ENETDOWN) => {}
            Err(error) => return Err(io::Error::from(error)).context("cannot read captured frames"),
        }
    }
    Ok(())
}

/// The kernel's time of a frame.
fn stamp(messages: impl Iterator<Item = ControlMessageOwned>) -> Option<Instant> {
    for message in messages {
        if let ControlMessageOwned::ScmTimestampns(time) = message {
            return Some(Duration::from(time));
        }
    }
    None
}

/// The name of a port. Whose frame it was cannot be said any more once the port is gone.
fn name(index: usize) -> Result<String> {
    let number = u32::try_from(index).context("a port's number is too large")?;
    let name = if_indextoname(number)
        .with_context(|| format!("a frame came by port {index}, which was gone before it could be named"))?;
    Ok(name.to_string_lossy().into_owned())
}

fn wall() -> Instant {
    clock::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Has the kernel fill a queue that nobody reads, in a namespace of the calling thread.
    fn overflow() -> Socket {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace; tests need root");
        let is_up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(is_up.expect("ip runs").success());
        // The kernel makes it the smallest there is: two or three frames.
        let socket = open(1).expect("a packet socket");
        let sender = UdpSocket::bind("[::1]:0").expect("a socket");
        for _ in 0..50 {
            // Each is answered by ICMPv6: nobody listens there.
            let _ = sender.send_to(b"?", "[::1]:9");
        }
        socket
    }

    #[test]
    fn frames_that_the_kernel_had_no_room_for_are_counted() {
        let thread = std::thread::spawn(|| {
            let socket = overflow();
            let shared = Shared::default();
            std::thread::scope(|scope| {
                let capturing = scope.spawn(|| capture(&socket, &shared));
                let sent = wall();
                while shared.seen.lock().until < sent && !capturing.is_finished() {
                    std::thread::park_timeout(PATIENCE);
                }
                shared.is_over.store(true, Ordering::Relaxed);
                capturing.join().expect("no panic").expect("no error");
            });
            let seen = shared.seen.lock();
            assert!(!seen.frames.is_empty(), "the queue had room for one at least");
            assert!(seen.dropped > 0, "{} frames fitted into it", seen.frames.len());
        });
        thread.join().expect("the assertions hold");
    }
}
