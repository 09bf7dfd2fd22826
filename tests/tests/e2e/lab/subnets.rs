//! An address that a subnet keeps for itself: lent and answered like any other, and told to whoever looks.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_core::address::claim_name;
use ferrolb_crds::{AddressClaim, AddressPool};
use ferrolb_tests::lab::frames::FramePort;
use ferrolb_tests::lab::{Lab, eventually};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// How long anything may take before the test gives up and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The broadcast address of the LAN, and the client asking by ARP who has it.
const BROADCAST: &str = "192.0.2.255";
const QUESTION: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0xfe, 0, 0, 0, 0x64, 8, 6, // to all, from the client, ARP
    0, 1, 8, 0, 6, 4, 0, 1, // a request about IPv4 on Ethernet
    0x02, 0xfe, 0, 0, 0, 0x64, 192, 0, 2, 100, // the client's addresses
    0, 0, 0, 0, 0, 0, 192, 0, 2, 255, // who has it
];

/// Waits until a pool's condition Overlap gives this reason, and returns its message.
async fn overlap_is(lab: &Lab, pool: &str, reason: &str) -> Result<String> {
    let pools: Api<AddressPool> = Api::all(lab.client());
    eventually(
        PATIENCE,
        &format!("Overlap of pool {pool} says {reason}"),
        async || {
            let status = serde_json::to_value(pools.get(pool).await?.status)?;
            let conditions = status["conditions"].as_array().context("it has no conditions")?;
            let condition = conditions.iter().find(|condition| condition["type"] == "Overlap");
            let condition = condition.context("it has no Overlap")?;
            ensure!(condition["reason"] == reason, "it says {condition}");
            Ok(condition["message"].as_str().unwrap_or_default().to_owned())
        },
    )
    .await
}

/// The notes of the Events of this reason.
async fn notes(lab: &Lab, reason: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::default_namespaced(lab.client());
    let events = events.list(&ListParams::default()).await?.items.into_iter();
    let of_reason = events.filter(|event| event.reason.as_deref() == Some(reason));
    Ok(of_reason.filter_map(|event| event.note).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broadcast_address_of_a_nodes_subnet_is_told_and_answered() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.install_crds().await?;
    lab.create_pool("high", &["192.0.2.250-192.0.2.255"]).await?;
    lab.create_pool("low", &["192.0.2.0-192.0.2.9"]).await?;
    let _controllers = lab.start_controller(1, &[]).await?;
    let wish =
        json!({ "loadBalancerIP": BROADCAST, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"] });
    lab.create_load_balancer("web", wish).await?;
    let vip: IpAddr = BROADCAST.parse()?;
    ensure!(
        lab.wait_addresses("web", 1).await? == [vip],
        "it is lent what it asks for"
    );
    overlap_is(&lab, "high", "NoOverlap").await?;

    let port = FramePort::open(lab.client_host()?.netns(), "eth0")?;
    lab.start_speakers(&[]).await?;
    let message = overlap_is(&lab, "high", "SubnetAddress").await?;
    let expected = "The pool lists 192.0.2.255, the broadcast address of 192.0.2.0/24: exclude what a subnet keeps \
                    for itself, or its hosts may not reach the Service that gets it";
    ensure!(message == expected, "{message}");
    // Nothing is lent from this one yet.
    let message = overlap_is(&lab, "low", "SubnetAddress").await?;
    ensure!(
        message.contains("192.0.2.0, the network address of 192.0.2.0/24"),
        "{message}"
    );
    eventually(PATIENCE, "one Event for each pool", async || {
        let notes = notes(&lab, "SubnetAddress").await?;
        ensure!(
            notes.len() == 2 && notes.contains(&expected.to_owned()),
            "{notes:?}"
        );
        Ok(())
    })
    .await?;
    let claims: Api<AddressClaim> = Api::all(lab.client());
    let status = claims.get(&claim_name(vip)).await?.status.context("no status")?;
    ensure!(status.subnet.as_deref() == Some("192.0.2.0/24"), "{status:?}");
    says_where(&lab)?;

    // Whoever asks is answered, ...
    port.send(&QUESTION)?;
    let is_answer = |frame: &[u8]| {
        // To the client and not to all, ARP, from the address that was asked for.
        frame.get(..6) == QUESTION.get(6..12)
            && frame.get(12..14) == QUESTION.get(12..14)
            && frame.get(28..32) == QUESTION.get(38..42)
    };
    port.receive(PATIENCE, is_answer, |kept| !kept.is_empty())?;
    lab.oracle()?.expect(vip);
    // ... and a host of the subnet never asks, which is what the warning is about.
    let client = lab.client_host()?;
    ensure!(
        client.http_get(vip, 80).await.is_err(),
        "a broadcast address is no host's"
    );
    ensure!(
        client.neighbor(vip)?.is_none(),
        "the client asked the LAN who has it"
    );

    let pools: Api<AddressPool> = Api::all(lab.client());
    for (pool, excluded) in [("high", BROADCAST), ("low", "192.0.2.0")] {
        let exclude = Patch::Merge(json!({ "spec": { "exclude": [excluded] } }));
        pools.patch(pool, &PatchParams::default(), &exclude).await?;
        overlap_is(&lab, pool, "NoOverlap").await?;
    }
    Ok(())
}

/// The speaker's log says once which pool, node, interface and subnet it is.
fn says_where(lab: &Lab) -> Result<()> {
    let log = lab.node("n1")?.speaker()?.read_log()?;
    let lines = log
        .lines()
        .filter(|line| line.contains("keeps this VIP for itself"));
    let lines: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let wanted = [
        ("vip", BROADCAST),
        ("pool", "high"),
        ("node", "n1"),
        ("interfaces", "eth0"),
        ("subnet", "192.0.2.0/24"),
        ("keeps", "the broadcast address"),
    ];
    ensure!(
        matches!(lines.as_slice(), [line] if wanted.iter().all(|(field, value)| line[*field] == *value)),
        "one line that says {wanted:?}: {lines:?}"
    );
    Ok(())
}
