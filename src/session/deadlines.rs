//! When the logins of a mount's clients end. Kept beside the sessions, so that those whose logins do not end hold nothing for it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, Weak},
};

use lapwing_transports::close::CloseReason;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    node::Task,
    session::client::Served,
    sync::{Mutex, MutexGuard},
    topics::broadcast::TransportId,
};

/// How many sessions are ended before the runtime gets to do something else.
const ENDED_AT_ONCE: usize = 32;

/// The deadlines, and the task that waits for the first of them while there are any. No more than there are sessions.
#[derive(Default)]
pub(crate) struct Deadlines {
    table: Mutex<Table>,
    /// Told when the first of them is another one.
    changed: Notify,
}

#[derive(Default)]
struct Table {
    due: BTreeMap<(Instant, u64), Weak<dyn Served>>,
    of: HashMap<u64, Instant>,
    /// Whether a task waits.
    is_watched: bool,
}

impl Deadlines {
    /// Sets until when the login of a session is good, in the place of what was set before. Returns the task that watches, if
    /// none does.
    pub(crate) fn set(
        self: &Arc<Self>,
        session: Weak<dyn Served>,
        id: TransportId,
        until: Instant,
    ) -> Option<Task> {
        let mut table = self.table();
        table.remove(id.0);
        let is_first = table.due.first_key_value().is_none_or(|((first, _), _)| until < *first);
        table.due.insert((until, id.0), session);
        table.of.insert(id.0, until);
        if !std::mem::replace(&mut table.is_watched, true) {
            let deadlines = self.clone();
            return Some(Box::pin(async move { deadlines.watch().await }));
        }
        drop(table);
        if is_first {
            self.changed.notify_one();
        }
        None
    }

    /// The session is over, or its login does not end any more.
    pub(crate) fn forget(&self, id: TransportId) {
        let mut table = self.table();
        table.remove(id.0);
        let is_empty = table.due.is_empty();
        if is_empty {
            table.of.shrink_to_fit();
        }
        drop(table);
        if is_empty {
            self.changed.notify_one();
        }
    }

    /// When the login of a session ends, if it does.
    pub(crate) fn of(&self, id: TransportId) -> Option<Instant> {
        self.table().of.get(&id.0).copied()
    }

    /// Ends each session when its login does, until no login is left that ends.
    async fn watch(&self) {
        while let Some(next) = self.end_due() {
            if next > Instant::now() {
                // Over or not: the table says what there is.
                let _ = timeout_at(next, self.changed.notified()).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Ends sessions whose logins have ended. Returns when to come again; `None` when nobody has to.
    fn end_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut ended = Vec::new();
        let mut table = self.table();
        while ended.len() < ENDED_AT_ONCE
            && let Some((&(until, id), _)) = table.due.first_key_value()
            && until <= now
        {
            ended.extend(table.due.remove(&(until, id)));
            table.of.remove(&id);
        }
        let next = table.due.first_key_value().map(|((until, _), _)| *until);
        table.is_watched = next.is_some();
        drop(table);
        for session in ended.iter().filter_map(Weak::upgrade) {
            session.end_for(CloseReason::LoginExpired, "");
        }
        next
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, id: u64) {
        if let Some(until) = self.of.remove(&id) {
            self.due.remove(&(until, id));
        }
    }
}
