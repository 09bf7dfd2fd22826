//! Sharing across namespaces, where a pool allows it and where it was so before.

use super::*;

#[test]
fn namespaces_share_where_the_pool_says_so_and_who_shares_goes_on_when_it_says_so_no_more() {
    let mut world = mk_world("1.2.3.0/30", &["s1"]);
    let of = |name: &str| ServiceKey::new("other", name);
    let other = |name: &str, tcp| in_namespace(mk_sharer(name, "k", tcp), "other");
    world.api.create_service(other("apart", 90));
    world.run(SOON);
    assert_eq!(world.api.shown(&of("apart")), ["1.2.3.1"]);
    world
        .api
        .edit_pool("pool", |pool| pool.spec.sharing = Sharing::CrossNamespace);
    world.api.create_service(other("together", 91));
    world.run(SOON);
    assert_eq!(world.api.shown(&of("together")), ["1.2.3.0"]);
    assert_eq!(
        world.api.shown(&of("apart")),
        ["1.2.3.1"],
        "nobody moves for that"
    );
    world
        .api
        .edit_pool("pool", |pool| pool.spec.sharing = Sharing::SameNamespace);
    world.run(SOON);
    assert_eq!(world.api.shown(&of("together")), ["1.2.3.0"]);
    world.assert_at_rest();
    // Also after a restart, which assert_at_rest made; but nobody joins any more.
    world.api.create_service(mk_sharer("s2", "k", 92));
    world.run(SOON);
    assert_eq!(world.shown("s2"), ["1.2.3.2"]);
    world.assert_at_rest();
}

#[test]
fn services_that_show_one_address_already_are_adopted_together_also_across_namespaces() {
    let mut world = World::new();
    for (namespace, name, tcp) in [("a", "s1", 80), ("b", "s2", 81), ("b", "s3", 81)] {
        let mut service = in_namespace(mk_sharer(name, "k", tcp), namespace);
        service.status.ingress = vec![Ingress::vip(ip("1.2.3.0"))];
        world.api.create_service(service);
    }
    world.api.put_pool(mk_pool("pool", &["1.2.3.0/30"]));
    world.run(SOON);
    assert_eq!(holders(&world, "1.2.3.0"), ["s1", "s2"]);
    // The port is taken: the oldest two go together, and the third does not.
    assert_eq!(world.api.shown(&ServiceKey::new("b", "s3")), ["1.2.3.1"]);
    world.assert_at_rest();
}

#[test]
fn a_forged_status_joins_nobody_of_another_namespace() {
    let mut world = mk_world("1.2.3.0/30", &["s1"]);
    let forge = |world: &mut World, name: &str, tcp| {
        let mut service = in_namespace(mk_sharer(name, "k", tcp), "tenant");
        service.status.ingress = vec![Ingress::vip(ip("1.2.3.0"))];
        world.api.create_service(service);
    };
    forge(&mut world, "f1", 90);
    world.run(SOON);
    assert_eq!(holders(&world, "1.2.3.0"), ["s1"]);
    assert_eq!(world.api.shown(&ServiceKey::new("tenant", "f1")), ["1.2.3.1"]);
    // Nor while the claim is away for a moment, nor while the controller is.
    world.api.remove_claim(ip("1.2.3.0"));
    forge(&mut world, "f2", 91);
    world.run(SOON);
    assert_eq!(holders(&world, "1.2.3.0"), ["s1"]);
    world.replicas.clear();
    forge(&mut world, "f3", 92);
    world.restart();
    world.run(SOON);
    assert_eq!(holders(&world, "1.2.3.0"), ["s1"]);
    world.assert_at_rest();
}
