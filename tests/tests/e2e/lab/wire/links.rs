//! Links that go, come, and change, under a speaker that has given up its privileges.

use std::fs;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::frames::FramePort;
use ferrolb_tests::lab::{Lab, eventually};
use serde_json::Value;

use super::{PATIENCE, VIP4, VIP6, add_pool, hex, lend, resolves_to, start, start_with};

/// Fails unless every thread of the speaker is an ordinary user's without any right.
fn check_unprivileged(lab: &Lab) -> Result<()> {
    let pid = lab.node("n1")?.speaker()?.pid();
    let mut threads = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(entry?.path().join("status"))?;
        threads += 1;
        for (field, value) in [
            ("Uid", "65534 65534 65534 65534"),
            ("Gid", "65534 65534 65534 65534"),
            ("Groups", "65534"),
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let line = line.with_context(|| format!("no {field} in {status}"))?;
            let found = line.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(found == value, "a thread has {field} {found}, not {value}");
        }
    }
    ensure!(
        threads >= 2,
        "the speaker has {threads} threads; it should have two of its own"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_is_plugged_in_later_is_answered_without_privileges() -> Result<()> {
    let lab = start(1).await?;
    check_unprivileged(&lab)?;
    add_pool(&lab, "second", &["203.0.113.0/24"]).await?;
    lend(&lab, "second", "203.0.113.200").await?;

    let (node, client) = (lab.node("n1")?.netns()?, lab.client_host()?);
    // Without a subnet of its own the VIP goes where the default route does.
    let lan = FramePort::open(client.netns(), "eth0")?;
    let is_gratuitous = |frame: &[u8]| frame.get(28..32) == Some(&hex("cb0071c8"));
    lan.receive(PATIENCE, is_gratuitous, |kept| !kept.is_empty())?;
    lab.oracle()?.expect("203.0.113.200".parse()?);

    node.ip(&[
        &format!(
            "link add eth1 address 02:fe:00:00:01:0b type veth peer name eth1 netns {}",
            client.netns().name()
        ),
        "addr add 203.0.113.11/24 dev eth1",
        "link set eth1 up",
    ])?;
    client
        .netns()
        .ip(&["addr add 203.0.113.100/24 dev eth1", "link set eth1 up"])?;
    let second = FramePort::open(client.netns(), "eth1")?;
    second.receive(PATIENCE, is_gratuitous, |kept| !kept.is_empty())?;
    asks(&second, "02fe0000010b")?;

    node.ip(&[
        "link set eth1 down",
        "link set eth1 name lan9 address 02:fe:00:00:02:0b",
        "link set lan9 up",
    ])?;
    let is_new = |frame: &[u8]| is_gratuitous(frame) && frame.get(6..12) == Some(&hex("02fe0000020b"));
    second.receive(PATIENCE, is_new, |kept| !kept.is_empty())?;
    asks(&second, "02fe0000020b")?;
    check_unprivileged(&lab)
}

/// Asks for 203.0.113.200, and fails unless that MAC answers.
fn asks(port: &FramePort, mac: &str) -> Result<()> {
    port.send(&hex(
        "ffffffffffff 02fe000000ff 0806 0001 0800 0604 0001 02fe000000ff cb007164 000000000000 cb0071c8",
    ))?;
    let answer = hex(&format!(
        "02fe000000ff {mac} 0806 0001 0800 0604 0002 {mac} cb0071c8"
    ));
    port.receive(
        PATIENCE,
        |frame| frame.starts_with(&answer),
        |kept| !kept.is_empty(),
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_link_flap_neighbors_are_told_again() -> Result<()> {
    let lab = start(1).await?;
    let node = lab.node("n1")?;
    let mac = node.lan().mac();
    for vip in [VIP4, VIP6] {
        lend(&lab, "lan", vip).await?;
        resolves_to(&lab, vip, &mac).await?;
    }
    let port = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    let rounds: [&dyn Fn() -> Result<()>; 3] = [
        &|| {
            node.cut_link()?;
            node.restore_link()
        },
        // So quick that only the kernel's count of carriers tells.
        &|| lab.bridge()?.ip(&["link set n1 down", "link set n1 up"]),
        &|| node.netns()?.ip(&["link set eth0 down", "link set eth0 up"]),
    ];
    for flap in rounds {
        flap()?;
        // Both forms and the advertisement, whatever comes first.
        for frame in [
            "ffffffffffff 02fe0000000b 0806 0001 0800 0604 0001 02fe0000000b c00002c8 000000000000 c00002c8",
            "ffffffffffff 02fe0000000b 0806 0001 0800 0604 0002 02fe0000000b c00002c8 02fe0000000b c00002c8",
            "333300000001 02fe0000000b 86dd 60000000 0020 3a ff 20010db8000000000000000000000200",
        ] {
            let frame = hex(frame);
            port.receive(PATIENCE, |got| got.starts_with(&frame), |kept| !kept.is_empty())?;
        }
        for vip in [VIP4, VIP6] {
            resolves_to(&lab, vip, &mac).await?;
        }
    }
    Ok(())
}

/// The sockets of one interface are all there are: enough for the LAN, whatever links pods bring.
#[tokio::test(flavor = "multi_thread")]
async fn an_interface_without_sockets_is_none_and_links_of_pods_take_none() -> Result<()> {
    let lab = start_with(1, &["--max-interfaces=1"]).await?;
    let (node, client) = (lab.node("n1")?, lab.client_host()?);
    let mac = node.lan().mac();
    for pod in 0..3 {
        node.netns()?.ip(&[
            &format!("link add cali{pod} type veth peer name pod{pod}"),
            &format!("link set cali{pod} up"),
            &format!("link set pod{pod} up"),
        ])?;
    }
    lend(&lab, "lan", VIP4).await?;
    resolves_to(&lab, VIP4, &mac).await?;
    let flap = ["link set eth0 down", "link set eth0 up"];
    // It takes the default route with it, and the second network's VIP must not follow that one.
    let route = ["route add default via 192.0.2.1"];
    node.netns()?.ip(&[flap.as_slice(), &route].concat())?;
    resolves_to(&lab, VIP4, &mac).await?;

    // A second network, and nothing left to answer on it with.
    node.netns()?.ip(&[
        &format!(
            "link add eth1 type veth peer name eth1 netns {}",
            client.netns().name()
        ),
        "addr add 203.0.113.11/24 dev eth1",
        "link set eth1 up",
    ])?;
    client.netns().ip(&["link set eth1 up"])?;
    add_pool(&lab, "second", &["203.0.113.0/24"]).await?;
    lend(&lab, "second", "203.0.113.200").await?;
    withholds(&lab, "203.0.113.200", "NoInterface").await?;
    let metrics = node.speaker_admin("/metrics").await?.body;
    ensure!(
        metrics.contains(r#"socket_failures_total{interface="eth1",reason="NoSocket"}"#),
        "{metrics}"
    );
    ensure!(!metrics.contains("cali0"), "a pod's link counts: {metrics}");

    // What the LAN does not need any more is had by the second network.
    node.cut_link()?;
    let second = FramePort::open(client.netns(), "eth1")?;
    let is_gratuitous = |frame: &[u8]| frame.get(28..32) == Some(&hex("cb0071c8"));
    second.receive(PATIENCE, is_gratuitous, |kept| !kept.is_empty())?;
    node.restore_link()
}

/// Waits until the only node says that it is silent about a VIP, and why.
async fn withholds(lab: &Lab, vip: &str, reason: &str) -> Result<()> {
    eventually(PATIENCE, &format!("{vip} is withheld: {reason}"), async || {
        let state = lab.node("n1")?.speaker_admin("/debug/state").await?.body;
        let state: Value = serde_json::from_str(&state)?;
        let found = &state["vips"][vip]["withheld"];
        ensure!(*found == reason, "{found} in {state}");
        Ok(())
    })
    .await
}
