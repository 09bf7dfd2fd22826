//! Gives up every privilege before the first thread exists.
//!
//! Packet sockets can only be opened with NET_RAW, and Kubernetes grants a capability only to
//! root. So the process starts as root with NET_RAW, SETUID and SETGID, opens its sockets
//! ([`SocketPool`](crate::socket::SocketPool)), and then calls [`drop_all`]: it becomes an
//! ordinary user without capabilities, can never gain any, and may only make the system calls
//! that its work consists of.
//!
//! All of it acts on the calling thread and is inherited by the threads that it starts; hence
//! "before the first thread".

use std::fs;
use std::io;

use crate::socket::sys;

mod seccomp;

/// The user and group that remain: `nobody`, also the `fsGroup` of the chart's pods.
pub const UNPRIVILEGED: u32 = 65534;

/// What giving up privileges changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The process was root and is user 65534 now.
    Root,
    /// The process was not root: it kept its user, and lost what capabilities it had.
    KeptUser,
}

/// Why privileges could not be given up. The process must not go on: some may be gone already.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// Threads exist that would keep the privileges.
    #[error("privileges must be dropped before the first thread, but {0} threads exist")]
    Threads(usize),
    /// `/proc` cannot say how many threads there are.
    #[error("reading /proc/self/task: {0}; mount /proc")]
    Proc(#[source] io::Error),
    /// The capability SETGID is missing.
    #[error(
        "becoming group {UNPRIVILEGED} was refused ({0}): a speaker that starts as root needs the \
         capability SETGID (in Kubernetes securityContext.capabilities.add: [\"SETGID\"])"
    )]
    Group(#[source] io::Error),
    /// The capability SETUID is missing.
    #[error(
        "becoming user {UNPRIVILEGED} was refused ({0}): a speaker that starts as root needs the \
         capability SETUID (in Kubernetes securityContext.capabilities.add: [\"SETUID\"])"
    )]
    User(#[source] io::Error),
    /// The kernel refused a call that every process may make.
    #[error("dropping capabilities: {0}")]
    Capabilities(#[source] io::Error),
    /// The kernel does not know seccomp filters, or this machine's calls are not known here.
    #[error("restricting system calls: {0}; the kernel must have CONFIG_SECCOMP_FILTER")]
    Seccomp(String),
}

/// Gives up everything. Call it once, after the sockets are open and before any thread or runtime.
pub fn drop_all() -> Result<Dropped, DropError> {
    let threads = fs::read_dir("/proc/self/task").map_err(DropError::Proc)?.count();
    if threads != 1 {
        return Err(DropError::Threads(threads));
    }
    let dropped = if sys::is_root() {
        // Groups first: once the user has changed, nothing else may be.
        sys::set_groups(UNPRIVILEGED).map_err(DropError::Group)?;
        sys::set_group(UNPRIVILEGED).map_err(DropError::Group)?;
        sys::set_user(UNPRIVILEGED).map_err(DropError::User)?;
        Dropped::Root
    } else {
        Dropped::KeptUser
    };
    sys::clear_capabilities().map_err(DropError::Capabilities)?;
    sys::forbid_new_privileges().map_err(DropError::Capabilities)?;
    seccomp::restrict().map_err(DropError::Seccomp)?;
    Ok(dropped)
}
