//! `crdgen`: writes the CustomResourceDefinitions of the chart from the types, or checks that the
//! files are what the types say.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use ferrolb_crds::manifest;

const USAGE: &str = "usage: crdgen [--check] DIRECTORY
Write the CustomResourceDefinitions into DIRECTORY (charts/ferrolb/crds);
with --check, write nothing and fail if a file there is not what the types say.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (check, directory) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => return say(&mut std::io::stdout(), USAGE, ExitCode::SUCCESS),
        ["--check", directory] | [directory, "--check"] => (true, directory.to_owned()),
        [directory] if !directory.starts_with('-') => (false, directory.to_owned()),
        _ => return say(&mut std::io::stderr(), USAGE, ExitCode::from(2)),
    };
    let outcome = if check {
        manifest::check(Path::new(&directory))
    } else {
        manifest::write(Path::new(&directory))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&mut std::io::stderr(), &format!("{error}\n"), ExitCode::FAILURE),
    }
}

/// Prints, and answers with `code`: who closed our output does not want to hear why.
fn say(to: &mut dyn Write, text: &str, code: ExitCode) -> ExitCode {
    let _closed = to.write_all(text.as_bytes());
    code
}
