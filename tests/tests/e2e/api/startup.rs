//! How the controller starts, what it says when it cannot, and what it shows of itself.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::artifacts::Artifacts;
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::product::{Controller, NAMESPACE};
use ferrolb_tests::lab::{Lab, process::Process};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::tenant::{PATIENCE, Tenant};
use crate::ending;

const SECRET: &str = "ferrolb-gossip";

/// What it lists: Services, pools, claims, namespaces and Nodes.
const LISTS: usize = 5;

/// What the controller says when it ends at once, with this code.
fn refusal(arguments: &[&str], environment: &[(&str, &str)], code: i32) -> Result<String> {
    ending::said(&Artifacts::from_env()?.controller(), arguments, environment, code)
}

#[test]
fn flags_that_mean_nothing_are_refused_by_name() -> Result<()> {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--admin-bind=here"], &["--admin-bind", "here"]),
        (&["--log-format=xml"], &["--log-format", "xml", "json"]),
        (&["--log-level=loud"], &["--log-level", "loud"]),
        (&["--leader-elect=perhaps"], &["--leader-elect", "perhaps"]),
        (&["--load-balancer-class="], &["--load-balancer-class"]),
        (
            &["--load-balancer-class=example.com/a,Example.com/b"],
            &["--load-balancer-class", "'Example.com/b'", "as ferrolb.io/layer2"],
        ),
    ];
    for (arguments, words) in cases {
        let text = refusal(arguments, &[], 2)?;
        for word in words {
            ensure!(
                text.contains(word),
                "{arguments:?} is refused without the word {word}: {text}"
            );
        }
    }
    let text = refusal(&[], &[("FERROLB_LOG_FORMAT", "xml")], 2)?;
    ensure!(text.contains("xml"), "{text}");
    Ok(())
}

