//! Whatever happens in whatever order: the rules hold after each write, and at rest all is well.
//!
//! `FERROLB_HISTORIES` says how many random histories each property is tried on; without it, some
//! that are always the same.

use std::collections::BTreeSet;
use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::claim::{ClaimSpec, ClaimState};
use ferrolb_core::pool::allocation::Allocation;
use ferrolb_core::pool::{Pool, Sharing};
use ferrolb_core::request::{AddressWish, Eligibility, FamilyPolicy, ServiceRequest};
use ferrolb_core::selector::{Labels, Requirement, Selector};
use ferrolb_core::service::{Protocol, ServicePort, TrafficPolicy};
use ferrolb_core::sharing::Terms;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use crate::history::{
    Calling, Deed, Fate, History, Meddling, StatusEdit, Step, Vandalism, Watching, addresses,
};
use crate::objects::{ip, mk_pool, mk_reservation};
use crate::unreadable::make_unreadable;
use crate::world::Kind;

/// Enough to find what a change breaks, and always the same ones.
const HISTORIES: u32 = 1000;

pub(crate) fn config() -> ProptestConfig {
    let (cases, rng_seed) = match std::env::var("FERROLB_HISTORIES") {
        Ok(text) => (
            text.parse().expect("FERROLB_HISTORIES is a number"),
            RngSeed::Random,
        ),
        Err(_) => (HISTORIES, RngSeed::Fixed(1)),
    };
    ProptestConfig {
        cases,
        rng_seed,
        // What is found becomes an example with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn run(steps: Vec<Step>, is_vandalized: bool) {
    let mut history = History::new(is_vandalized);
    for step in steps {
        history.take(step);
    }
    history.end();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_history_lends_twice_leaks_or_leaves_anybody_waiting(
        steps in proptest::collection::vec(any_step(), 1..80)
    ) {
        run(steps, false);
    }

    #[test]
    fn whatever_strangers_write_is_put_right(
        steps in proptest::collection::vec(prop_oneof![5 => any_step(), 1 => any_vandalism().prop_map(Step::Meddle)], 1..60)
    ) {
        run(steps, true);
    }
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => any_deed().prop_map(|deed| Step::Do(Box::new(deed))),
        1 => (any_number(), any::<bool>()).prop_map(|(claim, has_owner)| Step::Meddle(Meddling::SetOwner(claim, has_owner))),
        4 => prop_oneof![
            select(vec![1, 100, 1000, 2000, 5000, 10_000, 70_000]).prop_map(Step::Wait),
            Just(Step::WaitForTimeout),
        ],
        8 => (any_number(), any_watch()).prop_map(|(replica, watching)| Step::Watch(replica, watching)),
        24 => (any_number(), any_call()).prop_map(|(replica, calling)| Step::Call(replica, calling)),
        2 => any_number().prop_map(Step::LandLate),
        2 => prop_oneof![
            1 => any::<bool>().prop_map(Step::SetFinalizer),
            2 => Just(Step::Crash),
            3 => std::array::from_fn::<_, { Kind::ALL.len() }, _>(|_| 0_usize..4).prop_map(Step::TakeOver),
            1 => Just(Step::Retire),
        ],
    ]
}

pub(crate) fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (any_number(), any_request()).prop_map(|(number, request)| Deed::PutService(number, request)),
        2 => any_number().prop_map(Deed::DeleteService),
        2 => any_pool().prop_map(|pool| Deed::PutPool(Box::new(pool))),
        1 => any_number().prop_map(Deed::DeletePool),
        2 => any_reservation().prop_map(Deed::Reserve),
        1 => prop_oneof![
            any_number().prop_map(Deed::Unreserve),
            any_number().prop_map(Deed::DeleteReservation),
        ],
        1 => proptest::option::of(select(addresses())).prop_map(Deed::SetNode),
        1 => (select(vec!["default", "other"]), any_labels("team"))
            .prop_map(|(name, labels)| Deed::LabelNamespace(name, labels)),
    ]
}

fn any_reservation() -> impl Strategy<Value = ClaimSpec> {
    let names = proptest::sample::subsequence(vec!["s0", "s1", "s2"], 0..=2);
    let pool = proptest::option::weighted(0.2, select(vec!["a", "b"]));
    let address = prop_oneof![
        4 => select(vec!["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.255", "fd00::", "fd00::1"]),
        1 => Just("8.8.8.8"),
    ];
    (address, names, pool).prop_map(|(address, names, pool)| ClaimSpec {
        pool: pool.map(Into::into),
        ..mk_reservation(address, &names)
    })
}

