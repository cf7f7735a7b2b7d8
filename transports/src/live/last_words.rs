//! What programs said when they ended sessions: kept apart, as hardly any session ends so, and only until it is gone.

use std::{
    collections::HashMap,
    sync::{
        PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    close::{CloseReason, reason_line},
    sync::{Mutex, MutexGuard},
};

/// Texts by where their sessions lie, each with the reason that it is for. Closed sessions bound them, with 123 bytes each.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    table: Mutex<HashMap<usize, (CloseReason, String)>>,
    /// Whether there are any, so that hardly any session that ends looks for them.
    is_used: AtomicBool,
}

impl LastWords {
    /// Keeps what is to be said to the client of a session, which was just closed for that reason, and for no other.
    pub(super) fn keep(&self, session: usize, reason: CloseReason, words: &str) {
        let words = reason_line(words);
        if !words.is_empty() {
            let mut table = self.table();
            self.is_used.store(true, Ordering::Release);
            table.insert(session, (reason, words));
        }
    }

    /// What is to be said to the client of a session that was closed for that reason.
    pub(super) fn of(&self, session: usize, reason: CloseReason) -> Option<String> {
        let table = self.table();
        table.get(&session).filter(|(meant, _)| *meant == reason).map(|(_, words)| words.clone())
    }

    /// The session is gone. Whoever calls this is the last who has it, and so knows of what was kept for it.
    pub(super) fn forget(&self, session: usize) {
        if !self.is_used.load(Ordering::Acquire) {
            return;
        }
        let mut table = self.table();
        table.remove(&session);
        if table.is_empty() {
            table.shrink_to_fit();
            self.is_used.store(false, Ordering::Release);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, (CloseReason, String)>> {
        // Nothing under this lock can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
