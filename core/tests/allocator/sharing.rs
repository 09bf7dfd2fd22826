//! Several Services on one address: who may join, who goes when somebody changes, and who is told
//! what.

mod namespaces;
mod waiting;

use std::time::Duration;

use ferrolb_core::address::Family;
use ferrolb_core::claim::ClaimState;
use ferrolb_core::pool::Sharing;
use ferrolb_core::request::{Eligibility, FamilyPolicy, Ingress, Service};
use ferrolb_core::selector::Labels;
use ferrolb_core::service::{Protocol, ServiceKey, ServicePort, TrafficPolicy};

use crate::objects::{
    asking, in_namespace, ip, key, mk_dual_service, mk_pool, mk_service, mk_sharer, resting,
};
use crate::world::World;

const SOON: Duration = Duration::from_secs(5);
const NOTHING: [&str; 0] = [];

fn port(protocol: Protocol, port: u16) -> Vec<ServicePort> {
    vec![ServicePort { protocol, port }]
}

fn edit(world: &mut World, name: &str, edit: impl FnOnce(&mut Service)) {
    world.api.edit_service(&key(name), edit);
    world.run(SOON);
}

fn to_local(app: &str) -> impl FnOnce(&mut Service) {
    let selector = Labels::from([("app".to_owned(), app.to_owned())]);
    move |service: &mut Service| {
        service.request.traffic_policy = TrafficPolicy::Local;
        service.request.selector = selector;
    }
}

/// Who holds an address by its claim.
fn holders(world: &World, address: &str) -> Vec<String> {
    let claim = world.api.claims.get(&ip(address));
    let holders = claim.into_iter().flat_map(|claim| &claim.spec.holders);
    holders.map(|holder| holder.service.name.to_string()).collect()
}

/// A pool of so many addresses, and Services of key `k` with TCP ports 80, 81 ... .
fn mk_world(entry: &str, names: &[&str]) -> World {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &[entry]));
    for (name, tcp) in names.iter().zip(80..) {
        world.api.create_service(mk_sharer(name, "k", tcp));
        world.run(SOON);
    }
    world
}

#[test]
fn services_of_one_key_share_an_address_unless_a_port_is_used_twice() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.4.0/29"]));
    world
        .api
        .create_service(asking(mk_sharer("s4", "share", 80), "1.2.4.3"));
    world.api.create_service(mk_sharer("s3", "share", 443));
    let mut udp = mk_sharer("udp", "share", 80);
    udp.request.ports = port(Protocol::Udp, 80);
    world.api.create_service(udp);
    world.api.create_service(mk_sharer("same-port", "share", 80));
    world.api.create_service(mk_sharer("other-key", "other", 8080));
    world.api.create_service(mk_service("no-key"));
    world.run(SOON);
    for sharer in ["s4", "s3", "udp"] {
        assert_eq!(world.shown(sharer), ["1.2.4.3"], "{sharer}");
        assert_eq!(world.message(sharer), "1.2.4.3 from pool pool");
    }
    for (other, own) in [
        ("same-port", "1.2.4.0"),
        ("other-key", "1.2.4.1"),
        ("no-key", "1.2.4.2"),
    ] {
        assert_eq!(world.shown(other), [own], "{other}");
    }
    let claim = &world.api.claims[&ip("1.2.4.3")];
    let held_by = claim.spec.held_by.as_deref();
    assert_eq!(held_by, Some("default/s3, default/s4, default/udp"));
    let counts = world.api.pools["pool"].status.clone().expect("counts").v4;
    assert_eq!((counts.assigned, counts.available), (4, 4), "shared counts once");
    world.assert_at_rest();
}

#[test]
fn of_two_that_share_the_one_that_changes_goes_and_comes_back_when_both_agree() {
    let mut world = mk_world("1.2.3.0/32", &["s1", "s2"]);
    assert_eq!(holders(&world, "1.2.3.0"), ["s1", "s2"]);
    edit(&mut world, "s2", to_local("web"));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), NOTHING);
    assert_eq!(world.reason("s2"), "PoolExhausted");
    assert_eq!(
        world.message("s2"),
        "No IPv4 address: pool pool has none free; and none that is held under sharing key k goes with it"
    );
    world.assert_at_rest();
    edit(&mut world, "s1", to_local("web"));
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_change_is_judged_alike_by_a_controller_that_was_away() {
    for is_away in [false, true] {
        for changed in ["s1", "s2"] {
            let mut world = mk_world("1.2.3.0/31", &["s1", "s2"]);
            if is_away {
                world.replicas.clear();
            }
            world.api.edit_service(&key(changed), |service| {
                // The port of the other one.
                let other = if changed == "s1" { 81 } else { 80 };
                service.request.ports = port(Protocol::Tcp, other);
            });
            if is_away {
                world.restart();
            }
            world.run(SOON);
            let stays = if changed == "s1" { "s2" } else { "s1" };
            assert_eq!(
                world.shown(stays),
                ["1.2.3.0"],
                "{changed} changed, away: {is_away}"
            );
            assert_eq!(world.shown(changed), ["1.2.3.1"], "it moves");
            world.assert_at_rest();
        }
    }
}

