//! What helm says after an installation. That the commands work, the cluster rung shows.

use ferrolb_tests::chart;

use super::helm;

/// What is printed when the chart is installed with these flags, without a cluster.
fn notes(flags: &[&str]) -> String {
    let chart = chart::directory().display().to_string();
    let fixed = [
        "install",
        chart::RELEASE,
        &chart,
        "-n",
        "elsewhere",
        "--dry-run=client",
    ];
    helm(&[&fixed, flags].concat()).unwrap()
}

#[test]
fn the_notes_have_the_readmes_commands_in_the_releases_namespace() {
    let printed = notes(&[]);
    let commands = chart::notes_commands(&printed).unwrap();
    let [pool, look, label, crds] = &commands[..] else {
        panic!("other commands than expected: {commands:?}");
    };
    let readme = chart::readme().unwrap();
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        one_line(&readme).contains(&one_line(pool)),
        "the README has people create the same pool: {pool}"
    );
    assert!(look.contains("kubectl get svc") && look.contains("kubectl get addressclaims"));

    let privileged =
        "kubectl label --overwrite namespace elsewhere pod-security.kubernetes.io/enforce=privileged";
    assert_eq!(label.trim(), privileged);
    assert!(readme.contains(&privileged.replace("elsewhere", chart::NAMESPACE)));
    // A label where there are no speakers would help nobody.
    assert!(
        printed.contains("kubectl -n elsewhere get daemonset ferrolb-speaker"),
        "{printed}"
    );

    assert_eq!(
        crds.trim(),
        "helm show crds CHART | kubectl apply --server-side --force-conflicts -f -"
    );
    assert!(
        printed.contains("helm upgrade does not touch what is in crds/"),
        "{printed}"
    );
}

#[test]
fn who_gave_a_pool_is_not_told_to_create_one() {
    let pool = r#"addressPools=[{"name": "home", "addresses": ["192.0.2.0/24"]}]"#;
    let commands = chart::notes_commands(&notes(&["--set-json", pool])).unwrap();
    assert!(
        commands.len() == 3 && !commands.concat().contains("AddressPool"),
        "{commands:?}"
    );
}
