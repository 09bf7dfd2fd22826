//! Solicited-node groups that this node is a member of on one interface.
//!
//! A packet socket joins no group, and without the membership neither the NIC's filter nor a
//! switch that snoops MLD lets solicitations through. Joining needs no privilege when an ordinary
//! UDP socket does it. VIPs that share their low 24 bits share a group, so memberships follow the
//! set of groups, and one kernel socket holds only so many: when it is full the next is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv6Addr, UdpSocket};

use ferrolb_core::interface::IfIndex;
use ferrolb_core::wire::ipv6::solicited_node_group;
use socket2::SockRef;

/// The memberships on one interface; all are left when this is dropped.
#[derive(Debug)]
pub struct SolicitedNodeGroups {
    index: IfIndex,
    /// By group, the place in `sockets` of the one that holds it.
    joined: BTreeMap<Ipv6Addr, usize>,
    sockets: Vec<UdpSocket>,
}

// === impl SolicitedNodeGroups ===

impl SolicitedNodeGroups {
    /// No memberships yet.
    pub const fn new(index: IfIndex) -> Self {
        Self {
            index,
            joined: BTreeMap::new(),
            sockets: Vec::new(),
        }
    }

    /// Joins the groups of these VIPs that are not joined yet. Returns the VIPs whose group could
    /// not be joined, with the error; the others are members.
    pub fn join(&mut self, vips: impl IntoIterator<Item = Ipv6Addr>) -> BTreeMap<Ipv6Addr, io::Error> {
        let mut refused = BTreeMap::new();
        for vip in vips {
            if let Err(error) = self.join_group(solicited_node_group(vip)) {
                refused.insert(vip, error);
            }
        }
        refused
    }

    /// Leaves every group that none of these VIPs needs.
    pub fn leave_all_but(&mut self, vips: impl IntoIterator<Item = Ipv6Addr>) {
        let needed: BTreeSet<_> = vips.into_iter().map(solicited_node_group).collect();
        let (index, sockets) = (self.index, &self.sockets);
        self.joined.retain(|group, place| {
            if needed.contains(group) {
                return true;
            }
            if let Some(socket) = sockets.get(*place) {
                // An error means that the interface went, and the membership with it.
                let _ = SockRef::from(socket).leave_multicast_v6(group, index.0);
            }
            false
        });
        if self.joined.is_empty() {
            self.sockets.clear();
        }
    }

    /// How many groups are joined.
    pub fn len(&self) -> usize {
        self.joined.len()
    }

    /// Whether no group is joined.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }

    fn join_group(&mut self, group: Ipv6Addr) -> io::Result<()> {
        if self.joined.contains_key(&group) {
            return Ok(());
        }
        for (place, socket) in self.sockets.iter().enumerate().rev() {
            match SockRef::from(socket).join_multicast_v6(&group, self.index.0) {
                // The socket's option memory is used up; an earlier one may have room again.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.joined.insert(group, place);
                    return Ok(());
                }
            }
        }
        // Port 0 of the unspecified address, never read: it only holds memberships.
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        SockRef::from(&socket).join_multicast_v6(&group, self.index.0)?;
        self.joined.insert(group, self.sockets.len());
        self.sockets.push(socket);
        Ok(())
    }
}

/// Whether a socket can hold no more memberships (`net.core.optmem_max`).
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests;
