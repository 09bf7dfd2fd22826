//! A thousand Services at once, with everything that runs in a cluster: each gets an address of its own,
//! each address is announced and answered by its owner alone, and by nobody once its Service is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_crds::address_claim::ClaimState;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::frames::FramePort;
use ferrolb_tests::lab::objects::holders;
use ferrolb_tests::lab::writes::{self, between};
use ferrolb_tests::lab::{Lab, clock, eventually};
use futures::{TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

const SERVICES: usize = 1000;

/// Set aside for benchmarks (RFC 2544). Beyond the LAN's own network, which has no room for so many.
const POOL: &str = "198.18.0.0/22";

/// How many requests to the API server are under way at a time.
const CONNECTIONS: usize = 4;

/// How many addresses are asked for at a time, so that no queue on the way overflows on a busy machine.
const BATCH: usize = 50;

/// How long nobody writes when everything has been said.
const QUIET: Duration = Duration::from_secs(1);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Who answers for what: MAC addresses by VIP.
type Answers = BTreeMap<Ipv4Addr, Vec<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_services_at_once_are_each_answered_by_one_owner_until_they_go() -> Result<()> {
    let lab = Lab::builder().process_nodes(3).start().await?;
    lab.install_crds().await?;
    create_pool(&lab).await?;
    let controllers = lab.start_controller(2, &[]).await?;
    lab.start_speakers(&[]).await?;
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let lan = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    let announced = tokio::task::spawn_blocking(move || watch_announcements(&lan));

    let before = writes::count(&lab.client()).await?;
    let began = clock::now();
    create(&services).await?;
    let created = began.elapsed();
    wait_lent(&services).await?;
    let lent = began.elapsed();
    wait_owned(&lab).await?;
    let owned = began.elapsed();
    announced.await??;
    // Two nodes may take one VIP, and the one that stays says so a moment later.
    writes::wait_quiet(&lab.client(), QUIET, PATIENCE).await?;
    let owners = wait_owned(&lab).await?;
    println!(
        "{SERVICES} Services: created after {created:?}, all with an address after {lent:?}, all claims with \
         an owner after {owned:?}, all announced after {:?}",
        began.elapsed()
    );
    for (index, controller) in controllers.iter().enumerate() {
        println!(
            "controller {index}: {} KiB",
            controller.process()?.resident_kib()?
        );
    }
    let new = between(&before, &writes::count(&lab.client()).await?);
    let of = |what: &str| new.get(what).copied().unwrap_or(0);
    // A claim and a status of the Service by the controller, and who owns it by a speaker. A little more
    // on a busy machine, where the Lease may pass on, and two nodes may take one VIP.
    for what in [
        "POST addressclaims",
        "PATCH services/status",
        "PATCH addressclaims/status",
    ] {
        let is_one_each = (SERVICES..SERVICES * 11 / 10).contains(&usize::try_from(of(what))?);
        assert!(is_one_each, "{what}: one each: {new:?}");
    }
    assert!(
        of("PATCH addressclaims") < SERVICES as u64 / 10,
        "a claim is right at once: {new:?}"
    );

    let fences = fences(&owners);
    ensure!(
        fences.len() == 3,
        "the VIPs are spread over all nodes: {fences:?}"
    );
    let others = || owners.iter().filter(|(vip, _)| !fences.contains_key(vip));
    let asked = others().count();
    assert_eq!(
        ask(&lab, others().map(|(vip, _)| vip), &fences)?,
        expected(asked, others(), &fences),
        "each VIP is answered by its owner alone"
    );

    delete_all_but(&services, &fences).await?;
    wait_released(&lab, &fences).await?;
    assert_eq!(
        ask(&lab, others().map(|(vip, _)| vip), &fences)?,
        expected(asked, std::iter::empty(), &fences),
        "nobody answers for what is gone"
    );
    wait_counted(&lab, fences.len()).await
}

/// A pool in which all that becomes free rests to the end of the test, to be counted.
async fn create_pool(lab: &Lab) -> Result<()> {
    let pool = serde_json::from_value(json!({
        "apiVersion": "ferrolb.io/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": "scale" },
        "spec": { "addresses": [POOL], "quarantine": "1h" },
    }))?;
    let pools: Api<AddressPool> = Api::all(lab.client());
    pools.create(&PostParams::default(), &pool).await?;
    Ok(())
}

