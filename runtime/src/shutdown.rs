//! The wish to end: SIGTERM or SIGINT, seen by everyone who has something to finish.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// Whether the process has been asked to end. Clones see the same wish.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// The side that makes the wish known.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

/// A wish that a caller can make.
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (
        ShutdownTrigger { requested: sender },
        Shutdown { requested: receiver },
    )
}

/// A wish that SIGTERM and SIGINT make. A second signal ends the process at once: whoever sends
/// it does not want to wait for the drain.
///
/// The task that listens lives as long as the runtime; nobody awaits it.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn on_signals() -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (trigger, shutdown) = channel();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "Draining");
        trigger.request();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(shutdown)
}

// === impl ShutdownTrigger ===

impl ShutdownTrigger {
    /// Makes the wish known. Doing it again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }
}

// === impl Shutdown ===

impl Shutdown {
    /// Whether the wish has been made.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Completes once the wish has been made. Cancel safe.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        // The trigger gone without the wish means that nobody can make it any more.
        if requested.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
