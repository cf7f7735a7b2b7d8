//! The sessions of a server's clients.

use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use lapwing_transports::close::CloseReason;

use crate::{
    sync::Mutex,
    testing::{patience::within, session::TestSession},
};

/// How long it is waited for a callback that waits for something itself.
const REST: Duration = Duration::from_millis(100);

/// How often other tasks may run before a callback that goes on is taken for one that waits.
const YIELDS: usize = 64;

/// All sessions that live.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<Vec<Weak<TestSession>>>>);

impl Sessions {
    pub(super) fn add(&self, session: &Arc<TestSession>) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    /// Ends them all.
    pub(super) fn end(&self, reason: CloseReason) {
        let sessions = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        sessions.iter().filter_map(Weak::upgrade).for_each(|session| session.end(reason));
    }

    /// Waits until all channels have done what they were told, or wait for something.
    pub(super) async fn settle(&self) {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sessions: Vec<_> = sessions.iter().filter_map(Weak::upgrade).collect();
        // Other tasks run, and the runtime's clock stands still if it was stopped.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        for _ in 0..REST.as_millis() {
            if sessions.iter().all(|session| session.is_at_rest()) {
                return;
            }
            let _ = within(Duration::from_millis(1), std::future::pending::<()>()).await;
        }
    }
}
