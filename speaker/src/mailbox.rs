//! A slot between the two threads: the newest value waits in it, however slow the taker is.
//!
//! Unlike a `watch` channel it hands the value over, so that a map of ten thousand VIPs is not
//! copied only to cross a thread.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One value on its way. Clones share the slot.
#[derive(Debug)]
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    /// The lock is held for a move or a merge, never across an await.
    slot: Mutex<Option<T>>,
    filled: Notify,
}

// === impl Mailbox ===

impl<T> Mailbox<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                slot: Mutex::new(None),
                filled: Notify::new(),
            }),
        }
    }

    /// Replaces what waits.
    pub fn put(&self, value: T) {
        *self.shared.slot.lock() = Some(value);
        self.shared.filled.notify_one();
    }

    /// Adds to what waits.
    pub fn merge(&self, add: impl FnOnce(&mut T))
    where
        T: Default,
    {
        add(self.shared.slot.lock().get_or_insert_default());
        self.shared.filled.notify_one();
    }

    /// Takes what waits, as soon as something does. Cancel safe: nothing is taken before the end.
    pub async fn take(&self) -> T {
        loop {
            let filled = self.shared.filled.notified();
            if let Some(value) = self.shared.slot.lock().take() {
                return value;
            }
            filled.await;
        }
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_value_is_taken_once() {
        let mailbox = Mailbox::new();
        mailbox.put(1);
        mailbox.put(2);
        assert_eq!(mailbox.take().await, 2);
        let waiting = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.take().await }
        });
        tokio::task::yield_now().await;
        mailbox.put(3);
        assert_eq!(waiting.await.expect("no panic"), 3);
    }

    #[tokio::test]
    async fn merging_adds_to_what_has_not_been_taken() {
        let mailbox = Mailbox::<Vec<i32>>::new();
        mailbox.merge(|values| values.push(1));
        mailbox.merge(|values| values.push(2));
        assert_eq!(mailbox.take().await, [1, 2]);
        mailbox.merge(|values| values.push(3));
        assert_eq!(mailbox.take().await, [3]);
    }
}
