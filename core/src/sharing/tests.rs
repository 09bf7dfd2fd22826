use super::*;
use crate::service::Protocol;

fn mk_port(text: &str) -> ServicePort {
    let (protocol, port) = text.split_once('/').expect("protocol and port");
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        other => panic!("no protocol: {other}"),
    };
    let port = port.parse().expect("a port");
    ServicePort { protocol, port }
}

/// Terms as `key ports policy`, where Local comes with the app that is selected.
fn mk_terms(text: &str) -> Terms {
    let [key, ports, policy] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("three words: {text}");
    };
    let (policy, selector) = match policy.split_once('=') {
        Some(("Local", app)) => (
            TrafficPolicy::Local,
            Labels::from([("app".to_owned(), app.to_owned())]),
        ),
        _ => (TrafficPolicy::Cluster, Labels::new()),
    };
    Terms {
        key: (key != "-").then(|| key.to_owned()),
        ports: ports
            .split(',')
            .filter(|port| *port != "-")
            .map(mk_port)
            .collect(),
        policy,
        selector,
    }
}

#[test]
fn two_share_by_key_ports_and_policy() {
    use TrafficPolicy::{Cluster, Local};
    let port = |text| Err(Clash::Port(mk_port(text)));
    for (service, holder, expected) in [
        ("k TCP/80 Cluster", "k TCP/443 Cluster", Ok(())),
        ("k TCP/80 Cluster", "k UDP/80 Cluster", Ok(())),
        ("k TCP/80 Cluster", "k SCTP/80 Cluster", Ok(())),
        ("k - Cluster", "k TCP/80 Cluster", Ok(())),
        ("k TCP/80 Local=a", "k TCP/81 Local=a", Ok(())),
        ("- TCP/80 Cluster", "- TCP/443 Cluster", Err(Clash::NotAsked)),
        ("- TCP/80 Cluster", "k TCP/443 Cluster", Err(Clash::NotAsked)),
        ("k TCP/80 Cluster", "- TCP/443 Cluster", Err(Clash::NoKey)),
        ("k TCP/80 Cluster", "l TCP/443 Cluster", Err(Clash::OtherKey)),
        ("k TCP/80 Cluster", "l TCP/80 Cluster", Err(Clash::OtherKey)),
        ("k TCP/80 Cluster", "k TCP/80 Cluster", port("TCP/80")),
        (
            "k TCP/1,UDP/2,TCP/3 Cluster",
            "k TCP/3,TCP/2,UDP/2 Cluster",
            port("UDP/2"),
        ),
        ("k TCP/80 Cluster", "k TCP/81 Local=a", Err(Clash::Policy(Local))),
        (
            "k TCP/80 Local=a",
            "k TCP/81 Cluster",
            Err(Clash::Policy(Cluster)),
        ),
        ("k TCP/80 Local=a", "k TCP/81 Local=b", Err(Clash::Selector)),
    ] {
        let (service, holder) = (mk_terms(service), mk_terms(holder));
        assert_eq!(
            service.may_share(&holder),
            expected,
            "{service:?} with {holder:?}"
        );
        let back = holder.may_share(&service);
        assert_eq!(back.is_ok(), expected.is_ok(), "sharing is mutual");
    }
}

#[test]
fn a_selector_decides_nothing_under_policy_cluster() {
    let (mut a, b) = (mk_terms("k TCP/80 Cluster"), mk_terms("k TCP/81 Cluster"));
    a.selector.insert("app".to_owned(), "a".to_owned());
    assert_eq!(a.may_share(&b), Ok(()));
}

#[test]
fn an_empty_key_is_none() {
    let holder = Holder {
        service: crate::service::ServiceKey::new("default", "s"),
        uid: crate::object::Uid::from("u"),
        ports: Vec::new(),
        traffic_policy: TrafficPolicy::Cluster,
        sharing_key: Some(String::new()),
        selector: Labels::new(),
        advertisements: Vec::new(),
    };
    assert_eq!(Terms::of_holder(&holder).key, None);
}

#[test]
fn namespaces_meet_where_the_pool_says_so() {
    use Sharing::{CrossNamespace, SameNamespace};
    for (sharing, other, expected) in [
        (SameNamespace, "a", Ok(())),
        (SameNamespace, "b", Err(Clash::Namespace)),
        (CrossNamespace, "a", Ok(())),
        (CrossNamespace, "b", Ok(())),
    ] {
        assert_eq!(sharing.may_meet("a", other), expected, "{sharing:?} {other}");
    }
}

#[test]
fn a_clash_is_told_as_what_is_special_about_the_holder() {
    for (clash, text, is_among_sharers) in [
        (Clash::NotAsked, "", false),
        (Clash::NoKey, ", which has no sharing key", false),
        (Clash::OtherKey, ", which has another sharing key", false),
        (
            Clash::Namespace,
            " of another namespace, and the pool does not say sharing: CrossNamespace",
            true,
        ),
        (Clash::Port(mk_port("TCP/80")), ", which uses TCP/80 too", true),
        (
            Clash::Policy(TrafficPolicy::Local),
            ", whose externalTrafficPolicy is Local",
            true,
        ),
        (
            Clash::Selector,
            ", which has another selector: under externalTrafficPolicy Local only Services with the same pods can \
             share",
            true,
        ),
    ] {
        assert_eq!(clash.to_string(), text);
        assert_eq!(clash.is_among_sharers(), is_among_sharers, "{clash:?}");
    }
}