/// Creates all Services at once.
async fn create(services: &Api<Service>) -> Result<()> {
    let numbers = stream::iter((0..SERVICES).map(anyhow::Ok));
    numbers
        .try_for_each_concurrent(CONNECTIONS, async |number| {
            let service = serde_json::from_value(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": format!("s{number}"),
                    // Not kube-proxy's, on which a thousand changes would cost more than all the rest.
                    "labels": { "service.kubernetes.io/service-proxy-name": "nobody" },
                },
                "spec": {
                    "type": "LoadBalancer",
                    "allocateLoadBalancerNodePorts": false,
                    "ports": [{ "port": 80 }],
                },
            }))?;
            services.create(&PostParams::default(), &service).await?;
            Ok(())
        })
        .await
}

/// Waits until every Service has an address of its own.
async fn wait_lent(services: &Api<Service>) -> Result<()> {
    eventually(PATIENCE, "every Service has an address", async || {
        let holders = holders(&services.list(&ListParams::default()).await?.items)?;
        let double = holders.iter().find(|(_, names)| names.len() > 1);
        ensure!(double.is_none(), "{double:?} is lent twice");
        ensure!(holders.len() == SERVICES, "{} have one", holders.len());
        Ok(())
    })
    .await
}

/// Waits until every claim names its owner; returns the owners' MAC addresses.
async fn wait_owned(lab: &Lab) -> Result<BTreeMap<Ipv4Addr, String>> {
    eventually(PATIENCE, "every claim names its owner", async || {
        let mut owners = BTreeMap::new();
        for claim in claims(lab).await? {
            if let Some(owner) = claim.status.and_then(|status| status.owner) {
                owners.insert(claim.spec.address.parse()?, lab.node(&owner.node)?.lan().mac());
            }
        }
        ensure!(owners.len() == SERVICES, "{} do", owners.len());
        Ok(owners)
    })
    .await
}

async fn claims(lab: &Lab) -> Result<Vec<AddressClaim>> {
    let claims: Api<AddressClaim> = Api::all(lab.client());
    Ok(claims.list(&ListParams::default()).await?.items)
}

/// One VIP of each owner. They are asked for after others: when a node has answered for its own, it has
/// seen all that was asked before.
fn fences(owners: &BTreeMap<Ipv4Addr, String>) -> BTreeMap<Ipv4Addr, String> {
    let by_owner: BTreeMap<&String, &Ipv4Addr> = owners.iter().map(|(vip, mac)| (mac, vip)).collect();
    by_owner
        .into_iter()
        .map(|(mac, vip)| (*vip, mac.clone()))
        .collect()
}

async fn delete_all_but(services: &Api<Service>, kept: &BTreeMap<Ipv4Addr, String>) -> Result<()> {
    let holders = holders(&services.list(&ListParams::default()).await?.items)?;
    let is_kept = |vip: &IpAddr| matches!(vip, IpAddr::V4(vip) if kept.contains_key(vip));
    let names = holders
        .into_iter()
        .filter(|(vip, _)| !is_kept(vip))
        .flat_map(|(_, names)| names);
    stream::iter(names.map(anyhow::Ok))
        .try_for_each_concurrent(CONNECTIONS, async |name| {
            services.delete(&name, &DeleteParams::default()).await?;
            Ok(())
        })
        .await
}

/// Waits until all other addresses are at rest, which they are once their owners have withdrawn.
async fn wait_released(lab: &Lab, kept: &BTreeMap<Ipv4Addr, String>) -> Result<()> {
    eventually(PATIENCE, "all other addresses are at rest", async || {
        let claims = claims(lab).await?;
        let busy = claims
            .iter()
            .filter(|claim| claim.spec.state != Some(ClaimState::Quarantined))
            .count();
        ensure!(busy == kept.len(), "{busy} are not");
        Ok(())
    })
    .await
}