#[test]
fn credentials_that_are_not_there_are_a_sentence() -> Result<()> {
    let port = ["--admin-bind=127.0.0.1:0"];
    let text = refusal(&port, &[], 1)?;
    ensure!(
        text.contains("--kubeconfig") && text.contains("ServiceAccount"),
        "{text}"
    );
    let text = refusal(&port, &[("FERROLB_KUBECONFIG", "/nonexistent/kubeconfig")], 1)?;
    ensure!(
        text.contains("--kubeconfig /nonexistent/kubeconfig") && text.contains("No such file"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_taken_port_is_named_with_its_flag() -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = taken.local_addr()?.to_string();
    for format in ["text", "json"] {
        let arguments = [
            format!("--admin-bind={address}"),
            format!("--log-format={format}"),
        ];
        let text = refusal(&[&arguments[0], &arguments[1]], &[], 1)?;
        ensure!(text.contains(&address) && text.contains("--admin-bind"), "{text}");
        let is_json = text
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok());
        ensure!(
            is_json == (format == "json"),
            "the log is in format {format}: {text}"
        );
    }
    Ok(())
}

#[test]
fn version_and_help_say_what_it_is() -> Result<()> {
    ending::names_version(&Artifacts::from_env()?.controller(), "ferrolb-controller")?;

    let help = refusal(&["--help"], &[], 0)?;
    let flags = [
        "--kubeconfig",
        "--namespace",
        "--log-level",
        "--log-format",
        "--admin-bind",
        "--leader-elect",
        "--load-balancer-class",
        "--handle-unset-class",
        "--service-finalizer",
        "--gossip-secret",
    ];
    let mut rest = help.as_str();
    for flag in flags {
        let (_, after) = rest
            .split_once(flag)
            .with_context(|| format!("{flag} in its place: {help}"))?;
        let variable = format!(
            "FERROLB_{}",
            flag.trim_start_matches('-').to_uppercase().replace('-', "_")
        );
        ensure!(
            after.contains(&variable),
            "{flag} can be given as {variable}: {help}"
        );
        rest = after;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_what_is_missing_and_says_what() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let mut controller = lab.controller(0, &[]);
    controller.start()?;
    // And nothing else: the list of Services is there.
    let missing = ["AddressClaims", "AddressPools"].map(|kind| {
        let plural = kind.to_lowercase();
        format!(
            "missing: list of {kind} (the API server does not know {plural}: install the \
             CustomResourceDefinitions; `helm install` does, or `kubectl apply -f charts/ferrolb/crds`)\n"
        )
    });
    eventually(PATIENCE, "it says that our kinds are missing", async || {
        let report = not_ready(&controller).await?;
        ensure!(report == missing.concat(), "{report}");
        Ok(())
    })
    .await?;
    assert_eq!(controller.admin("/livez").await?.status, 200);

    lab.install_crds().await?;
    controller.wait_ready().await?;
    // Its namespace is missing still, and with it the Lease: the log says so.
    let log = controller.process()?.read_log()?;
    ensure!(
        log.contains(&format!("namespaces \\\"{NAMESPACE}\\\" not found")),
        "{log}"
    );
    let tenant = Tenant::new(&lab, "waiting").await?;
    tenant
        .pool("waiting", json!({ "addresses": ["10.29.0.0/31"] }))
        .await?;
    lab.create_namespace(NAMESPACE).await?;
    tenant.service_from("waiting", "web").await?;
    tenant.shows("web", &["10.29.0.0"]).await?;

    pages(&controller).await?;
    for line in controller.process()?.read_log()?.lines() {
        serde_json::from_str::<Value>(line)
            .with_context(|| format!("every line of the log is JSON: {line}"))?;
    }

    // The API server is away when the next one starts.
    controller.kill()?;
    lab.api_server().stop()?;
    controller.start()?;
    eventually(
        PATIENCE,
        "it says that the API server cannot be reached",
        async || {
            let report = not_ready(&controller).await?;
            ensure!(
                report.matches("the API server cannot be reached: ").count() == LISTS,
                "{report}"
            );
            Ok(())
        },
    )
    .await?;
    lab.api_server().start().await?;
    controller.wait_ready().await?;
    controller.process().and_then(Process::check_running)
}

async fn not_ready(controller: &Controller) -> Result<String> {
    controller.process()?.check_running()?;
    let answer = controller.admin("/readyz").await?;
    ensure!(answer.status == 503, "it is ready: {answer:?}");
    Ok(answer.body)
}

async fn pages(controller: &Controller) -> Result<()> {
    let lines = [
        "ferrolb_controller_leading 1",
        "ferrolb_controller_services 1",
        "ferrolb_controller_addresses 1",
        "ferrolb_controller_calls_total{call=\"CreateClaim\",outcome=\"Done\"} 1",
        "# EOF",
    ];
    for line in lines {
        eventually(PATIENCE, line, async || {
            let metrics = controller.admin("/metrics").await?.body;
            ensure!(metrics.lines().any(|known| known == line), "{metrics}");
            Ok(())
        })
        .await?;
    }
    let state = controller.state().await?;
    assert_eq!(state["claims"][0]["heldBy"], "waiting/web");
    assert_eq!(state["decisions"][0]["addresses"], json!(["10.29.0.0"]));
    let nowhere = controller.admin("/nowhere").await?;
    ensure!(
        nowhere.status == 404 && nowhere.body.contains("/debug/state"),
        "{nowhere:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gossip_secret_is_made_once_and_never_overwritten() -> Result<()> {
    let (lab, mut controllers) = super::shared::start_with(1, &[]).await?;
    let secrets: Api<Secret> = Api::namespaced(lab.client(), NAMESPACE);
    let made = eventually(PATIENCE, "the secret is made", async || {
        Ok(secrets.get(SECRET).await?)
    })
    .await?;
    let key = &made.data.as_ref().context("no data")?["key"].0;
    ensure!(key.len() == 44 && key.is_ascii(), "32 bytes as base64: {key:?}");

    let mut restart = async || {
        controllers[0].kill()?;
        controllers[0].start()?;
        eventually(PATIENCE, "it has looked at the secret", async || {
            let state = controllers[0].state().await?;
            ensure!(state["leading"] == true, "{state}");
            Ok(())
        })
        .await
    };
    restart().await?;
    let after = secrets.get(SECRET).await?;
    assert_eq!(
        after.metadata.resource_version, made.metadata.resource_version,
        "it was written to"
    );

    secrets.delete(SECRET, &DeleteParams::default()).await?;
    let own = json!({ "metadata": { "name": SECRET }, "stringData": { "key": "a person's own" } });
    let own = secrets
        .create(&PostParams::default(), &serde_json::from_value(own)?)
        .await?;
    restart().await?;
    let after = secrets.get(SECRET).await?;
    assert_eq!(
        after.metadata.resource_version, own.metadata.resource_version,
        "it was written to"
    );
    Ok(())
}
