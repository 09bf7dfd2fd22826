//! Captures what enters a bridge by its ports, on a thread of its own.

use std::collections::BTreeMap;
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
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::Instant;
use super::frame::Frame;
use crate::lab::clock;
use crate::lab::netns::Netns;

/// The kernel's queue: a few thousand frames, so that none is lost while this machine is busy.
const QUEUE: usize = 16 << 20;

/// How long the thread waits for a frame before it looks whether it should go on. Also how old
/// [`Capture::frames`] may be behind its `until`.
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
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Vec<Frame>,
    /// Every frame before this instant is in `frames`.
    until: Instant,
    /// Why the capture ended early.
    failure: Option<String>,
}

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
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = netns.start_thread({
            let shared = Arc::clone(&shared);
            move || {
                let result = open().and_then(|socket| {
                    // Nobody waits any more only when the oracle is gone.
                    let _ = ready.send(());
                    capture(&socket, &shared)
                });
                if let Err(error) = &result {
                    shared.seen.lock().failure = Some(format!("{error:#}"));
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

    /// All frames that came in before now, in order, and that "now".
    pub(super) fn frames(&self) -> Result<(Vec<Frame>, Instant)> {
        let now = wall();
        loop {
            {
                let seen = self.shared.seen.lock();
                if let Some(failure) = &seen.failure {
                    return Err(anyhow!("the packet oracle went blind: {failure}"));
                }
                if seen.until >= now {
                    return Ok((seen.frames.clone(), now));
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

fn open() -> Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ETH_P_ALL)))
        .context("cannot open a packet socket; tests need root")?;
    socket.attach_filter(WANTED)?;
    setsockopt(&socket, RcvBufForce, &QUEUE)?;
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
        match received {
            Ok(message) => {
                let at = stamp(message.cmsgs()?).unwrap_or(started);
                let index = message.address.map_or(0, |address| address.ifindex());
                let length = message.bytes;
                let port = ports.entry(index).or_insert_with(|| name(index)).clone();
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

/// The name of a port, or its number when it is gone already.
fn name(index: usize) -> String {
    let number = u32::try_from(index).unwrap_or(0);
    if_indextoname(number).map_or_else(
        |_| format!("if{index}"),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn wall() -> Instant {
    clock::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default()
}
