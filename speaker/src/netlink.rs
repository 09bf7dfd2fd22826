//! The interfaces of this node as the kernel reports them, kept up to date.
//!
//! Events only say that something changed; what is published always comes from a complete dump of
//! links, addresses and routes. A lost event, an overrun of the netlink socket and a restart are
//! therefore one code path. Which links are usable is decided in `reduce`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_core::interface::{IfIndex, Interface};
use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

mod reduce;

/// How long events are gathered after the first one, so that a link that comes up with its
/// addresses and routes costs one dump. Short against the 100 ms in which a change must show.
const GATHER: Duration = Duration::from_millis(10);
/// A dump takes milliseconds; one that hangs means a connection that lost its answer.
const DUMP_TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to get a new connection. The last good list stays in force meanwhile.
const RETRY: Duration = Duration::from_secs(1);

/// What changes the published list.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// The usable interfaces of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Up, with carrier, Ethernet with ARP, not enslaved; ordered by index.
    pub usable: Vec<Interface>,
    /// How often each of them has got its carrier. A higher number than before means that the
    /// link was away in between, even when nothing else shows it.
    pub carrier_ups: BTreeMap<IfIndex, u32>,
    /// Subnets of links that would be usable if they were up and had a carrier; ordered.
    pub away: Vec<IpNet>,
}

/// What is published: `None` until the first dump is complete.
pub type InterfacesWatch = watch::Receiver<Option<Arc<Interfaces>>>;

/// Why a connection to the kernel ended. The list published last stays.
#[derive(Debug, thiserror::Error)]
enum NetlinkError {
    #[error("opening a netlink socket: {0}")]
    Open(#[from] std::io::Error),
    #[error("reading from the kernel: {0}")]
    Dump(#[from] rtnetlink::Error),
    #[error("a dump was not complete after {} s", DUMP_TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection closed")]
    Closed,
}

// === impl Interfaces ===

impl Interfaces {
    /// A usable interface by its number.
    pub fn get(&self, index: IfIndex) -> Option<&Interface> {
        self.usable.iter().find(|interface| interface.index == index)
    }
}

/// Publishes the interfaces of this network namespace, at once and after each change, for as long
/// as it is polled. Dropping it is safe at any time.
pub async fn run(interfaces: watch::Sender<Option<Arc<Interfaces>>>) -> Infallible {
    loop {
        let error = match follow(&interfaces).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tracing::warn!(%error, "Lost the connection to netlink");
        sleep(RETRY).await;
    }
}

async fn follow(interfaces: &watch::Sender<Option<Arc<Interfaces>>>) -> Result<Infallible, NetlinkError> {
    let (connection, handle, mut events) = rtnetlink::new_multicast_connection(&GROUPS)?;
    // Ends when the handle and the stream of events are dropped, with this function.
    tokio::spawn(connection);
    loop {
        let dumped = timeout(DUMP_TIMEOUT, dump(&handle))
            .await
            .map_err(|_| NetlinkError::Timeout)??;
        interfaces.send_if_modified(|published| {
            let is_new = published.as_deref() != Some(&dumped);
            if is_new {
                tracing::debug!(interfaces = ?dumped.usable, "Interfaces changed");
                *published = Some(Arc::new(dumped));
            }
            is_new
        });
        wait_for_change(&mut events).await?;
    }
}

async fn dump(handle: &Handle) -> Result<Interfaces, rtnetlink::Error> {
    let links = handle.link().get().execute().try_collect().await?;
    let addresses = handle.address().get().execute().try_collect().await?;
    let mut routes = Vec::new();
    for family in [
        RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    ] {
        let mut dump = handle.route().get(family).execute();
        while let Some(route) = dump.try_next().await? {
            if reduce::is_default_route(&route) {
                routes.push(route);
            }
        }
    }
    Ok(reduce::reduce(links, addresses, &routes))
}

/// Waits for an event that can change the list, then for those that come right behind it.
async fn wait_for_change(
    events: &mut UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
) -> Result<(), NetlinkError> {
    loop {
        let (message, _) = events.next().await.ok_or(NetlinkError::Closed)?;
        if !matters(&message.payload) {
            continue;
        }
        sleep(GATHER).await;
        // All of them happened before the dump that follows.
        while events.try_recv().is_ok() {}
        return Ok(());
    }
}

/// Whether an event can change the list. Routes of pods come and go all the time.
fn matters(event: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    let is_default = |route: &RouteMessage| reduce::is_default_route(route);
    match event {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => is_default(route),
        NetlinkPayload::InnerMessage(_) | NetlinkPayload::Overrun(_) => true,
        NetlinkPayload::Done(_) | NetlinkPayload::Error(_) | NetlinkPayload::Noop => false,
        _ => true,
    }
}
