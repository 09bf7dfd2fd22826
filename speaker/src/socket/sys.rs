//! The system calls that Rust's libraries offer no safe form of. The only `unsafe` of the project.
//!
//! Each function is one call with its arguments made sound; none decides anything.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsRawFd;

use ferrolb_core::interface::IfIndex;
use ferrolb_core::responder::{PacketType, Reception};
use ferrolb_core::wire::ethernet::{ETHER_TYPE_ARP, ETHER_TYPE_IPV6};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdRegisterError};

use crate::socket::{Listen, Received};

/// Room for the one control message that is asked for: `tpacket_auxdata`, 20 bytes, and header.
const CONTROL_LENGTH: usize = 64;

/// A buffer for control messages, aligned as their headers must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LENGTH]);

/// Binds a packet socket to one protocol on one interface; also one that is bound already.
pub(super) fn bind(socket: &Socket, listen: Listen, index: IfIndex) -> io::Result<()> {
    let protocol = match listen {
        Listen::Arp => ETHER_TYPE_ARP,
        Listen::Ndp => ETHER_TYPE_IPV6,
    };
    // SAFETY: `sockaddr_ll` consists of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = i32::try_from(index.0).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the length are those of a whole `sockaddr_ll` that outlives the call.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })
}

/// Asks for the VLAN tag beside each frame, and not to see frames sent by this host.
pub(super) fn set_packet_options(socket: &Socket) -> io::Result<()> {
    for option in [libc::PACKET_AUXDATA, libc::PACKET_IGNORE_OUTGOING] {
        let on: libc::c_int = 1;
        // SAFETY: the pointer and the length are those of an integer that outlives the call.
        check(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const on).cast(),
                mem::size_of::<libc::c_int>() as libc::socklen_t,
            )
        })?;
    }
    Ok(())
}

/// Reads one frame with what the kernel says about it.
pub(super) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL_LENGTH]);
    let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: `msghdr` consists of integers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_LENGTH as _;

    // SAFETY: every pointer in `message` is to a live buffer of the length stated beside it.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: it was zeroed, and the kernel wrote at most the whole of it.
    let address = unsafe { address.assume_init() };
    Ok(Received {
        length: length.min(buffer.len()),
        reception: Reception {
            packet_type: packet_type(address.sll_pkttype),
            vlan: vlan(&message),
        },
    })
}

/// Hands a socket to the runtime that the caller runs in; gives it back if that fails.
pub(super) fn register(socket: Socket, interest: Interest) -> Result<AsyncFd<Socket>, (Socket, io::Error)> {
    // SAFETY: a `Socket` owns its descriptor, always returns the same one, and closes it only when
    // dropped, which `AsyncFd` does after deregistering.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(AsyncFdRegisterError::into_parts)
}

/// Leaves every supplementary group but one.
pub(crate) fn set_groups(group: libc::gid_t) -> io::Result<()> {
    // SAFETY: the pointer is to one group id and the count says one.
    check(unsafe { libc::setgroups(1, &raw const group) })
}

/// Becomes another group, for real, effective and saved id.
pub(crate) fn set_group(group: libc::gid_t) -> io::Result<()> {
    // SAFETY: passes integers only.
    check(unsafe { libc::setresgid(group, group, group) })
}

/// Becomes another user, for real, effective and saved id.
pub(crate) fn set_user(user: libc::uid_t) -> io::Result<()> {
    // SAFETY: passes integers only.
    check(unsafe { libc::setresuid(user, user, user) })
}

/// Whether the effective user is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// Clears the effective, permitted and inheritable capabilities of this thread, and with them the
/// ambient ones.
pub(crate) fn clear_capabilities() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
    const VERSION: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION, 0];
    let none: [u32; 6] = [0; 6];
    // SAFETY: the layouts are those of `cap_user_header_t` and of two `cap_user_data_t`.
    check_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) })
}

/// Forbids this thread and what it starts to gain privileges by executing a file.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: passes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

fn packet_type(value: u8) -> PacketType {
    match value {
        libc::PACKET_HOST => PacketType::Host,
        libc::PACKET_BROADCAST => PacketType::Broadcast,
        libc::PACKET_MULTICAST => PacketType::Multicast,
        libc::PACKET_OUTGOING => PacketType::Outgoing,
        _ => PacketType::OtherHost,
    }
}

/// The VLAN of a tag that the kernel took off the frame.
fn vlan(message: &libc::msghdr) -> Option<u16> {
    // SAFETY: the kernel filled `message`; its control buffer is live and aligned, and its length
    // is what the kernel wrote.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, and within the control buffer by the contract of the macros.
        let found = unsafe { header.read() };
        if found.cmsg_level == libc::SOL_PACKET && found.cmsg_type == libc::PACKET_AUXDATA {
            // SAFETY: the data of this message is a whole `tpacket_auxdata`, perhaps unaligned.
            let auxdata = unsafe {
                libc::CMSG_DATA(header)
                    .cast::<libc::tpacket_auxdata>()
                    .read_unaligned()
            };
            let is_tagged = auxdata.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            return is_tagged.then_some(auxdata.tp_vlan_tci & 0x0fff);
        }
        // SAFETY: `header` is within the control buffer of `message`.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
