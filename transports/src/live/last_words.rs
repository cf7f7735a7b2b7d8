//! What programs said when they ended sessions: kept apart, as hardly any session ends so, and only until it is gone.

use std::{collections::HashMap, sync::PoisonError};

use crate::{
    close::{CloseReason, reason_line},
    sync::{Mutex, MutexGuard},
};

/// Texts by where their sessions lie, each with the reason that it is for. Closed sessions bound them, with 123 bytes each.
#[derive(Debug, Default)]
pub(crate) struct LastWords(Mutex<HashMap<usize, (CloseReason, String)>>);

impl LastWords {
    /// Keeps what is to be said to the client of a session, which is about to be closed for that reason.
    pub(super) fn keep(&self, session: usize, reason: CloseReason, words: &str) {
        let words = reason_line(words);
        if !words.is_empty() {
            self.table().entry(session).or_insert((reason, words));
        }
    }

    /// What is to be said to the client of a session that was closed for that reason.
    pub(super) fn of(&self, session: usize, reason: CloseReason) -> Option<String> {
        let table = self.table();
        table.get(&session).filter(|(meant, _)| *meant == reason).map(|(_, words)| words.clone())
    }

    /// The session is gone.
    pub(super) fn forget(&self, session: usize) {
        let mut table = self.table();
        table.remove(&session);
        if table.is_empty() {
            table.shrink_to_fit();
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, (CloseReason, String)>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