#[test]
fn who_stays_may_take_over_a_port_of_one_that_was_deleted_while_nobody_looked() {
    let mut world = mk_world("1.2.3.0/31", &["s1", "s2"]);
    world.replicas.clear();
    world.api.delete_service(&key("s1"));
    world.api.edit_service(&key("s2"), |service| {
        service.request.ports = port(Protocol::Tcp, 80);
    });
    world.restart();
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    assert_eq!(holders(&world, "1.2.3.0"), ["s2"]);
    world.assert_at_rest();
}

#[test]
fn a_sole_holder_changes_key_ports_and_policy_in_place() {
    let mut world = mk_world("1.2.3.0/30", &["s1"]);
    edit(&mut world, "s1", |service| {
        service.request.sharing_key = Some("other".to_owned());
        service.request.ports = port(Protocol::Udp, 53);
    });
    edit(&mut world, "s1", to_local("web"));
    edit(&mut world, "s1", |service| service.request.sharing_key = None);
    assert_eq!(world.shown("s1"), ["1.2.3.0"]);
    let holder = &world.api.claims[&ip("1.2.3.0")].spec.holders[0];
    assert_eq!((holder.sharing_key.as_deref(), holder.ports[0].port), (None, 53));
    world.assert_at_rest();
}

#[test]
fn one_leaves_and_the_others_stay_and_the_last_one_out_may_come_back() {
    let mut world = mk_world("1.2.3.0/30", &["s1", "s2", "s3"]);
    world
        .api
        .edit_pool("pool", |pool| pool.spec.quarantine = Duration::from_secs(60));
    world.run(SOON);
    let uid = world.api.claims[&ip("1.2.3.0")].uid.clone();
    world.api.delete_service(&key("s1"));
    world.run(SOON);
    assert_eq!(holders(&world, "1.2.3.0"), ["s2", "s3"]);
    assert_eq!(world.api.claims[&ip("1.2.3.0")].uid, uid, "the claim goes on");
    edit(&mut world, "s3", |service| {
        service.request.eligibility = Eligibility::NotLoadBalancer;
    });
    assert_eq!(holders(&world, "1.2.3.0"), ["s2"]);
    assert_eq!(
        world.api.services[&key("s3")].status.condition,
        None,
        "its marks are gone"
    );
    world.api.delete_service(&key("s2"));
    world.run(SOON);
    let claim = &world.api.claims[&ip("1.2.3.0")];
    assert_eq!(claim.spec.state, Some(ClaimState::Quarantined));
    assert_eq!(claim.spec.last_holder, Some(key("s2")));
    // It rests for the last one; who was there earlier, or has the key, is somebody else.
    world.api.create_service(mk_sharer("s1", "k", 80));
    world.run(SOON);
    assert_eq!(world.shown("s1"), ["1.2.3.1"]);
    world.api.create_service(mk_sharer("s2", "k", 81));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

/// The marks of one that leaves are removed before its claim forgets it, or nobody would look.
#[test]
fn a_controller_that_dies_while_one_of_several_leaves_loses_none_of_its_marks() {
    for steps in 0..40 {
        let mut world = mk_world("1.2.3.0/30", &["s1", "s2"]);
        for name in ["s1", "s2"] {
            world.api.edit_service(&key(name), |service| {
                service.request.eligibility = Eligibility::NotLoadBalancer;
            });
        }
        for _ in 0..steps {
            world.step(0);
        }
        world.restart();
        world.run(SOON);
        for name in ["s1", "s2"] {
            let status = &world.api.services[&key(name)].status;
            assert_eq!(status.condition, None, "{name} after {steps} steps");
        }
        assert_eq!(world.api.claims.len(), 0, "after {steps} steps");
        world.assert_at_rest();
    }
}

#[test]
fn an_address_asked_for_is_shared_or_refused_with_what_stands_against_it() {
    let port_80 = "which is held by default/s1, which uses TCP/80 too";
    let local = |mut service: Service| {
        to_local("web")(&mut service);
        service
    };
    for (service, reason, message) in [
        (mk_sharer("s", "k", 81), "Assigned", "1.2.3.0 from pool pool"),
        (mk_sharer("s", "k", 80), "SharingRefused", port_80),
        (
            local(mk_sharer("s", "k", 81)),
            "SharingRefused",
            "which is held by default/s1, whose externalTrafficPolicy is Cluster",
        ),
        (
            in_namespace(mk_sharer("s", "k", 81), "other"),
            "SharingRefused",
            "which is held by default/s1 of another namespace, and the pool does not say sharing: CrossNamespace",
        ),
        (
            mk_sharer("s", "other", 81),
            "AddressInUse",
            "which is held by default/s1, which has another sharing key",
        ),
        (mk_service("s"), "AddressInUse", "which is held by default/s1"),
    ] {
        let mut world = mk_world("1.2.3.0/30", &["s1"]);
        let name = service.key.clone();
        world.api.create_service(asking(service, "1.2.3.0"));
        world.run(SOON);
        let condition = world.api.services[&name]
            .status
            .condition
            .clone()
            .expect("a condition");
        assert_eq!(condition.reason, reason);
        let message = match reason {
            "Assigned" => message.to_owned(),
            _ => format!("The Service asks for 1.2.3.0, {message}"),
        };
        assert_eq!(condition.message, message);
        world.assert_at_rest();
    }
}

#[test]
fn who_asks_for_an_address_is_told_of_its_holders_key_as_it_is() {
    let mut world = mk_world("1.2.3.0/30", &["s1"]);
    edit(&mut world, "s1", |service| service.request.sharing_key = None);
    world
        .api
        .create_service(asking(mk_sharer("s2", "k", 81), "1.2.3.0"));
    world.run(SOON);
    assert_eq!(
        world.message("s2"),
        "The Service asks for 1.2.3.0, which is held by default/s1, which has no sharing key"
    );
    world.assert_at_rest();
    // Once it is willing to share, the one that asks is served.
    edit(&mut world, "s1", |service| {
        service.request.sharing_key = Some("k".to_owned());
    });
    assert_eq!(world.shown("s2"), ["1.2.3.0"]);
    world.assert_at_rest();
}

#[test]
fn a_foreign_edit_of_a_claim_with_several_holders_is_repaired() {
    let mut world = mk_world("1.2.3.0/30", &["s1", "s2"]);
    let written = world.api.claims[&ip("1.2.3.0")].spec.clone();
    let edits: [&dyn Fn(&mut ferrolb_core::claim::ClaimSpec); 4] = [
        &|spec| drop(spec.holders.remove(0)),
        &|spec| spec.holders.clear(),
        &|spec| spec.holders[1].ports = port(Protocol::Tcp, 80),
        &|spec| {
            spec.holders.truncate(1);
            spec.holders[0].service = key("nobody");
        },
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        world.api.edit_claim(ip("1.2.3.0"), |claim| edit(&mut claim.spec));
        world.run(SOON);
        let repaired = &world.api.claims[&ip("1.2.3.0")].spec;
        assert_eq!(repaired.holders, written.holders, "edit {number}");
        assert_eq!(world.shown("s1"), ["1.2.3.0"]);
        assert_eq!(world.shown("s2"), ["1.2.3.0"]);
        world.assert_at_rest();
    }
}

#[test]
fn both_families_are_shared_from_one_pool_and_each_where_it_can_be() {
    let mut world = World::new();
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/31", "1000::/127"]));
    let dual = |name, tcp| {
        let mut service = mk_dual_service(name, FamilyPolicy::RequireDualStack, Family::V4);
        service.request.sharing_key = Some("k".to_owned());
        service.request.ports = port(Protocol::Tcp, tcp);
        service
    };
    world.api.create_service(mk_sharer("four", "k", 80));
    world.api.create_service(dual("d1", 81));
    world.api.create_service(dual("d2", 82));
    world.run(SOON);
    assert_eq!(world.shown("d1"), ["1.2.3.0", "1000::"]);
    assert_eq!(world.shown("d2"), ["1.2.3.0", "1000::"]);
    // One family is shared, and the other is not.
    world.api.create_service(dual("d3", 80));
    world.run(SOON);
    assert_eq!(world.shown("d3"), ["1.2.3.1", "1000::"]);
    world.assert_at_rest();
}

/// What it takes away is recorded first: a status may be written only when its claim says so, and
/// the claim must not say that a port is used twice, however slowly the one that goes lets go.
#[test]
fn a_port_is_recorded_for_its_next_user_only_when_the_former_one_has_let_go() {
    let mut world = mk_world("1.2.3.0/31", &["s1", "s2"]);
    // They change places.
    world.api.edit_service(&key("s1"), |service| {
        service.request.ports = port(Protocol::Tcp, 81);
    });
    world.api.edit_service(&key("s2"), |service| {
        service.request.ports = port(Protocol::Tcp, 80);
    });
    // The oracle looks at every write on the way.
    world.run(SOON);
    let mut shown = [world.shown("s1").join(" "), world.shown("s2").join(" ")];
    shown.sort();
    assert!(shown.contains(&"1.2.3.0".to_owned()), "{shown:?}");
    world.assert_at_rest();
}
