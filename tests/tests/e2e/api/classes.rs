//! Which Services are ours by their class, when told by flags.

use anyhow::Result;
use serde_json::json;

use super::shared::start_with;
use super::tenant::{Tenant, asking, merge};

#[tokio::test(flavor = "multi_thread")]
async fn flags_say_which_classes_are_served() -> Result<()> {
    let flags = [
        "--load-balancer-class=example.com/a,example.com/b",
        "--handle-unset-class=false",
    ];
    let (lab, _controllers) = start_with(1, &flags).await?;
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
    Ok(())
}
