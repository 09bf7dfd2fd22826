//! Others who insist: whatever of ours they change back, we repair it ever more rarely, and say so once.

use std::time::Duration;

use ferrolb_core::allocator::{Notice, Regarding};
use ferrolb_core::claim::{Claim, ClaimState};
use ferrolb_core::object::Uid;
use ferrolb_core::request::{Ingress, Service, ServiceStatus};

use crate::objects::{ip, key, mk_pool, mk_service};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);
/// How often the rival looks.
const EVERY: Duration = Duration::from_millis(100);
/// How many times it looks: for a minute.
const LOOKS: usize = 600;
/// Our repairs of a status meanwhile: at once, then after 1, 2, 4, 8 and 16 s.
const PATIENT: usize = 6;
/// Our repairs of a claim: at once, then after 1, 2, 4 and 8 s, and every 15 s.
const PATIENT_WITH_CLAIMS: usize = 8;
/// After this long nobody contests anything any more.
const CALM: Duration = Duration::from_secs(1200);

/// What a rival does to a Service, every time.
struct Rivalry {
    name: &'static str,
    edit: fn(&mut Service),
    /// What the condition must say of it.
    says: &'static str,
}

const RIVALRIES: [Rivalry; 11] = [
    Rivalry {
        name: "another address",
        edit: |service| service.status.ingress = vec![Ingress::vip(ip("9.9.9.9"))],
        says: "rival keeps changing status.loadBalancer back",
    },
    Rivalry {
        name: "no address",
        edit: |service| service.status.ingress.clear(),
        says: "rival keeps changing status.loadBalancer back",
    },
    Rivalry {
        name: "a hostname",
        edit: |service| service.status.ingress = vec![Ingress::default()],
        says: "rival keeps changing status.loadBalancer back",
    },
    Rivalry {
        name: "the address in another form",
        edit: |service| service.status.ingress[0].is_ours = false,
        says: "rival keeps changing status.loadBalancer back",
    },
    Rivalry {
        name: "the address twice",
        edit: |service| service.status.ingress = vec![Ingress::vip(ip("1.2.3.0")); 2],
        says: "rival keeps changing status.loadBalancer back",
    },
    Rivalry {
        name: "no condition",
        edit: |service| service.status.condition = None,
        says: "somebody keeps changing the condition ferrolb.io/AddressAssigned back",
    },
    Rivalry {
        name: "another condition",
        edit: |service| {
            let condition = service.status.condition.as_mut().expect("a condition");
            (condition.status, condition.reason) = (false, "Nonsense".to_owned());
        },
        says: "somebody keeps changing the condition ferrolb.io/AddressAssigned back",
    },
    Rivalry {
        name: "no annotation",
        edit: |service| service.status.allocated_from = None,
        says: "somebody keeps changing the annotation ferrolb.io/allocated-from-pool back",
    },
    Rivalry {
        name: "another annotation",
        edit: |service| service.status.allocated_from = Some("elsewhere".into()),
        says: "somebody keeps changing the annotation ferrolb.io/allocated-from-pool back",
    },
    Rivalry {
        name: "no finalizer",
        edit: |service| service.status.has_finalizer = false,
        says: "somebody keeps changing the finalizer service.kubernetes.io/load-balancer-cleanup back",
    },
    Rivalry {
        name: "nothing of ours",
        edit: |service| service.status = Default::default(),
        says: "rival keeps changing status.loadBalancer back",
    },
];

/// Services s1 at 1.2.3.0 and s2 at 1.2.3.1, and s3, which waits.
fn mk_world() -> World {
    let mut world = World::new();
    world.restart_with(true);
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/31"]));
    for name in ["s1", "s2", "s3"] {
        world.api.create_service(mk_service(name));
    }
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.reason("s3"), "PoolExhausted");
    // The rival comes when all has been well for a while.
    world.run(Duration::from_secs(60));
    world.replicas[0].notices.clear();
    world
}

