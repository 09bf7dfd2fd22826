use std::collections::BTreeSet;

use ferrolb_core::facts::NodeFacts;
use ferrolb_core::interface::{IfIndex, MacAddress};

use super::*;

fn mk_interface(index: u32, subnet: &str) -> Interface {
    Interface {
        index: IfIndex(index),
        name: format!("eth{index}"),
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        addresses: vec![subnet.parse().expect("a subnet")],
        default_routes: Vec::new(),
    }
}

fn mk_node(labels: &[&str]) -> NodeFacts {
    NodeFacts {
        labels: labels
            .iter()
            .map(|label| ((*label).to_owned(), String::new()))
            .collect(),
        ..NodeFacts::default()
    }
}

#[test]
fn an_interface_that_cannot_be_served_is_away_with_its_subnet() {
    let usable = vec![
        mk_interface(0, "192.0.2.11/24"),
        mk_interface(1, "198.51.100.11/24"),
    ];
    let interfaces = Arc::new(Interfaces {
        usable: usable.clone(),
        ..Interfaces::default()
    });
    let mut world = World::default();
    world.take_in_interfaces(Some(Arc::clone(&interfaces)), BTreeSet::from([IfIndex(1)]));
    // Facts of the API come beside them, and change nothing about them.
    world.take_in_api(ApiFacts::default());
    assert_eq!(world.facts().interfaces, usable[..1]);
    assert_eq!(world.facts().away, usable[1].addresses);
    assert_eq!(world.interfaces().usable, usable, "for the status they are there");
    world.take_in_interfaces(Some(interfaces), BTreeSet::new());
    assert_eq!(world.facts().interfaces, usable);
    assert_eq!(world.facts().away, []);
}

#[test]
fn the_exclude_label_is_noticed_to_say_nothing_when_every_node_carries_it() {
    let mut world = World::default();
    for (labels, is_ignored) in [
        ([[EXCLUDE_LABEL].as_slice(), &[]], false),
        ([&[EXCLUDE_LABEL], &[EXCLUDE_LABEL]], true),
        ([&[], &[]], false),
    ] {
        let nodes = ["n1", "n2"].map(NodeName::from).into_iter();
        let mut api = ApiFacts::default();
        api.facts.nodes = nodes.zip(labels.map(mk_node)).collect();
        world.take_in_api(api);
        assert_eq!(world.is_exclusion_ignored, is_ignored, "{labels:?}");
    }
}
