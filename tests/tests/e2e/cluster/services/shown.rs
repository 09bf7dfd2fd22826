//! What kubectl shows of claims and pools: the columns, and what stands in them.

use anyhow::{Result, ensure};
use ferrolb_tests::lab::Lab;

use crate::transcript::Table;

/// Fails unless the one Service's two addresses are shown, by short names, as they are answered for by
/// this node.
pub(super) fn check(lab: &Lab, node: &str) -> Result<()> {
    let claims = lab.kubectl(["get", "aclaim", "-o", "wide"])?;
    let table = Table::read(&claims);
    let addresses = ["192.0.2.200", "2001:db8::200"];
    for (title, expected) in [
        ("NAME", [addresses[0], "2001-0db8-0000-0000-0000-0000-0000-0200"]),
        ("ADDRESS", addresses),
        ("ADDRESS-POOL", ["home"; 2]),
        ("SERVICES", ["default/web"; 2]),
        ("NODE", [node; 2]),
        ("INTERFACE", ["eth0"; 2]),
        ("STATE", ["Held"; 2]),
    ] {
        ensure!(table.column(title)? == expected, "{title}: {claims}");
    }
    for epoch in table.column("EPOCH")? {
        ensure!(epoch.parse::<u64>()? > 0, "{claims}");
    }

    let pools = lab.kubectl(["get", "apool", "-o", "wide"])?;
    let table = Table::read(&pools);
    for (title, expected) in [
        ("NAME", "home"),
        ("AUTO-ASSIGN", "true"),
        // Of 41 and of 256, one each.
        ("IPV4-ASSIGNED", "1"),
        ("IPV4-AVAILABLE", "40"),
        ("IPV6-ASSIGNED", "1"),
        ("IPV6-AVAILABLE", "255"),
        ("READY", "True"),
        (
            "ADDRESSES",
            r#"["192.0.2.200-192.0.2.240","2001:db8::200-2001:db8::2ff"]"#,
        ),
    ] {
        ensure!(table.column(title)? == [expected], "{title}: {pools}");
    }

    let all = lab.kubectl(["get", "ferrolb", "-o", "name"])?;
    let kinds: Vec<_> = all.lines().filter_map(|line| line.split('/').next()).collect();
    ensure!(
        kinds
            == [
                "addressclaim.ferrolb.io",
                "addressclaim.ferrolb.io",
                "addresspool.ferrolb.io"
            ],
        "the category has both kinds: {all}"
    );
    Ok(())
}
