use ferrolb_core::reason::Refused;
use serde_json::json;

use super::*;

fn mk_classes() -> Classes {
    Classes {
        handled: BTreeSet::from(["ferrolb.io/layer2".to_owned()]),
        handle_unset: true,
    }
}

fn mk_object(spec: &Value, status: &Value, annotations: &Value) -> api::Service {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "default",
            "name": "web",
            "uid": "u1",
            "resourceVersion": "41",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": annotations,
            "labels": {"tier": "edge"},
        },
        "spec": spec,
        "status": status,
    }))
    .expect("a Service")
}

fn project(spec: &Value) -> ServiceRequest {
    mk_classes()
        .project(&mk_object(spec, &json!({}), &json!({})))
        .request
}

#[test]
fn a_request_is_reduced_to_what_lending_depends_on() {
    let object = mk_object(
        &json!({
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.7",
            "clusterIPs": ["10.96.0.7", "fd00::7"],
            "ipFamilies": ["IPv6", "IPv4"],
            "ipFamilyPolicy": "PreferDualStack",
            "externalTrafficPolicy": "Local",
            "ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "nodePort": 30053}],
            "selector": {"app": "web"},
        }),
        &json!({}),
        &json!({
            "metallb.universe.tf/loadBalancerIPs": "192.0.2.7",
            "ferrolb.io/address-pool": "home",
            "metallb.io/allow-shared-ip": "k",
        }),
    );
    let service = mk_classes().project(&object);
    let expected = ServiceRequest {
        eligibility: Eligibility::Eligible,
        cluster_ips: vec!["10.96.0.7".parse().expect("ip"), "fd00::7".parse().expect("ip")],
        family_policy: FamilyPolicy::PreferDualStack,
        primary_family: Some(Family::V6),
        addresses: AddressWish::Exactly(vec!["192.0.2.7".parse().expect("ip")]),
        pool: Some("home".into()),
        ports: vec![
            ServicePort {
                protocol: Protocol::Tcp,
                port: 80,
            },
            ServicePort {
                protocol: Protocol::Udp,
                port: 53,
            },
        ],
        traffic_policy: TrafficPolicy::Local,
        sharing_key: Some("k".to_owned()),
        labels: [("tier".to_owned(), "edge".to_owned())].into(),
        selector: [("app".to_owned(), "web".to_owned())].into(),
    };
    assert_eq!(service.request, expected);
    assert_eq!(service.key, ServiceKey::new("default", "web"));
    assert_eq!(service.resource_version.as_str(), "41");
    assert_eq!(service.created, Timestamp(1_767_225_600));
}

#[test]
fn the_class_decides_whose_a_service_is() {
    let of = |classes: &Classes, class: &Value| {
        let spec = json!({"type": "LoadBalancer", "loadBalancerClass": class});
        classes
            .project(&mk_object(&spec, &json!({}), &json!({})))
            .request
            .eligibility
    };
    let ours = mk_classes();
    assert_eq!(of(&ours, &json!(null)), Eligibility::Eligible);
    assert_eq!(of(&ours, &json!("ferrolb.io/layer2")), Eligibility::Eligible);
    assert_eq!(of(&ours, &json!("other/lb")), Eligibility::ForeignClass);
    let strict = Classes {
        handle_unset: false,
        ..mk_classes()
    };
    assert_eq!(of(&strict, &json!(null)), Eligibility::ForeignClass);
}

#[test]
fn other_types_and_deleted_services_are_told_apart() {
    assert_eq!(
        project(&json!({"type": "ClusterIP"})).eligibility,
        Eligibility::NotLoadBalancer
    );
    assert_eq!(project(&json!({})).eligibility, Eligibility::NotLoadBalancer);
    let mut object = mk_object(&json!({"type": "LoadBalancer"}), &json!({}), &json!({}));
    object.metadata.deletion_timestamp = object.metadata.creation_timestamp.clone();
    assert_eq!(
        mk_classes().project(&object).request.eligibility,
        Eligibility::Deleting
    );
    object.spec.get_or_insert_default().load_balancer_class = Some("other/lb".to_owned());
    assert_eq!(
        mk_classes().project(&object).request.eligibility,
        Eligibility::ForeignClass
    );
}

#[test]
fn a_headless_service_has_no_cluster_ips() {
    let request = project(&json!({"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"]}));
    assert_eq!(request.cluster_ips, Vec::<IpAddr>::new());
}

#[test]
fn a_bad_wish_is_kept_as_such() {
    let request = project(&json!({"type": "LoadBalancer", "loadBalancerIP": "web.example"}));
    let AddressWish::Invalid(refusal) = request.addresses else {
        panic!("{:?} is no refusal", request.addresses);
    };
    assert_eq!(refusal.reason, Refused::InvalidAddress);
}

#[test]
fn only_exactly_what_we_write_is_ours() {
    let of = |entry: Value| {
        let object = mk_object(
            &json!({}),
            &json!({"loadBalancer": {"ingress": [entry]}}),
            &json!({}),
        );
        mk_classes().project(&object).status.ingress[0].clone()
    };
    let address = Some("192.0.2.7".parse().expect("ip"));
    assert_eq!(
        of(json!({"ip": "192.0.2.7", "ipMode": "VIP"})),
        Ingress {
            address,
            is_ours: true
        }
    );
    let others = [
        json!({"ip": "192.0.2.7", "ipMode": "Proxy"}),
        json!({"ip": "192.0.2.7"}),
        json!({"ip": "192.0.2.7", "ipMode": "VIP", "hostname": "x"}),
        json!({"ip": "192.0.2.7", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]}),
    ];
    for entry in others {
        assert_eq!(
            of(entry.clone()),
            Ingress {
                address,
                is_ours: false
            },
            "{entry}"
        );
    }
    assert_eq!(of(json!({"hostname": "x"})), Ingress::default());
}

#[test]
fn the_marks_that_we_leave_are_read_back() {
    let object = mk_object(
        &json!({}),
        &json!({"conditions": [
            {"type": "Foreign", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "ferrolb.io/AddressAssigned", "status": "False", "reason": "PoolExhausted", "message": "m",
             "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}),
        &json!({"ferrolb.io/allocated-from-pool": "home"}),
    );
    let status = mk_classes().project(&object).status;
    let condition = status.condition.expect("our condition");
    assert_eq!(
        (condition.status, condition.reason.as_str()),
        (false, "PoolExhausted")
    );
    assert_eq!(status.allocated_from, Some("home".into()));
}

#[test]
fn the_latest_other_writer_of_the_ingress_is_named() {
    let mut object = mk_object(&json!({}), &json!({}), &json!({}));
    let entry = |manager: &str, time: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "time": time, "subresource": "status",
               "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    let ingress = json!({"f:status": {"f:loadBalancer": {"f:ingress": {}}}});
    object.metadata.managed_fields = serde_json::from_value(json!([
        entry("old-lb", "2026-01-01T00:00:00Z", ingress.clone()),
        entry("new-lb", "2026-01-02T00:00:00Z", ingress.clone()),
        entry("ferrolb-controller", "2026-01-03T00:00:00Z", ingress),
        entry(
            "kubectl",
            "2026-01-04T00:00:00Z",
            json!({"f:spec": {"f:ports": {}}})
        ),
    ]))
    .expect("entries");
    let status = mk_classes().project(&object).status;
    assert_eq!(status.other_manager.as_deref(), Some("new-lb"));
}
