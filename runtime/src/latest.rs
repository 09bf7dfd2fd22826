//! Values of which only the latest counts: waiting for the next.

use tokio::sync::watch;

/// Waits until there is a new value. A sender that is gone sends no more: what it sent last stays in
/// force, and this waits for ever. Cancel safe, and takes nothing away.
pub async fn changed<T>(latest: &mut watch::Receiver<T>) {
    if latest.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