fn any_watch() -> impl Strategy<Value = Watching> {
    let kind = || select(Kind::ALL.to_vec());
    prop_oneof![
        6 => kind().prop_map(Watching::Show),
        1 => (kind(), 1_usize..5).prop_map(|(kind, events)| Watching::ShowAgain(kind, events)),
        1 => Just(Watching::Relist),
    ]
}

fn any_call() -> impl Strategy<Value = Calling> {
    let fate = select(vec![Fate::Landed, Fate::Late, Fate::Never]);
    prop_oneof![
        6 => (1_usize..12).prop_map(Calling::Work),
        6 => Just(Calling::Begin),
        4 => any_number().prop_map(Calling::Finish),
        3 => (any_number(), fate).prop_map(|(call, fate)| Calling::Lose(call, fate)),
        1 => any_number().prop_map(Calling::Reject),
        1 => any_number().prop_map(Calling::Throttle),
    ]
}

fn any_vandalism() -> impl Strategy<Value = Meddling> {
    let state = select(vec![
        None,
        Some(ClaimState::Held),
        Some(ClaimState::Releasing),
        Some(ClaimState::Quarantined),
    ]);
    let act = prop_oneof![
        Just(Vandalism::Delete),
        Just(Vandalism::ChangePool),
        Just(Vandalism::ChangePorts),
        state.prop_map(Vandalism::SetState),
        Just(Vandalism::EmptyHolders),
        (0_usize..3).prop_map(Vandalism::DropHolder),
        (0_usize..3, any_number()).prop_map(|(place, service)| Vandalism::GiveTo(place, service)),
        any_number().prop_map(Vandalism::AddHolder),
        any_number().prop_map(Vandalism::SetLastHolder),
        Just(Vandalism::DateForward),
    ];
    let shown = prop_oneof![Just(None), select(addresses()).prop_map(Some)];
    let status = prop_oneof![
        2 => shown.prop_map(StatusEdit::Show),
        3 => select(vec![
            StatusEdit::Reform,
            StatusEdit::Hostname,
            StatusEdit::DropCondition,
            StatusEdit::ForgeCondition,
            StatusEdit::DropPool,
            StatusEdit::ForgePool,
            StatusEdit::DropFinalizer,
        ]),
    ];
    prop_oneof![
        2 => (any_number(), act).prop_map(|(claim, act)| Meddling::EditClaim(claim, act)),
        2 => (any_number(), status).prop_map(|(service, edit)| Meddling::EditStatus(service, edit)),
    ]
}

fn any_number() -> impl Strategy<Value = usize> {
    0_usize..6
}

pub(crate) fn any_request() -> impl Strategy<Value = ServiceRequest> {
    let eligibility = prop_oneof![
        12 => Just(Eligibility::Eligible),
        2 => Just(Eligibility::NotLoadBalancer),
        1 => Just(Eligibility::ForeignClass),
        1 => Just(Eligibility::Deleting),
    ];
    let families = prop_oneof![
        6 => Just(vec!["10.96.0.1"]),
        1 => Just(vec!["fd96::1"]),
        3 => Just(vec!["10.96.0.1", "fd96::1"]),
        1 => Just(vec!["fd96::1", "10.96.0.1"]),
        1 => Just(Vec::new()),
    ];
    let policy = select(vec![
        FamilyPolicy::SingleStack,
        FamilyPolicy::PreferDualStack,
        FamilyPolicy::RequireDualStack,
    ]);
    let pool = proptest::option::weighted(0.2, select(vec!["a", "b", "c"]));
    let labels = any_labels("tier");
    (
        eligibility,
        families,
        policy,
        any_wish(),
        pool,
        any_terms(),
        labels,
    )
        .prop_map(
            |(eligibility, families, policy, addresses, pool, terms, labels)| {
                let cluster_ips: Vec<_> = families.into_iter().map(ip).collect();
                ServiceRequest {
                    eligibility,
                    family_policy: policy,
                    primary_family: cluster_ips.first().copied().map(Family::of),
                    cluster_ips,
                    addresses,
                    pool: pool.map(Into::into),
                    labels,
                    ports: terms.ports,
                    traffic_policy: terms.policy,
                    sharing_key: terms.key,
                    selector: terms.selector,
                }
            },
        )
}