/// For a minute a rival changes a Service back as often as it finds it changed.
fn contest(world: &mut World, name: &str, edit: fn(&mut Service)) {
    for _ in 0..LOOKS {
        let mut edited = world.api.services[&key(name)].clone();
        edit(&mut edited);
        let before = &world.api.services[&key(name)].status;
        let after = ServiceStatus {
            other_manager: before.other_manager.clone(),
            ..edited.status
        };
        if after != *before {
            let is_loadbalancer = after.ingress != before.ingress;
            world.api.edit_service(&key(name), |service| {
                service.status = after;
                service.status.other_manager = is_loadbalancer.then(|| "rival".to_owned());
            });
        }
        world.run(EVERY);
    }
}

/// Our writes of a kind since a point.
fn writes(world: &World, since: usize, kind: &str) -> usize {
    let writes = world.api.writes[since..].iter();
    writes.filter(|write| write.contains(kind)).count()
}

fn told(world: &World) -> Vec<(&str, &str)> {
    let notices = world.replicas[0].notices.iter();
    let told = notices.map(|notice| (notice.reason.as_str(), notice.message.as_str()));
    told.collect()
}

#[test]
fn whatever_a_rival_changes_back_is_repaired_ever_more_rarely_and_said_once() {
    for Rivalry { name, edit, says } in RIVALRIES {
        let mut world = mk_world();
        let start = world.api.writes.len();
        contest(&mut world, "s1", edit);
        let ours = writes(&world, start, "PatchService");
        assert!((3..=PATIENT).contains(&ours), "{name}: {ours} writes in a minute");
        let [(reason, message)] = told(&world)[..] else {
            panic!("{name}: {:?}", told(&world));
        };
        assert_eq!(reason, "StatusContested", "{name}");
        assert!(message.starts_with(says), "{name}: {message}");

        // It gives up: all is well again, and that is told once.
        world.run(CALM);
        assert_eq!(world.shown("s1"), ["1.2.3.0"], "{name}");
        let [_, (reason, _)] = told(&world)[..] else {
            panic!("{name}: {:?}", told(&world));
        };
        assert_eq!(reason, "Assigned", "{name}");
        world.api.edit_service(&key("s1"), |service| {
            service.status.other_manager = None;
        });
        world.assert_at_rest();
    }
}

#[test]
fn the_condition_says_so_while_it_lasts_and_the_metric_counts_it() {
    let mut world = mk_world();
    contest(&mut world, "s1", |service| {
        service.status.ingress = vec![Ingress::vip(ip("9.9.9.9"))];
    });
    assert_eq!(world.reason("s1"), "StatusContested");
    let refusals = world.replicas[0].allocator.refusals();
    let counts: Vec<_> = refusals
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect();
    assert_eq!(counts, [("PoolExhausted", 1), ("StatusContested", 1)]);
}

#[test]
fn who_has_no_address_is_told_why_and_who_changes_its_status() {
    let mut world = mk_world();
    let start = world.api.writes.len();
    // Somebody else's address: that is taken off it.
    contest(&mut world, "s3", |service| {
        service.status.ingress = vec![Ingress::vip(ip("1.2.3.0"))];
    });
    let ours = writes(&world, start, "PatchService");
    assert!((3..=PATIENT).contains(&ours), "{ours} writes in a minute");
    let [(reason, message)] = told(&world)[..] else {
        panic!("{:?}", told(&world));
    };
    assert_eq!(reason, "PoolExhausted");
    assert!(
        message.contains("; besides, rival keeps changing status.loadBalancer back"),
        "{message}"
    );
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    world.run(CALM);
    assert_eq!(world.shown("s3"), [""; 0]);
    assert!(!world.message("s3").contains("rival"), "{}", world.message("s3"));
    world.assert_at_rest();
}

