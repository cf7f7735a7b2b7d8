//! Sessions that were closed and whose end has to be told at once, though the connection that carries them may be stuck, or
//! none may be there.

use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::sync::{Mutex, MutexGuard};

/// Slots of the registry. A session comes here once, so that the number of sessions bounds it.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    slots: Mutex<Vec<u32>>,
    added: Notify,
}

impl Endings {
    /// The session in this slot was closed.
    pub(crate) fn add(&self, slot: u32) {
        self.slots().push(slot);
        self.added.notify_one();
    }

    /// Waits until there are some, and takes them. Cancel safe. One waits at a time.
    pub(crate) async fn next(&self) -> Vec<u32> {
        loop {
            let slots = std::mem::take(&mut *self.slots());
            if !slots.is_empty() {
                return slots;
            }
            self.added.notified().await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<u32>> {
        // Nothing under this lock can panic half way.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