/// What decides with whom a Service may share, with values close together so that many may.
fn any_terms() -> impl Strategy<Value = Terms> {
    let port = |(protocol, port)| ServicePort { protocol, port };
    let ports = vec![
        port((Protocol::Tcp, 80)),
        port((Protocol::Tcp, 81)),
        port((Protocol::Tcp, 82)),
        port((Protocol::Udp, 80)),
    ];
    let ports = proptest::sample::subsequence(ports, 1..3);
    let key = prop_oneof![
        2 => Just(None),
        3 => Just(Some("k1".to_owned())),
        1 => Just(Some("k2".to_owned())),
    ];
    // The pods that are selected, under policy Local.
    let local = prop_oneof![5 => Just(None), 1 => Just(Some("a")), 1 => Just(Some("b"))];
    (key, ports, local).prop_map(|(key, ports, local)| {
        let policy = match local {
            Some(_) => TrafficPolicy::Local,
            None => TrafficPolicy::Cluster,
        };
        let app = local.filter(|_| key.is_some());
        let selector = app.map(|app| ("app".to_owned(), app.to_owned()));
        Terms {
            key,
            ports,
            policy,
            selector: selector.into_iter().collect(),
        }
    })
}

fn any_wish() -> impl Strategy<Value = AddressWish> {
    let text = select(vec![
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.1,fd00::",
        "10.0.0.2,fd00::2",
        "10.0.0.255",
        "fd00::",
        "192.168.0.1",
        "nonsense",
    ]);
    prop_oneof![
        3 => Just(AddressWish::Any),
        1 => text.prop_map(|text| AddressWish::parse(None, Some(text))),
    ]
}

pub(crate) fn any_pool() -> impl Strategy<Value = Pool> {
    let entry = select(vec![
        "10.0.0.0/31",
        "10.0.0.2/31",
        "10.0.0.1-10.0.0.2",
        "10.0.0.255-10.0.1.1",
        "fd00::/127",
        "fd00::1-fd00::2",
        "garbage",
    ]);
    let entries = proptest::collection::vec(entry, 1..4);
    let exclude = proptest::collection::vec(select(vec!["10.0.0.1", "fd00::/128", "garbage"]), 0..2);
    let flags = (
        any::<bool>(),
        proptest::bool::weighted(0.8),
        any::<bool>(),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.1),
    );
    let rest = select(vec![0, 0, 3, 60]);
    let name = select(vec!["a", "b", "c"]);
    (name, entries, exclude, flags, rest, any_allocation()).prop_map(
        |(
            name,
            entries,
            exclude,
            (avoids, is_automatic, is_lan, is_crossing, is_unreadable),
            rest,
            allocation,
        )| {
            let mut pool = mk_pool(name, &entries);
            pool.spec.exclude = exclude.into_iter().map(ToOwned::to_owned).collect();
            pool.spec.avoid_buggy_ips = avoids;
            pool.spec.auto_assign = is_automatic;
            pool.spec.quarantine = Duration::from_secs(rest);
            pool.spec.allocation = allocation;
            if is_crossing {
                pool.spec.sharing = Sharing::CrossNamespace;
            }
            if is_lan {
                pool.spec.advertisements = vec!["lan".to_owned()];
            }
            if is_unreadable {
                make_unreadable(&mut pool);
            }
            pool
        },
    )
}

/// For half of the pools nothing, as most people have it.
fn any_allocation() -> impl Strategy<Value = Allocation> {
    let namespaces = prop_oneof![
        3 => Just(BTreeSet::new()),
        1 => select(vec!["default", "other"]).prop_map(|name| BTreeSet::from([name.to_owned()])),
    ];
    let namespace_selectors = proptest::collection::vec(any_selector("team"), 0..2);
    let service_selectors = proptest::collection::vec(any_selector("tier"), 0..2);
    let priority = proptest::option::of(0_u32..2);
    let quota = proptest::option::weighted(0.3, 1_u32..3);
    let some = (
        namespaces,
        namespace_selectors,
        service_selectors,
        priority,
        quota,
    )
        .prop_map(
            |(namespaces, namespace_selectors, service_selectors, priority, max_per_namespace)| Allocation {
                priority,
                namespaces,
                namespace_selectors,
                service_selectors,
                max_per_namespace,
            },
        );
    prop_oneof![Just(Allocation::default()), some]
}

fn any_selector(label: &'static str) -> impl Strategy<Value = Selector> {
    let values = |value: &str| BTreeSet::from([value.to_owned()]);
    let requirement = select(vec![
        Requirement::In(label.to_owned(), values("a")),
        Requirement::In(label.to_owned(), values("b")),
        Requirement::DoesNotExist(label.to_owned()),
        Requirement::Invalid,
    ]);
    requirement.prop_map(|requirement| Selector {
        requirements: vec![requirement],
    })
}

fn any_labels(label: &'static str) -> impl Strategy<Value = Labels> {
    let value = select(vec![None, Some("a"), Some("b")]);
    value.prop_map(|value| {
        let labels = value.map(|value| (label.to_owned(), value.to_owned()));
        labels.into_iter().collect()
    })
}