#[test]
fn a_repair_that_says_what_was_said_is_no_news() {
    let mut world = mk_world();
    for _ in 0..3 {
        world
            .api
            .edit_service(&key("s1"), |service| service.status.condition = None);
        world.run(Duration::from_secs(100));
        assert_eq!(world.reason("s1"), "Assigned");
    }
    assert_eq!(told(&world), []);
}

#[test]
fn a_rival_does_not_hold_up_a_deletion() {
    let mut world = mk_world();
    contest(&mut world, "s1", |service| service.status.ingress.clear());
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert!(!world.api.services.contains_key(&key("s1")));
    assert_eq!(world.shown("s3"), ["1.2.3.0"]);
}

/// What a stranger does to a claim.
type Edit = fn(&mut Claim);

/// The same every time.
const EDITS: [(&str, Edit); 8] = [
    ("no holders", |claim| claim.spec.holders.clear()),
    ("released", |claim| {
        claim.spec.state = Some(ClaimState::Releasing);
        claim.spec.holders.clear();
        claim.spec.last_holder = Some(key("s3"));
    }),
    ("given to who waits", |claim| {
        claim.spec.holders[0].service = key("s3");
    }),
    ("another identity", |claim| {
        claim.spec.holders[0].uid = Uid::from("other");
    }),
    ("no ports", |claim| claim.spec.holders[0].ports.clear()),
    ("at rest", |claim| {
        claim.spec.state = Some(ClaimState::Quarantined);
    }),
    ("another pool", |claim| claim.spec.pool = Some("elsewhere".into())),
    ("another word", |claim| claim.spec.held_by = Some("me".to_owned())),
];

/// For a minute a stranger does something to the claim of s1 as often as it can; meanwhile the
/// address is nobody else's. How often we wrote, and what we told.
fn meddle(world: &mut World, act: impl Fn(&mut World)) -> (usize, Vec<Notice>) {
    world.is_vandalized = true;
    let start = world.api.writes.len();
    for _ in 0..LOOKS {
        act(world);
        world.run(EVERY);
        let shown = ["s1", "s2", "s3"].map(|name| world.shown(name).join(","));
        assert_eq!(shown, ["1.2.3.0", "1.2.3.1", ""]);
    }
    let ours = writes(world, start, "Claim");
    let told = std::mem::take(&mut world.replicas[0].notices);
    world.run(CALM);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert!(world.api.claims[&ip("1.2.3.0")].names(&key("s1")));
    world.assert_at_rest();
    (ours, told)
}

fn assert_patient(name: &str, (ours, told): &(usize, Vec<Notice>)) {
    assert!(
        (3..=PATIENT_WITH_CLAIMS).contains(ours),
        "{name}: {ours} writes in a minute"
    );
    let [told] = &told[..] else {
        panic!("{name}: {told:?}");
    };
    let claim = Regarding::Claim {
        address: ip("1.2.3.0"),
    };
    assert_eq!(
        (&told.regarding, told.reason.as_str()),
        (&claim, "ClaimContested"),
        "{name}"
    );
}

#[test]
fn a_claim_that_a_stranger_insists_on_is_repaired_ever_more_rarely_and_lent_to_nobody_else() {
    for (name, edit) in EDITS {
        let mut world = mk_world();
        let result = meddle(&mut world, |world| {
            let claim = &world.api.claims[&ip("1.2.3.0")];
            let mut edited = claim.clone();
            edit(&mut edited);
            if edited != *claim {
                world.api.edit_claim(ip("1.2.3.0"), edit);
            }
        });
        assert_patient(name, &result);
    }
}

#[test]
fn a_claim_that_a_stranger_keeps_deleting_is_made_anew_ever_more_rarely() {
    let mut world = mk_world();
    let result = meddle(&mut world, |world| {
        if world.api.claims.contains_key(&ip("1.2.3.0")) {
            world.api.remove_claim(ip("1.2.3.0"));
        }
    });
    assert_patient("deleted", &result);
}
