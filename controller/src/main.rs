//! The controller's process: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use ferrolb_controller::app;
use ferrolb_controller::args::Args;
use ferrolb_runtime::{logging, sentence};
use tracing::error;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(refused) = logging::init(&args.log) {
        #[expect(clippy::print_stderr, reason = "there is no log")]
        {
            eprintln!("ferrolb-controller: {refused}");
        }
        return ExitCode::from(2);
    }
    // One thread: the work is waiting for the API server.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(app::run(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = sentence::of(error.as_ref()), "Cannot go on");
            ExitCode::FAILURE
        }
    }
}
