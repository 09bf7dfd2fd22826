//! Values that mean nothing are refused before anything starts.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::ending::said;

#[test]
fn a_value_that_cannot_be_is_refused_by_name() -> Result<()> {
    let cases: [(&str, i32, &[&str]); 10] = [
        ("demo --nodes=1", 2, &["--nodes", "'1'", "2..=9"]),
        ("demo --nodes=10", 2, &["--nodes", "'10'", "2..=9"]),
        ("demo --nodes=many", 2, &["--nodes", "'many'"]),
        ("cluster up --nodes=41", 2, &["--nodes", "'41'", "0..=40"]),
        ("cluster up --kind=vm", 2, &["--kind", "'vm'", "pods"]),
        ("cluster up --proxy=ipvs", 2, &["--proxy", "'ipvs'", "nftables"]),
        ("cluster down ../etc", 1, &["\"../etc\" is no lab's id"]),
        ("bench failover --rounds=0", 2, &["--rounds", "'0'"]),
        (
            "bench failover --fault=flood",
            2,
            &["--fault", "'flood'", "node-gone"],
        ),
        ("bench allocate --services=0", 2, &["--services", "'0'"]),
    ];
    for (command, code, words) in cases {
        let arguments: Vec<_> = command.split(' ').collect();
        let refusal = said(
            Path::new(env!("CARGO_BIN_EXE_ferrolb-lab")),
            &arguments,
            &[],
            code,
        )?;
        for word in words {
            ensure!(
                refusal.contains(word),
                "{command} is refused without the word {word}: {refusal}"
            );
        }
    }
    Ok(())
}
