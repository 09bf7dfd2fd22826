//! `ferrolb-speaker`: parses the flags, runs the speaker, turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use ferrolb_speaker::app;
use ferrolb_speaker::args::Args;

fn main() -> ExitCode {
    match app::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let sentence = ferrolb_runtime::sentence::of(error.as_ref());
            tracing::error!(error = sentence, "Cannot go on");
            // Where logging was not set up, or is filtered: an operator must see the sentence.
            #[allow(clippy::print_stderr)]
            {
                eprintln!("ferrolb-speaker: {sentence}");
            }
            ExitCode::FAILURE
        }
    }
}
