//! Puts the commit that is being built into `FERROLB_COMMIT`, for `--version`.

use std::process::Command;

fn main() {
    // A packager who builds from an archive names the commit in the environment.
    println!("cargo:rerun-if-env-changed=FERROLB_COMMIT");
    let named = std::env::var("FERROLB_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty());
    let commit = named.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    // `logs/HEAD` changes with every commit, checkout and rebase; HEAD itself only with a checkout.
    for file in ["logs/HEAD", "HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!(
        "cargo:rustc-env=FERROLB_COMMIT={}",
        commit.unwrap_or_else(|| "unknown".to_owned())
    );
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
