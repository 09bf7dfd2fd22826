//! The index against a plain list.

use proptest::prelude::*;

use super::*;
use crate::service::Protocol;

const POOL: &str = "pool";

fn mk_terms(key: &str, ports: &[u16], policy: TrafficPolicy) -> Terms {
    let port = |port: &u16| ServicePort {
        protocol: Protocol::Tcp,
        port: *port,
    };
    Terms {
        key: Some(key.to_owned()),
        ports: ports.iter().map(port).collect(),
        policy,
        selector: Labels::new(),
    }
}

fn mk_offer(namespace: &str, terms: &Terms) -> Offer {
    Offer::of([(namespace, terms)].into_iter()).expect("it has a key")
}

#[test]
fn holders_that_differ_offer_nothing_together() {
    use TrafficPolicy::{Cluster, Local};
    let a = mk_terms("k", &[1], Cluster);
    let of = |b: &Terms, namespace: &str| Offer::of([("x", &a), (namespace, b)].into_iter());
    assert_eq!(of(&mk_terms("l", &[2], Cluster), "x"), None);
    assert_eq!(of(&mk_terms("k", &[2], Local), "x"), None);
    let keyless = Terms {
        key: None,
        ..a.clone()
    };
    assert_eq!(of(&keyless, "x"), None);
    let b = mk_terms("k", &[2], Cluster);
    let offer = of(&b, "x").expect("an offer");
    assert_eq!((offer.ports.len(), offer.namespace.as_deref()), (2, Some("x")));
    assert_eq!(of(&b, "y").expect("an offer").namespace, None);
}

#[test]
fn a_run_in_which_the_port_is_used_is_passed_in_one_step() {
    let mut sharers = Sharers::default();
    let web = mk_terms("k", &[80], TrafficPolicy::Cluster);
    for number in 0..1000 {
        sharers.insert(&POOL.into(), Family::V4, number, &mk_offer("a", &web));
    }
    let first = |terms: &Terms| {
        let seeker = Seeker {
            namespace: "a",
            terms,
        };
        sharers.first(&POOL.into(), Family::V4, (seeker, Sharing::SameNamespace), 0)
    };
    assert_eq!(first(&web), (None, 2));
    let other = mk_terms("k", &[81], TrafficPolicy::Cluster);
    assert_eq!(first(&other), (Some(0), 1));
}

proptest! {
    /// Few numbers, keys, ports and namespaces, so that everything meets.
    #[test]
    fn finds_what_a_plain_list_finds(
        steps in proptest::collection::vec(
            (0_u128..12, select_terms(), proptest::sample::select(vec!["a", "b"]), any::<bool>()),
            0..40,
        ),
        asked in select_terms(),
        from in 0_u128..12,
    ) {
        let mut sharers = Sharers::default();
        let mut list: BTreeMap<u128, (&str, Terms)> = BTreeMap::new();
        for (number, terms, namespace, is_held) in steps {
            if let Some((namespace, terms)) = list.remove(&number) {
                sharers.remove(&POOL.into(), Family::V4, number, &mk_offer(namespace, &terms));
            }
            if is_held {
                sharers.insert(&POOL.into(), Family::V4, number, &mk_offer(namespace, &terms));
                list.insert(number, (namespace, terms));
            }
        }
        for sharing in [Sharing::SameNamespace, Sharing::CrossNamespace] {
            let seeker = Seeker { namespace: "a", terms: &asked };
            let (found, _) = sharers.first(&POOL.into(), Family::V4, (seeker, sharing), from);
            let mut fitting = list.iter().filter(|(number, (namespace, terms))| {
                **number >= from && asked.may_share(terms).is_ok() && sharing.may_meet("a", namespace).is_ok()
            });
            prop_assert_eq!(found, fitting.next().map(|(number, _)| *number));
        }
        for (number, (namespace, terms)) in list {
            sharers.remove(&POOL.into(), Family::V4, number, &mk_offer(namespace, &terms));
        }
        prop_assert!(sharers.by_key.is_empty(), "something is left: {:?}", sharers);
    }
}

fn select_terms() -> impl Strategy<Value = Terms> {
    let ports = proptest::sample::subsequence(vec![80_u16, 81, 82], 0..3);
    let policy = proptest::sample::select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local]);
    let key = proptest::sample::select(vec!["k", "l"]);
    (key, ports, policy).prop_map(|(key, ports, policy)| mk_terms(key, &ports, policy))
}
