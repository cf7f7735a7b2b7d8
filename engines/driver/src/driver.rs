//! The task: connects, hands work over, hears the engine, and lets time pass.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use lapwing_cluster::{Event, Names};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior},
};

use crate::{
    backoff::Backoff,
    engine::{ConnectError, Connection, Engine, Lost},
    shared::Shared,
};

/// How often the node is told the time.
const TICK: Duration = Duration::from_millis(100);

/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Work that is handed over before the engine is heard again, so that a busy program does not keep this node from its echoes.
const WORK_IN_TURN_MAX: usize = 1_024;

pub(crate) struct Driver<E> {
    engine: E,
    names: Names,
    shared: Arc<Shared>,
    /// Until when to say goodbye, once somebody wants that; closed when nobody holds the node any more.
    stop: watch::Receiver<Option<Instant>>,
    connect_timeout: Duration,
    backoff: Backoff,
    tick: Interval,
}

/// Why a connection is over.
enum End {
    /// The engine ended it.
    Lost(Lost),
    /// Nothing comes back.
    Silent,
    /// The node ends.
    Stopped,
}

impl<E: Engine> Driver<E> {
    pub(crate) fn new(
        engine: E,
        names: Names,
        shared: Arc<Shared>,
        stop: watch::Receiver<Option<Instant>>,
        (connect_timeout, pause_first, pause_longest): (Duration, Duration, Duration),
    ) -> Self {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let backoff = Backoff::new(pause_first, pause_longest);
        Self { engine, names, shared, stop, connect_timeout, backoff, tick }
    }

    pub(crate) async fn run(mut self, first: Option<E::Connection>) {
        // Also when it panics: nobody waits for a task that is gone, or takes this node for one that is ready.
        let _ending = Ending(Arc::clone(&self.shared));
        self.connect_and_serve(first).await;
    }

    async fn connect_and_serve(&mut self, mut first: Option<E::Connection>) {
        loop {
            let connection = match first.take() {
                Some(connection) => connection,
                None => match self.reach().await {
                    Some(connection) => connection,
                    None => return,
                },
            };
            self.backoff.reset();
            tracing::info!(engine = E::NAME, "connected to the engine");
            let end = self.serve(connection).await;
            if matches!(end, End::Stopped) {
                // It is no news that the engine is not heard any more.
                self.shared.end();
            }
            self.shared.handle(&mut vec![Event::Down]);
            let reason = match end {
                End::Stopped => return,
                End::Lost(lost) => in_words(&lost),
                End::Silent => "nothing comes back from the engine".to_owned(),
            };
            tracing::warn!(engine = E::NAME, reason, "the connection to the engine is lost");
            self.shared.note_failure(reason, true);
        }
    }

    /// Tries until there is a connection; none if the node ends before.
    async fn reach(&mut self) -> Option<E::Connection> {
        loop {
            // An engine that ends each connection at once is not stormed either.
            let pause = self.backoff.pause(getrandom::u64().unwrap_or(u64::MAX));
            let Self { engine, names, shared, stop, connect_timeout, tick, .. } = self;
            let attempt = async {
                tokio::time::sleep(pause).await;
                let attempt = tokio::time::timeout(*connect_timeout, engine.connect(names)).await;
                attempt.unwrap_or_else(|_| Err(ConnectError::Away("it does not answer".into())))
            };
            let error = match while_time_passes(attempt, shared, stop, tick).await? {
                Ok(connection) => return Some(connection),
                Err(error) => error,
            };
            let reason = in_words(&error);
            match error {
                ConnectError::Away(_) => tracing::debug!(engine = E::NAME, reason, "cannot connect"),
                ConnectError::Refused(_) => tracing::error!(engine = E::NAME, reason, "refused"),
            }
            self.shared.note_failure(reason, false);
        }
    }

    /// Serves a connection until it is over.
    async fn serve(&mut self, mut connection: E::Connection) -> End {
        let mut events = vec![Event::Up];
        loop {
            self.shared.handle(&mut events);
            if self.shared.take_reconnect() {
                return End::Silent;
            }
            self.hand_over(&mut connection);
            let stop = *self.stop.borrow_and_update();
            if let Some(until) = stop
                && self.shared.depart(Instant::now() >= until)
            {
                while connection.has_room() && self.hand_over(&mut connection) {}
                // A connection that does not close by then has to be closed by the other end.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
                return End::Stopped;
            }
            // What is due has to wait where the engine takes nothing.
            let due = if connection.has_room() { self.shared.relays().due() } else { None };
            tokio::select! {
                next = connection.next(&mut events) => if let Err(lost) = next {
                    return End::Lost(lost);
                },
                () = self.shared.woken() => {}
                () = until(due) => {}
                _ = self.tick.tick() => self.shared.handle_tick(),
                stopped = self.stop.changed() => if stopped.is_err() {
                    return End::Stopped;
                },
            }
        }
    }

    /// Hands over what the engine may have now. Returns whether there was something.
    fn hand_over(&self, connection: &mut E::Connection) -> bool {
        for count in 0..WORK_IN_TURN_MAX {
            if !connection.has_room() {
                return count > 0;
            }
            let Some(work) = self.shared.next_work() else { return count > 0 };
            connection.submit(work);
        }
        self.shared.wake();
        true
    }
}

/// Tells whoever waits that the task has ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Waits for something while the node hears of the time; none if the node ends before.
async fn while_time_passes<T>(
    what: impl Future<Output = T>,
    shared: &Arc<Shared>,
    stop: &mut watch::Receiver<Option<Instant>>,
    tick: &mut Interval,
) -> Option<T> {
    tokio::pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return Some(done),
            _ = tick.tick() => shared.handle_tick(),
            // Without a connection there is nobody to say goodbye to.
            _ = stop.wait_for(Option::is_some) => return None,
        }
    }
}

/// An error with its causes.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}
