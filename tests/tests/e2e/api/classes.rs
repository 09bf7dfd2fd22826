//! Which Services are ours by their class, when told by flags.

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::eventually;
use ferrolb_tests::lab::product::Controller;
use serde_json::{Value, json};

use super::shared::start_with;
use super::tenant::{PATIENCE, Tenant, asking, merge};

#[tokio::test(flavor = "multi_thread")]
async fn flags_say_which_classes_are_served() -> Result<()> {
    let flags = [
        "--load-balancer-class=example.com/a,example.com/b",
        "--load-balancer-class=example.com/a,example.com/typo",
        "--handle-unset-class=false",
    ];
    let (lab, controllers) = start_with(1, &flags).await?;
    let tenant = Tenant::new(&lab, "classes").await?;
    tenant
        .pool(
            "classes",
            json!({ "addresses": ["10.30.0.0/30"], "autoAssign": true }),
        )
        .await?;
    let unset = tenant.service("unset", asking("classes")).await?;
    let classed = async |name: &str, class: &str| {
        let mut change = asking("classes");
        merge(&mut change, json!({ "spec": { "loadBalancerClass": class } }));
        tenant.service(name, change).await
    };
    let default = classed("default", "ferrolb.io/layer2").await?;
    // Created after the others: when they are served, the controller has seen all.
    classed("a", "example.com/a").await?;
    tenant.shows("a", &["10.30.0.0"]).await?;
    classed("b", "example.com/b").await?;
    tenant.shows("b", &["10.30.0.1"]).await?;
    for (name, before) in [("unset", unset), ("default", default)] {
        let now = tenant.services().get(name).await?;
        assert_eq!(
            now.metadata.resource_version, before.metadata.resource_version,
            "{name} was written to"
        );
        assert_eq!(tenant.events("Service", name).await?, Vec::<[String; 3]>::new());
    }
    let controller = controllers.first().context("a controller")?;
    says_why(controller).await
}

/// What cannot be written to a Service of a foreign class is in the log and on the page, as are classes
/// that nobody names.
async fn says_why(controller: &Controller) -> Result<()> {
    let log = controller.process()?.read_log()?;
    let said = |message: &str| -> Vec<Value> {
        let lines = log.lines().filter(|line| line.contains(message));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    for (message, field, value) in [
        (
            "Class is given more than once in --load-balancer-class",
            "class",
            "example.com/a",
        ),
        ("no --load-balancer-class names it", "class", "ferrolb.io/layer2"),
        ("as --handle-unset-class=false says", "service", "classes/unset"),
    ] {
        let lines = said(message);
        ensure!(
            matches!(lines.as_slice(), [line] if line[field] == value),
            "{message:?} is said once, with {field} {value}: {lines:?}"
        );
    }
    let line = |class: Option<&str>, is_handled: bool, services: u64| json!({ "class": class, "isHandled": is_handled, "services": services });
    let wanted = json!([
        line(None, false, 1),
        line(Some("example.com/a"), true, 1),
        line(Some("example.com/b"), true, 1),
        line(Some("example.com/typo"), true, 0),
        line(Some("ferrolb.io/layer2"), false, 1),
    ]);
    eventually(PATIENCE, "the page counts the classes", async || {
        let counted = &controller.state().await?["classes"];
        ensure!(*counted == wanted, "{counted}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_handled_no_more_leaves_nothing_behind() -> Result<()> {
    let flags = ["--leader-elect=false", "--service-finalizer"];
    let (lab, mut controllers) = start_with(1, &flags).await?;
    let tenant = Tenant::new(&lab, "disowned").await?;
    tenant
        .pool("disowned", json!({ "addresses": ["10.49.0.0/30"] }))
        .await?;
    let web = tenant.service_from("disowned", "web").await?;
    tenant.shows("web", &["10.49.0.0"]).await?;
    tenant.service_from("disowned", "deleted").await?;
    tenant.shows("deleted", &["10.49.0.1"]).await?;
    controllers[0].kill()?;
    tenant.delete("deleted").await?;
    let flags = ["--leader-elect=false", "--handle-unset-class=false"];
    let mut other = lab.controller(0, &flags);
    other.start()?;
    other.wait_ready().await?;
    tenant.is_bare(&web).await?;
    tenant.is_gone("deleted").await?;
    tenant.has_no_claim("10.49.0.0").await?;
    tenant.has_no_claim("10.49.0.1").await
}
