//! Telling the person who watches what is being done, and that it is still being done.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::lab::clock;

/// A sign of life in a long step comes this often.
const SIGN: Duration = Duration::from_secs(5);

/// Says what begins, waits for it, and says how long it took.
pub(crate) async fn step<T>(title: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    println!("\n==> {title}");
    let started = clock::now();
    let (done, waiting) = mpsc::channel::<()>();
    // A thread, because some of the work blocks the one it runs on.
    let signs = thread::spawn(move || {
        while waiting.recv_timeout(SIGN) == Err(RecvTimeoutError::Timeout) {
            println!("    ... {} s", started.elapsed().as_secs());
        }
    });
    let result = work.await;
    drop(done);
    signs
        .join()
        .map_err(|_| anyhow!("the thread that shows progress panicked"))?;
    if result.is_ok() {
        println!("    done in {:.1} s", started.elapsed().as_secs_f64());
    }
    result
}

/// Shows a command and what it printed, as on a terminal.
pub(crate) fn show(command: &str, output: &str) {
    println!("\n$ {command}");
    print!("{output}");
}
