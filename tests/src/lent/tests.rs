use ferrolb_crds::AddressClaim;
use serde_json::{Value, json};

use super::*;

const ADDRESS: &str = "10.0.0.1";

/// A world that sees one change after the other, in the order of their versions.
#[derive(Default)]
struct World(Lent);

// === impl World ===

impl World {
    fn sees(&mut self, seen: &Seen) -> Result<Turn> {
        self.0.apply(seen, |_| false)
    }

    fn sees_all<const N: usize>(seen: [Seen; N]) -> Self {
        let mut world = Self::default();
        for seen in seen {
            world.sees(&seen).expect("nothing is wrong yet");
        }
        world
    }
}

/// A Service of policy Cluster that shows these addresses; key and port may be what others have.
fn mk_service(name: &str, key: Option<&str>, port: u16, shown: &[&str]) -> Box<Service> {
    let ingress: Vec<Value> = shown
        .iter()
        .map(|ip| json!({ "ip": ip, "ipMode": "VIP" }))
        .collect();
    let service = json!({
        "metadata": { "namespace": "default", "name": name, "uid": format!("uid of {name}"),
            "annotations": { "ferrolb.io/sharing-key": key.unwrap_or_default() } },
        "spec": { "type": "LoadBalancer", "ports": [{ "protocol": "TCP", "port": port }] },
        "status": { "loadBalancer": { "ingress": ingress } },
    });
    Box::new(serde_json::from_value(service).expect("a Service"))
}

fn mk_claim(holders: &[(&str, Option<&str>, u16)]) -> Box<AddressClaim> {
    let holder = |(name, key, port): &(&str, Option<&str>, u16)| {
        json!({
            "namespace": "default", "name": name, "uid": format!("uid of {name}"), "sharingKey": key,
            "ports": [{ "protocol": "TCP", "port": port }], "externalTrafficPolicy": "Cluster",
        })
    };
    let holders: Vec<Value> = holders.iter().map(holder).collect();
    let claim = json!({
        "apiVersion": "ferrolb.io/v1alpha1", "kind": "AddressClaim",
        "metadata": { "name": ADDRESS, "uid": "uid of the claim", "resourceVersion": "1" },
        "spec": { "address": ADDRESS, "state": "Held", "holders": holders },
    });
    Box::new(serde_json::from_value(claim).expect("a claim"))
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
}

#[test]
fn who_shows_what_its_claim_gives_it_breaks_no_rule() {
    let mut world = World::sees_all([Seen::Claim(mk_claim(&[("web", None, 80)]))]);
    let turn = world.sees(&Seen::Service(mk_service("web", None, 80, &[ADDRESS])));
    let begun = Turn {
        service: "default/web".to_owned(),
        begins: addresses(&[ADDRESS]),
        ends: addresses(&[]),
    };
    assert_eq!(turn.expect("no rule is broken"), begun);
    let turn = world.sees(&Seen::ServiceGone(mk_service("web", None, 80, &[ADDRESS])));
    assert_eq!(turn.expect("no rule is broken").ends, addresses(&[ADDRESS]));
    world
        .sees(&Seen::ClaimGone(mk_claim(&[("web", None, 80)])))
        .expect("nobody shows it any more");
}

#[test]
fn who_shows_an_address_without_its_claim_is_caught() {
    let error = World::default().sees(&Seen::Service(mk_service("web", None, 80, &[ADDRESS])));
    let error = error.expect_err("there is no claim").to_string();
    assert_eq!(error, "default/web shows 10.0.0.1, and its claim says None");
    let mut world = World::sees_all([Seen::Claim(mk_claim(&[("other", None, 80)]))]);
    world
        .sees(&Seen::Service(mk_service("web", None, 80, &[ADDRESS])))
        .expect_err("the claim names another one");
}

#[test]
fn two_that_show_one_address_must_share_it() {
    let both = [("one", Some("key"), 80), ("two", Some("key"), 81)];
    let mut world = World::sees_all([
        Seen::Claim(mk_claim(&both)),
        Seen::Service(mk_service("one", Some("key"), 80, &[ADDRESS])),
    ]);
    world
        .sees(&Seen::Service(mk_service("two", Some("key"), 81, &[ADDRESS])))
        .expect("they share it");

    let mut world = World::sees_all([
        Seen::Claim(mk_claim(&both[..1])),
        Seen::Service(mk_service("one", Some("key"), 80, &[ADDRESS])),
    ]);
    world
        .sees(&Seen::Service(mk_service("two", Some("key"), 81, &[ADDRESS])))
        .expect_err("the claim names only one");
}

#[test]
fn two_that_show_one_address_are_caught_also_where_strangers_write_claims() {
    let mut world = World::default();
    let first = Seen::Service(mk_service("one", Some("key"), 80, &[ADDRESS]));
    world.0.apply(&first, |_| true).expect("it is alone");
    for (key, port) in [(None, 81), (Some("other"), 81), (Some("key"), 80)] {
        let second = Seen::Service(mk_service("two", key, port, &[ADDRESS]));
        world
            .0
            .apply(&second, |_| true)
            .expect_err("they may not share it");
        let away = Seen::Service(mk_service("two", key, port, &[]));
        world.0.apply(&away, |_| true).expect("it shows nothing");
        let forgotten = Seen::ServiceGone(mk_service("two", key, port, &[]));
        world.0.apply(&forgotten, |_| true).expect("it is gone");
    }
    let second = Seen::Service(mk_service("two", Some("key"), 81, &[ADDRESS]));
    world.0.apply(&second, |_| true).expect("they may share it");
}

#[test]
fn holders_that_do_not_go_together_are_caught() {
    for other in [
        ("two", None, 81),
        ("two", Some("other"), 81),
        ("two", Some("key"), 80),
    ] {
        let claim = Seen::Claim(mk_claim(&[("one", Some("key"), 80), other]));
        World::default().sees(&claim).expect_err("they may not share it");
    }
}

#[test]
fn an_address_that_is_shown_is_not_taken() {
    let shown = [
        Seen::Claim(mk_claim(&[("web", None, 80)])),
        Seen::Service(mk_service("web", None, 80, &[ADDRESS])),
    ];
    let mut world = World::sees_all(shown);
    world.sees(&Seen::Claim(mk_claim(&[]))).expect_err("it is shown");
    let deleted = Seen::ClaimGone(mk_claim(&[("web", None, 80)]));
    let shown = [
        Seen::Claim(mk_claim(&[("web", None, 80)])),
        Seen::Service(mk_service("web", None, 80, &[ADDRESS])),
    ];
    World::sees_all(shown).sees(&deleted).expect_err("it is shown");
}

#[test]
fn changes_are_judged_in_the_order_of_their_versions() {
    let mut order = Order::default();
    let claim = || Some(Seen::Claim(mk_claim(&[])));
    let service = || Some(Seen::Service(mk_service("web", None, 80, &[])));
    let next = |order: &mut Order| order.pop().map(|(version, _)| version);
    order.push(Source::Services, 5, service());
    assert_eq!(next(&mut order), None, "a claim may have changed before");
    order.push(Source::Claims, 3, claim());
    assert_eq!([next(&mut order), next(&mut order)], [Some(3), None]);
    order.push(Source::Claims, 9, None);
    assert_eq!([next(&mut order), next(&mut order)], [Some(5), None]);
}