/// Waits until the pool counts so many addresses as lent and all others as at rest.
async fn wait_counted(lab: &Lab, kept: usize) -> Result<()> {
    let pools: Api<AddressPool> = Api::all(lab.client());
    eventually(PATIENCE, "the pool counts right", async || {
        let status = pools.get("scale").await?.status.context("no status")?;
        let counted = status.capacity.context("nothing is counted")?.ipv4;
        let kept = i64::try_from(kept)?;
        let resting = i64::try_from(SERVICES)? - kept;
        ensure!(
            (counted.assigned, counted.quarantined) == (kept, resting)
                && counted.available == counted.total - kept - resting,
            "{counted:?}"
        );
        Ok(())
    })
    .await
}

/// Waits until both gratuitous forms have been seen of every VIP.
fn watch_announcements(lan: &FramePort) -> Result<()> {
    let mut seen: BTreeMap<Ipv4Addr, BTreeSet<u16>> = BTreeMap::new();
    while seen.values().filter(|operations| operations.len() == 2).count() < SERVICES {
        let is_gratuitous = |frame: &[u8]| Arp::read(frame).is_some_and(|arp| arp.about == arp.to);
        let frames = lan.receive(PATIENCE, is_gratuitous, |kept| kept.len() == BATCH);
        let frames = frames.with_context(|| format!("{} VIPs have been announced", seen.len()))?;
        for arp in frames.iter().filter_map(|frame| Arp::read(frame)) {
            seen.entry(arp.about).or_default().insert(arp.operation);
        }
    }
    Ok(())
}

/// Asks the LAN for each of these VIPs once, and for the fences after each batch of them; returns all
/// that was answered.
fn ask<'a>(
    lab: &Lab,
    vips: impl Iterator<Item = &'a Ipv4Addr>,
    fences: &BTreeMap<Ipv4Addr, String>,
) -> Result<Answers> {
    let mut answers = Answers::new();
    let vips: Vec<_> = vips.collect();
    // A new one each time: in one that nobody reads, there is no room for answers after a while.
    let lan = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    for batch in vips.chunks(BATCH) {
        for vip in batch.iter().copied().chain(fences.keys()) {
            lan.send(&request(*vip))?;
        }
        let is_answer = |frame: &[u8]| Arp::read(frame).is_some_and(|arp| arp.to == CLIENT);
        let about = |frame: &Vec<u8>| Arp::read(frame).map(|arp| arp.about);
        let frames = lan.receive(PATIENCE, is_answer, |kept| {
            let mut fences = fences.keys();
            fences.all(|fence| kept.iter().any(|frame| about(frame) == Some(*fence)))
        })?;
        for arp in frames.iter().filter_map(|frame| Arp::read(frame)) {
            answers.entry(arp.about).or_default().push(arp.mac);
        }
    }
    Ok(answers)
}

/// What [`ask`] returns when these VIPs are answered by their owners alone.
fn expected<'a>(
    asked: usize,
    answered: impl Iterator<Item = (&'a Ipv4Addr, &'a String)>,
    fences: &BTreeMap<Ipv4Addr, String>,
) -> Answers {
    let mut expected: Answers = answered.map(|(vip, mac)| (*vip, vec![mac.clone()])).collect();
    for (vip, mac) in fences {
        expected.insert(*vip, vec![mac.clone(); asked.div_ceil(BATCH)]);
    }
    expected
}

/// An ARP message that is about the pool's addresses.
struct Arp {
    operation: u16,
    mac: String,
    about: Ipv4Addr,
    to: Ipv4Addr,
}

// === impl Arp ===

impl Arp {
    fn read(frame: &[u8]) -> Option<Self> {
        if frame.get(12..14)? != [8, 6] || frame.get(28..30)? != [198, 18] {
            return None;
        }
        let address = |at: usize| {
            let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(bytes))
        };
        let mac: Vec<_> = frame
            .get(22..28)?
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Some(Self {
            operation: u16::from_be_bytes(frame.get(20..22)?.try_into().ok()?),
            mac: mac.join(":"),
            about: address(28)?,
            to: address(38)?,
        })
    }
}

/// Who has this address? Tell the client.
fn request(vip: Ipv4Addr) -> Vec<u8> {
    const OWN: [u8; 6] = [2, 0xfe, 0, 0, 0, 0x64];
    let header = [0, 1, 8, 0, 6, 4, 0, 1];
    [
        &[0xff; 6][..],
        &OWN,
        &[8, 6],
        &header,
        &OWN,
        &CLIENT.octets(),
        &[0; 6],
        &vip.octets(),
    ]
    .concat()
}
