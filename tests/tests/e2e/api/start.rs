//! A control plane comes up, answers and goes.

use ferrolb_tests::lab::Lab;
use ferrolb_tests::lab::teardown::Remains;
use k8s_openapi::api::core::v1::Service;
use kube::Api;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_its_cluster_address() {
    let lab = Lab::builder().start().await.unwrap();
    lab.kubectl(["create", "service", "clusterip", "web", "--tcp=80"])
        .unwrap();
    let services: Api<Service> = Api::default_namespaced(lab.client());
    let web = services.get("web").await.unwrap();
    let address = web.spec.unwrap().cluster_ip.unwrap();
    assert!(
        address.starts_with("10.96."),
        "the address {address} is in the Service network"
    );

    let id = lab.home().id().clone();
    drop(lab);
    assert!(Remains::of(&id).is_empty(), "left behind: {:?}", Remains::of(&id));
}
